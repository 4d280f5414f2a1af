"""mypy --strict agrees with what sdk.py, old_homes.py and plugins.py say about the types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def mypy(file: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--cache-dir", str(cache)]
    return subprocess.run([*command, str(file)], cwd=HERE.parents[1], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", ["sdk.py", "old_homes.py", "plugins.py"])
def test_the_sdk_is_typed(file: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is only for development")
    result = mypy(HERE / file, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
