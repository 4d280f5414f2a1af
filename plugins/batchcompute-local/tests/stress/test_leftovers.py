"""`make stress` in short: what a leftover writes is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STRESS = Path(__file__).parents[2] / "stress" / "leftovers.py"


def test_a_few_instances(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, str(STRESS), "--instances", "6", "--load", "1"],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("0 of 6 broken") == 3
