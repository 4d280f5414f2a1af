"""Start the program of an attempt. Standard library only."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from batchcompute_local.files import create_log

_CWD_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def spawn_program(argv: tuple[str, ...], cwd: str, environment: Mapping[str, str], stdout: str, stderr: str) -> int:
    """Start a program in a session of its own, with its output in two files; return its pid. Raises OSError, ValueError."""
    # single-threaded, so the working directory can be ours for a moment; a preexec_fn would cost four times the spawn
    folder = os.open(cwd, _CWD_FLAGS)
    try:
        os.fchdir(folder)
    finally:
        os.close(folder)
    out = create_log(stdout)
    try:
        err = create_log(stderr)
        try:
            return os.posix_spawn(
                argv[0],
                argv,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, out, 1),
                    (os.POSIX_SPAWN_DUP2, err, 2),
                ],
                setsid=True,
                setsigdef=_DEFAULT_SIGNALS,
                setsigmask=(),
            )
        finally:
            os.close(err)
    finally:
        os.close(out)
        os.chdir("/")
