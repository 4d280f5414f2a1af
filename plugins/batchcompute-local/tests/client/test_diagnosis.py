"""Findings of doctor for region local."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from batchcompute_local.client import control, diagnosis
from batchcompute_local.paths import Layout

from tests.support.service import Cloud

Usage = namedtuple("Usage", "total used free")


def states(folder: Path) -> dict[str, str]:
    """The states by name; `interpreter python` and so on for the interpreters."""
    found: dict[str, str] = {}
    for finding in diagnosis.findings(Layout.at(folder)):
        kind = f" {finding.what.split()[0]}" if finding.name == "interpreter" else ""
        found[f"{finding.name}{kind}"] = finding.state
        assert finding.state == "ok" or finding.cure, finding
    return found


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    found = states(folder)
    assert (found["daemon"], found["storage"], found["interpreter python"]) == ("note", "ok", "ok")
    assert not folder.exists(), "looking changes nothing"


def test_a_service_that_runs(cloud: Cloud) -> None:
    cloud.up()
    assert states(cloud.root)["daemon"] == "ok"


def test_a_service_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"version": "2.9", "pid": 1, "active_jobs": 3, "idle": False}
    monkeypatch.setattr(control, "status", lambda folder: answer)
    assert states(tmp_path)["daemon"] == "note"


@pytest.mark.parametrize(("free", "state"), [(1 << 20, "problem"), (200 << 20, "note"), (5 << 30, "ok")])
def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 0, free))
    assert states(tmp_path)["storage"] == state


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert states(tmp_path)["storage"] == "problem"


def test_settings_and_interpreters(tmp_path: Path) -> None:
    settings = tmp_path / "service.toml"
    settings.write_text("slot = 4\n")
    assert states(tmp_path)["service.toml"] == "problem"
    settings.write_text('[programs]\nphp = "/not/there/php"\npython = "/usr/bin/env"\n')
    found = states(tmp_path)
    assert (found["interpreter php"], found["interpreter python"]) == ("problem", "ok")
