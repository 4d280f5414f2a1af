"""What `job run` and `job submit` say of their caller, and what `job describe` shows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client, Surroundings
from batchcompute.cli.caller import describe_caller
from tests.support.command_line import Run
from tests.support.programs import make_tool


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_python_is_what_path_finds(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_caller().interpreter == sys.executable, "PATH has none"
    (folder / "python3").symlink_to(sys.executable)
    assert describe_caller() == Surroundings.of_process(str(folder / "python3"))
    (folder / "python").symlink_to(sys.executable)
    assert describe_caller().interpreter == str(folder / "python")
    (folder / "python3.99").symlink_to(sys.executable)
    assert describe_caller("python3.99").interpreter == str(folder / "python3.99")
    assert describe_caller("python3.98").interpreter == str(folder / "python")
    monkeypatch.chdir(tmp_path)
    assert describe_caller("bin/python3").interpreter == str(folder / "python3")


def test_a_script_in_the_place_of_python_is_asked(folder: Path) -> None:
    """As those of pyenv and asdf, which choose by the current folder: programs run in another one."""
    (folder / "python3").symlink_to(sys.executable)
    make_tool(folder / "python", "exit 127")
    assert describe_caller().interpreter == str(folder / "python3")
    make_tool(folder / "python", f'exec {sys.executable} "$@"')
    assert describe_caller().interpreter == sys.executable


def test_the_word_of_the_command_is_looked_for(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "python3.99").symlink_to(sys.executable)
    (tmp_path / "a.py").write_text("import sys; print(sys.executable)")
    monkeypatch.setenv("PATH", f"{tmp_path / 'own'}{os.pathsep}{os.environ['PATH']}")
    command = [
        sys.executable,
        "-c",
        "from batchcompute.cli import main; main()",
        "job",
        "run",
        "--wait",
        "python3.99",
        "a.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    log = client.read_log(done.stdout.strip(), "a", stream="stdout") or b""
    assert log.decode().strip() == str(tmp_path / "own" / "python3.99")


def test_describe_shows_them(
    bc: Run, client: Client, describe: Callable[..., dict[str, Any]], tmp_path: Path, typed: Callable[[bytes], None]
) -> None:
    sent = Surroundings("/v/bin/python\x1b", "/v/bin:/bin", {"LANG": "C"}, "UTC")
    job = client.create_job(describe(Say="pass"), surroundings=sent)
    done = bc("job", "describe", job.JobId)
    assert "Surroundings" not in done.json
    assert done.err == "Submitted with Python /v/bin/python\ufffd\n  PATH=/v/bin:/bin\n  LANG=C\n  TZ=UTC\n"
    as_json = bc("job", "describe", job.JobId, "--format", "json")
    assert as_json.err == ""
    assert as_json.json["Surroundings"] == sent.to_wire()
    assert {**done.json, "Surroundings": sent.to_wire()} == as_json.json
    typed(as_json.out.encode())
    again = bc("job", "submit", "-", "--format", "json").json["job_id"]
    assert client.get_surroundings(again) == describe_caller(), "those of its own submitter"
    file = tmp_path / "again.json"
    file.write_text(json.dumps(as_json.json))
    assert bc("job", "submit", file, "--dry-run").err.startswith("test: 1 task")
