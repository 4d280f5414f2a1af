"""A HOME and a working directory for configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    return Place(Path(os.environ["HOME"]), cwd, monkeypatch)
