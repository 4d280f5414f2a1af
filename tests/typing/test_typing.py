"""mypy --strict agrees with what sdk.py, old_homes.py and plugins.py say about the types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_the_sdk_is_typed(tmp_path: Path) -> None:
    """One run for all, since most of it is the SDK; an error begins with its file."""
    pytest.importorskip("mypy", reason="mypy is only for development")
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--cache-dir", str(tmp_path)]
    files = [str(HERE / name) for name in ("sdk.py", "old_homes.py", "plugins.py")]
    result = subprocess.run([*command, *files], cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
