"""The short form of stress/fuzz.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "stress" / "fuzz.py"


def test_garbage_is_refused_quickly_and_costs_no_memory() -> None:
    command = [sys.executable, "-W", "error", str(SCRIPT), "--descriptions", "150", "--garbage", "120"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "150 signed descriptions" in done.stdout
