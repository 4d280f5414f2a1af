"""`make stress` in short: the service is killed a few times under load, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STRESS = Path(__file__).parents[2] / "stress" / "crash.py"


def test_a_few_kills(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, str(STRESS), "--kills", "6"],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing done twice" in done.stdout
