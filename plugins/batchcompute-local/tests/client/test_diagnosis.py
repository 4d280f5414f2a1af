"""Findings of doctor for region local."""

from __future__ import annotations

import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control, diagnosis
from batchcompute_local.installation import describe_installation
from batchcompute_local.paths import Layout

from tests.support.service import Cloud
from tests.support.venvs import Shell, Venv

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


@pytest.mark.parametrize(
    ("said", "state"), [("cgroup /sys/fs/cgroup/x", "ok"), ("marks only (no writable cgroup v2: no mount)", "note")]
)
def test_the_containment_and_its_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, state: str) -> None:
    answer = {"version": "2.9", "pid": 1, "active_jobs": 3, "idle": False, "containment": said}
    monkeypatch.setattr(control, "status", lambda folder: answer)
    (found,) = (one for one in diagnosis.findings(Layout.at(tmp_path)) if one.name == "containment")
    assert found.state == state
    assert found.what.startswith(f"{said}; ")


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
    settings.write_text('[programs]\npyhton = "/usr/bin/python2"\n')
    assert states(tmp_path)["service.toml"] == "problem"
    settings.write_text('[programs]\nphp = "/not/there/php"\npython = "/usr/bin/env"\n')
    found = states(tmp_path)
    assert (found["interpreter php"], found["interpreter python"]) == ("problem", "ok")


def test_the_service_is_asked_for_its_venv(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv = Venv(tmp_path / "other")
    venv.install("only-there", "batchcompute_local")
    Shell(venv.python, cloud.root, tmp_path).batchcompute("job", "list")
    found = {finding.what: finding for finding in diagnosis.findings(Layout.at(cloud.root)) if finding.name == "venv"}
    assert {finding.state for finding in found.values()} == {"note"}
    assert f"the service runs in {venv.folder} with {venv.python}, this command in {sys.prefix}" in found
    assert "only the service has only-there, with plugins of the group batchcompute_local" in found
    monkeypatch.setattr(diagnosis, "describe_installation", lambda: _with_plugin("only-here"))
    whats = [finding.what for finding in diagnosis.findings(Layout.at(cloud.root))]
    assert any(what.startswith("only this command has") and "only-here" in what for what in whats)


def _with_plugin(name: str) -> dict[str, Any]:
    found = describe_installation()
    return {**found, "plugins": {**found["plugins"], "batchcompute": [name]}}


def test_the_venv_of_the_caller(cloud: Cloud) -> None:
    cloud.up()
    assert [(finding.name, finding.state, finding.what) for finding in diagnosis.findings(Layout.at(cloud.root))][
        1
    ] == (
        "venv",
        "ok",
        f"the service runs with {sys.executable}",
    )


def test_a_service_whose_venv_is_gone(cloud: Cloud, tmp_path: Path) -> None:
    venv = Venv(tmp_path / "other")
    Shell(venv.python, cloud.root, tmp_path).batchcompute("job", "list")
    shutil.rmtree(venv.folder)
    (finding,) = (one for one in diagnosis.findings(Layout.at(cloud.root)) if one.name == "daemon")
    assert finding.state == "note"
    assert finding.what.endswith(f"but its Python {venv.python} or its package is gone")


def test_the_interpreter_of_this_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    whats = [finding.what for finding in diagnosis.findings(Layout.at(tmp_path / "data"))]
    assert f"python programs that are submitted in this shell run with {tmp_path / 'python'}" in whats
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "service.toml").write_text(f'interpreter = "{sys.executable}"\n')
    whats = [finding.what for finding in diagnosis.findings(Layout.at(tmp_path / "data"))]
    assert f"python programs run with {sys.executable}" in whats
