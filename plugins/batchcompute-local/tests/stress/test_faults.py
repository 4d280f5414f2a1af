"""The short form of stress/faults.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "stress" / "faults.py"


def test_a_fault_stays_where_it_is(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--rounds", "1", "--only", "lock,kill", "--busy"],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every fault stayed where it was" in done.stdout
