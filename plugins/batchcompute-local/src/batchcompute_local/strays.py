"""Which processes an attempt left behind: orphans come to the runner, a subreaper, and bear the attempt's mark.

The mark is a limit on message queues (RLIMIT_MSGQUEUE) a little below the usual one, another for each live attempt. All
that the program starts inherits it: an environment can be put off and a session left, but a limit stays.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress

from batchcompute_local import procs

_SPAN = 1 << 16
_UNLIMITED = 1 << 30
_HOUSEKEEPING_SECONDS = 2.0


class Marks:
    """The marks of live attempts. This process itself bears none, so that a service within a job of another is left alone."""

    def __init__(self) -> None:
        usual, self._most = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        self._usual = usual
        self._first = (_UNLIMITED if usual == resource.RLIM_INFINITY else usual) - 1
        self._attempts: dict[int, str] = {}
        self._count = 0

    @contextmanager
    def put_on(self, attempt: str) -> Iterator[int]:
        """What this process starts within bears a mark of `attempt`; 0 if there is no limit left for it."""
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
            self.take_off(mark)
            raise
        finally:
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (self._usual, self._most))

    def take_off(self, mark: int) -> None:
        """Nothing bears it any more."""
        self._attempts.pop(mark, None)

    def strays(self, known: Container[int]) -> dict[str, list[int]]:
        """The children of this process that are not `known`, by the attempt they belong to."""
        strays: dict[str, list[int]] = {}
        for pid in procs.children(os.getpid()):
            if pid not in known:
                attempt = self._attempts.get(_mark_of(pid)) or procs.attempt_of(pid)
                if attempt is not None:
                    strays.setdefault(attempt, []).append(pid)
        return strays


def put_off() -> None:
    """Bear no mark: a service that a program of a job started is not the job's."""
    most = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (most, most))


def end(stray: int, since: float, now: float) -> None:
    """Kill it and what it started, if the attempt ended at `since` (monotonic seconds, as `now`).

    What put its environment off gets a moment to end by itself: it may be a container's monitor, which cleans up.
    """
    late = now - since >= _HOUSEKEEPING_SECONDS
    for pid in (stray, *procs.descendants(stray)):
        if late or procs.attempt_of(pid) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _mark_of(pid: int) -> int:
    try:
        return resource.prlimit(pid, resource.RLIMIT_MSGQUEUE)[0]
    except OSError:
        return 0
