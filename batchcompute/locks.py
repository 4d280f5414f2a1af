"""A lock that a fork cannot leave locked for ever."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet

_all: WeakSet[ForkSafeLock] = WeakSet()


class ForkSafeLock:
    """A mutual exclusion lock, used with `with`. A forked child finds it open: the thread that held it is not there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def open_anew(self) -> None:
        """For a forked child."""
        self._lock = threading.Lock()


def _after_fork() -> None:
    for lock in list(_all):
        lock.open_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
