"""The short form of stress/objects.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "stress" / "objects.py"


def test_a_kill_in_each_change(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}
    command = [sys.executable, str(SCRIPT), "--kills", "6"]
    more = {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each object is the old one or the new one" in done.stdout
