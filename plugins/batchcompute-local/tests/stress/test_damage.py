"""The short form of stress/damage.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "stress" / "damage.py"


def test_a_damaged_file_is_put_aside_or_named_and_cured() -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "12"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, and every refusal names its file" in done.stdout
