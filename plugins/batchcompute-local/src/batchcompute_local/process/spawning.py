"""Starts the runner: a process of its own that outlives the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

from batchcompute_local import known_state
from batchcompute_local.detached import READY_FD, spawn_detached
from batchcompute_local.paths import Layout

_READY_SECONDS = 20.0
_SOURCES = Path(__file__).resolve().parents[2]
_MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from batchcompute_local.runner.runner import main; main(*sys.argv[1:])"
BOOT = (sys.executable, "-I", "-S", "-B", "-c", _MAIN, str(_SOURCES))
"""The command line of a runner, without its arguments.

-I -S: neither the user's environment nor site-packages have a say in the process that everything depends on.
"""


def spawn_runner(layout: Layout, prefix: str, linger: float, containment: str) -> int:
    """Start a runner for the data folder and wait until it is ready, within a limit; its pid. Raises OSError.

    It ends at once if another one holds the folder; connecting then tells which of them is there.
    """
    arguments = [*BOOT, str(layout.root), prefix, str(linger), containment, str(READY_FD)]
    pid, _ = spawn_detached(arguments, known_state.environment(), layout.log, _READY_SECONDS)
    return pid
