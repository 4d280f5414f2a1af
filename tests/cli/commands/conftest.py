"""Runs command lines in this process, as the entry point does."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchcompute.cli import cli
from batchcompute.cli.failures import guarded


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def bc(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """bc("job", "list") runs `batchcompute job list`."""

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        code = guarded(cli, [str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives bytes on the standard input, which is no terminal."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """A folder with main.py: prints its arguments, and fails with the argument `fail`."""
    folder = tmp_path / "worker"
    folder.mkdir()
    (folder / "main.py").write_text(
        "import os, sys\nprint(sys.argv[1:], os.environ.get('SIZE'))\nif 'fail' in sys.argv: sys.exit('bad luck')\n"
    )
    return folder


TWO = """
JobName = "two"
Priority = 5

[TaskDag.TaskDescMap.Find]
ProgramName = "main.py"
InstanceCount = 3

[TaskDag.TaskDescMap.Count]
ProgramName = "main.py"
ProgramArguments = "x"

[TaskDag.Dependencies]
Find = ["Count"]
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """The description of two tasks without packages."""
    path = tmp_path / "two.toml"
    path.write_text(TWO)
    return path
