"""Orphans: processes that an attempt left. Their parent has ended, so they are children of the runner, a subreaper."""

from __future__ import annotations

import os
import signal
from collections.abc import Container
from contextlib import suppress

from batchcompute_local import procs
from batchcompute_local.mark import Marks

_HOUSEKEEPING_SECONDS = 2.0


def find_orphans(marks: Marks, known: Container[int]) -> dict[str, list[int]]:
    """Return the children of this process that are not `known`, by the attempt that they belong to."""
    orphans: dict[str, list[int]] = {}
    for pid in procs.children(os.getpid()):
        if pid not in known:
            attempt = marks.attempt_of(pid) or procs.attempt_of(pid)
            if attempt is not None:
                orphans.setdefault(attempt, []).append(pid)
    return orphans


def end_orphan(orphan: int, since: float, now: float) -> None:
    """Kill it and what it started, if the attempt ended at `since` (monotonic seconds, as `now`).

    A process that cleared its environment gets a moment to end by itself: a container's monitor cleans up then.
    """
    late = now - since >= _HOUSEKEEPING_SECONDS
    for pid in (orphan, *procs.descendants(orphan)):
        if late or procs.attempt_of(pid) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
