"""Starts processes that outlive the one that starts them. Standard library only."""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path

from batchcompute_local.damage import clear_place

READY_FD = 3
"""The descriptor to which such a process writes `1` when it is ready."""
LOCK_FD = 4
"""The descriptor of the lock that it keeps for its starter, if there is one."""
_HIGH_FD = 16
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def start_detached(
    argv: list[str], environment: Mapping[str, str], log: Path, lock: int | None = None
) -> tuple[int, int]:
    """Start `argv` in a session of its own, with its output in `log`. It has the open lock file `lock` too, as LOCK_FD.

    Returns its pid, and a descriptor: `1` can be read there when it is ready, and the end of the file when it has ended.
    Raises OSError if it cannot be started. The caller reaps it, and closes the descriptor.
    """
    ready, notify = os.pipe()
    output = high = -1
    try:
        if lock is not None:  # a low number may be one that the new process gets for something else
            high = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
        clear_place(log)  # a FIFO, for example, would hold us up
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fchmod(output, 0o600)  # whatever the umask
        pid = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, notify, READY_FD),
                *([(os.POSIX_SPAWN_DUP2, high, LOCK_FD)] if high >= 0 else []),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        for handle in (notify, output, high):
            if handle >= 0:
                os.close(handle)
    return pid, ready


def spawn_detached(
    argv: list[str],
    environment: Mapping[str, str],
    log: Path,
    seconds: float | None = None,
    lock: int | None = None,
) -> tuple[int, bool | None]:
    """Start `argv` as `start_detached` does; wait up to `seconds` until it is ready.

    Returns its pid, and whether it said that it is ready: False if it ended before, None if it still starts when the seconds
    are over. None for `seconds` waits as long as it runs. Raises OSError if it cannot be started. The caller reaps it.
    """
    pid, ready = start_detached(argv, environment, log, lock)
    try:
        readable, _, _ = select.select([ready], [], [], seconds)
        return pid, os.read(ready, 1) == b"1" if readable else None
    finally:
        os.close(ready)
