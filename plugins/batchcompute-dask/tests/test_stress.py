"""`make stress` in short: the parts of a cluster are killed a few times under load, and one is cut off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STRESS = Path(__file__).parents[1] / "stress" / "cluster.py"


def test_a_few_kills_and_a_partition(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}
    done = subprocess.run(
        [
            sys.executable,
            str(STRESS),
            *["--kills", "3", "--partitions", "1", "--instances", "40", "--seconds", "3", "--lease", "4"],
        ],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each accepted once, none lost, no overlap" in done.stdout
