"""The mark of an attempt: a limit on message queues (RLIMIT_MSGQUEUE) a little below the usual one. Standard library only.

Each running attempt has another limit. Everything that its program starts inherits the limit: a process can clear its
environment and leave its session, but it seldom changes this limit.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

_SPAN = 1 << 16
_UNLIMITED = 1 << 30


class Marks:
    """The marks of running attempts."""

    def __init__(self) -> None:
        self._usual, self._most = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        self._first = _highest() - 1
        self._attempts: dict[int, str] = {}
        self._count = 0

    @contextmanager
    def set_mark(self, attempt: str) -> Iterator[int]:
        """Mark processes started in this block with `attempt`; yield the mark, 0 if no limit is free."""
        span = min(_SPAN, self._first)
        for _ in range(min(span, len(self._attempts) + 1)):
            self._count += 1
            mark = self._first - self._count % span
            if mark not in self._attempts:
                break
        else:
            yield 0
            return
        self._attempts[mark] = attempt
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (mark, self._most))
        try:
            yield mark
        except BaseException:
            self.release(mark)
            raise
        finally:
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (self._usual, self._most))

    def release(self, mark: int) -> None:
        """Release a mark that no process has any more."""
        self._attempts.pop(mark, None)

    def attempt_of(self, pid: int) -> str | None:
        """Return the attempt whose mark the process `pid` has; None if it has none."""
        return self._attempts.get(_mark_of(pid))


def has_mark(pid: int) -> bool:
    """Return whether the process `pid` has the mark of some attempt."""
    highest = _highest()
    return 0 < highest - _mark_of(pid) <= min(_SPAN, highest)


def _highest() -> int:
    """Return the limit below which the marks of this process begin."""
    usual, most = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    highest = _UNLIMITED if usual == resource.RLIM_INFINITY else usual
    # a service that a program of a job starts has a mark itself; its own marks differ from those of the outer service
    return highest - _SPAN if usual != most and highest > 2 * _SPAN else highest


def _mark_of(pid: int) -> int:
    try:
        return resource.prlimit(pid, resource.RLIMIT_MSGQUEUE)[0]
    except OSError:
        return 0
