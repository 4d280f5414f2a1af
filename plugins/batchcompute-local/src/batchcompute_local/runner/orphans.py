"""The processes of an attempt: the program's descendants, and orphans, which are children of the runner, a subreaper."""

from __future__ import annotations

import os
import signal
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress

from batchcompute_local import procs
from batchcompute_local.mark import Marks
from batchcompute_local.records import StartRecord

_HOUSEKEEPING_SECONDS = 2.0


def find_orphans(marks: Marks, known: Container[int], starts: Iterable[StartRecord]) -> dict[str, list[int]]:
    """Return the children of this process that are not `known`, by the attempt that they belong to.

    An orphan is known by its mark, its environment, or its session. One that has changed all of them belongs to the only
    attempt that began before it, if there is only one. `starts` are the attempts that are not over.
    """
    orphans: dict[str, list[int]] = {}
    children = [pid for pid in procs.children(os.getpid()) if pid not in known]
    if not children:
        return orphans
    begun = list(starts)
    sessions = {start.pid: start.attempt for start in begun}
    for pid in children:
        attempt = marks.attempt_of(pid) or procs.attempt_of(pid) or _attempt_of_session(pid, sessions)
        if attempt is None:
            born = procs.start_time(pid)
            owners = [start.attempt for start in begun if born is not None and start.born[0] - 1 <= born]
            attempt = owners[0] if len(owners) == 1 else None
        if attempt is not None:
            orphans.setdefault(attempt, []).append(pid)
    return orphans


def _attempt_of_session(pid: int, sessions: Mapping[int, str]) -> str | None:
    try:
        return sessions.get(os.getsid(pid)) or sessions.get(os.getpgid(pid))
    except OSError:
        return None


def list_tree(roots: Iterable[int]) -> list[int]:
    """Return the processes `roots` and all their descendants, each once."""
    return list(dict.fromkeys(pid for root in roots for pid in (root, *procs.descendants(root))))


def terminate(pid: int) -> bool:
    """Send SIGTERM, and SIGCONT for one that is stopped. False if the process is gone."""
    try:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_spared(pid: int, since: float, now: float) -> bool:
    """Return whether a process gets no SIGKILL yet; `since` is when it was due first (monotonic seconds, as `now`).

    A process that cleared its environment gets a moment to end by itself: a container's monitor cleans up then.
    """
    return now - since < _HOUSEKEEPING_SECONDS and procs.attempt_of(pid) is None


def kill(pid: int) -> None:
    """Send SIGKILL."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def has_group(pid: int) -> bool:
    """Return whether a process, or a zombie, is in the process group of the program `pid`."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
