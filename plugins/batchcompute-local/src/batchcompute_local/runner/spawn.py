"""Start the program of an attempt. Standard library only."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from batchcompute_local.files import create_log

_CWD_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""The signals that a program begins with the default action of."""


def open_places(cwd: str, stdout: str, stderr: str) -> tuple[int, int, int]:
    """Open the working folder and the two logs of a program; return the descriptors. Raises OSError, ValueError."""
    opened = [os.open(cwd, _CWD_FLAGS)]
    try:
        opened.append(create_log(stdout))
        opened.append(create_log(stderr))
    except BaseException:
        close_all(*opened)
        raise
    folder, out, err = opened
    return folder, out, err


def close_all(*handles: int) -> None:
    """Close these descriptors."""
    for handle in handles:
        os.close(handle)


def spawn_program(argv: tuple[str, ...], cwd: str, environment: Mapping[str, str], stdout: str, stderr: str) -> int:
    """Start a program in a session of its own, with its output in two files; return its pid. Raises OSError, ValueError."""
    folder, out, err = open_places(cwd, stdout, stderr)
    try:
        # single-threaded, so the working directory can be ours for a moment; a preexec_fn would cost four times the spawn
        os.fchdir(folder)
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
            setsigdef=DEFAULT_SIGNALS,
            setsigmask=(),
        )
    finally:
        close_all(folder, out, err)
        os.chdir("/")
