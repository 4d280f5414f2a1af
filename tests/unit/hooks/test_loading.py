"""The scan for installed plugins: once, and again when something was installed."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

from batchcompute import PluginConfig
from batchcompute.builtins import BUILTINS
from batchcompute.hooks import hookimpl
from batchcompute.hooks.loading import Plugins, installed_plugins


def install(folder: Path, name: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[batchcompute]\nmain = os\n")


def test_what_is_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    os.utime(folder, (1, 1))  # whatever the resolution of its time stamps
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder), str(tmp_path / "no such folder")])
    before = installed_plugins()
    install(folder, "batchcompute-new")
    assert next(point for point in installed_plugins() if point not in before)[0] == "batchcompute-new:main"


def test_without_a_change_nothing_is_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    first = installed_plugins()
    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("scanned again"))
    assert installed_plugins() is first


def test_pluggy_is_asked_only_about_what_may_be_a_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads each name with inspect: those of classes and modules that a plugin imported made a third of a first Client."""
    asked: list[tuple[object, str]] = []
    original = pluggy.PluginManager.parse_hookimpl_opts

    def parse(self: Any, plugin: Any, name: str) -> Any:
        asked.append((plugin, name))
        return original(self, plugin, name)

    monkeypatch.setattr(pluggy.PluginManager, "parse_hookimpl_opts", parse)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: ())
    given = ModuleType("given")
    vars(given).update(Path=Path, sys=sys, data=[1], before_attempt=hookimpl(lambda ctx: None))
    plugins = Plugins(PluginConfig(), BUILTINS, [given])
    assert [name for plugin, name in asked if plugin is given] == ["before_attempt"]
    assert [name for _, name in asked if name.startswith("__")] == []
    assert plugins.in_use()[0] == ("argument 0: given", ["before_attempt"])
