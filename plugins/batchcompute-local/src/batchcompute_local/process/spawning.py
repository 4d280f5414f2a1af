"""Starts the runner: a process of its own that outlives the daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from batchcompute_local.paths import Layout

_SOURCES = Path(__file__).resolve().parents[2]
# -I -S: neither the user's environment nor site-packages have a say in the process everything depends on
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from batchcompute_local.runner.runner import main; main(*sys.argv[1:])"


def spawn_runner(layout: Layout, prefix: str, linger: float) -> int:
    """Start a runner for the data folder and wait until it is ready; its pid. Raises OSError.

    It ends at once if another one holds the folder; connecting then tells which of them is there.
    """
    ready, notify = os.pipe()
    arguments = [str(layout.root), prefix, str(linger), "3"]
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-B", "-c", _BOOT, str(_SOURCES), *arguments],
            {"PATH": os.environ.get("PATH", os.defpath)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, notify, 3),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(layout.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        os.close(notify)
        notify = -1
        os.read(ready, 1)  # nothing comes if it could not begin
        return pid
    finally:
        os.close(ready)
        if notify >= 0:
            os.close(notify)
