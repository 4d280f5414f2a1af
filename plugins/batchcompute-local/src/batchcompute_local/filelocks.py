"""Lock files: whether a daemon or a runner exists is decided by the lock that it holds. Standard library only."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.files import is_lock_held

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05


@dataclass
class Held:
    """A lock that is held: the open file, and whether it is left to another process that has this file too."""

    handle: int
    is_left: bool = False


@contextmanager
def locked(path: Path, until: float | None = None) -> Iterator[Held]:
    """Hold the lock file at `path`; wait until it is free.

    Raises TimeoutError, which names the holder, if it is not free at second `until` of time.monotonic() (None: no limit).
    """
    handle = open_lock(path)
    pause = _FIRST_PAUSE
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if until is None else fcntl.LOCK_NB))
                break
            except BlockingIOError:
                if time.monotonic() >= (until or 0.0):
                    raise TimeoutError(f"{describe_holder(path)} holds {path}") from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        held = Held(handle)
        try:
            yield held
        finally:
            if not held.is_left:
                fcntl.flock(handle, fcntl.LOCK_UN)  # a process forked meanwhile has the handle too
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Check if a process holds the lock file at `path`."""
    return is_lock_held(open_lock(path))


def find_holder(path: Path) -> int | None:
    """Return the pid of the process that holds the lock file at `path`; None if there is none, or it is not known."""
    try:
        facts = os.stat(path)
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file if "->" not in line]
    except OSError:
        return None
    for row in rows:  # 1: FLOCK ADVISORY WRITE 4711 fd:01:131 0 EOF
        named = len(row) > 5 and row[1] == "FLOCK" and row[3] == "WRITE" and row[5].endswith(f":{facts.st_ino}")
        if named and _has_open(row[4], facts):
            return int(row[4])
    return None


def _has_open(pid: str, facts: os.stat_result) -> bool:
    """Check it by the descriptors: another file system may have a file of the same number."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.path.samestat(os.stat(f"{folder}/{name}"), facts) for name in os.listdir(folder))
    except OSError:  # it ended, or opens and closes files, or is another user's
        return False


def describe_holder(path: Path) -> str:
    """Name the process that holds the lock file at `path`, for a message."""
    pid = find_holder(path)
    return f"process {pid}" if pid else "another process"


def open_lock(path: Path) -> int:
    """Open the lock file at `path`, created if absent. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    with suppress(OSError):
        os.fchmod(handle, 0o600)  # whatever the umask
    return handle
