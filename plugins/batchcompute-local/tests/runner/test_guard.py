"""The guard of a runner with a lease."""

from __future__ import annotations

import subprocess
import sys

_NO_LAYOUT = "from batchcompute_local.runner.guard import start_guard; start_guard(None, 'job-')"


def test_an_error_of_any_kind_is_said() -> None:
    run = subprocess.run([sys.executable, "-c", _NO_LAYOUT], capture_output=True, text=True, timeout=30, check=True)
    assert (
        "guard: programs of the runner that is gone cannot be ended: 'NoneType' object has no attribute" in run.stderr
    )
