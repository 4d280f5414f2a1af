"""Programs that outlived the runner that started them. Nobody can learn how they end any more, so they are ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from batchcompute_local import procs
from batchcompute_local.containment import is_populated, kill_group, remove_group
from batchcompute_local.mark import has_mark
from batchcompute_local.paths import Layout
from batchcompute_local.records import StartRecord

_POLL_SECONDS = 0.005
_EXEC_SECONDS = 1.0
_GROUP_SECONDS = 1.0


class Leftovers:
    """What is left of attempts begun by an earlier runner: those in its journal, and those whose environment says so.

    `groups` are the cgroups that it left: all that is in them is killed, and they are removed. Other runners of the same
    service may be on this machine: a process whose attempt file is in another data folder than `layout` is not ours.
    """

    def __init__(self, begun: list[StartRecord], prefix: str, layout: Layout, groups: Iterable[Path]) -> None:
        self._prefix = prefix
        self._files = str(layout.attempts)
        self._groups = [group for group in groups if not _end_group(group)]
        deadline = time.monotonic() + _EXEC_SECONDS
        # one that is between fork and exec has not its environment yet, but is in its folder already
        while procs.is_any_nameless(layout.work("")) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._begun = {record.attempt: record for record in begun}
        self._live = set(self._begun) | {attempt for _, attempt in procs.attempts(prefix, self._files)}
        self._boot = procs.boot_id() if self._live else ""

    def __bool__(self) -> bool:
        return bool(self._live)

    def live(self) -> list[str]:
        """Attempts not yet seen dead."""
        return list(self._live)

    def records(self) -> list[StartRecord]:
        """The start records of those."""
        return [self._begun[attempt] for attempt in self._live if attempt in self._begun]

    def wait(self) -> float | None:
        """Seconds until the next look."""
        return _POLL_SECONDS if self._live else _GROUP_SECONDS if self._groups else None

    def collect(self) -> list[str]:
        """Kill what is there; returns the attempts of which nothing is left."""
        self._groups = [group for group in self._groups if not _end_group(group)]
        if not self._live:
            return []
        there = set()
        for pid, attempt in procs.attempts(self._prefix, self._files):
            if attempt in self._live and procs.start_time(pid) is not None:
                there.add(attempt)
                _kill(pid)
        for attempt, record in self._begun.items():
            same = record.boot == self._boot and procs.is_born(record.pid, record.born)
            if attempt in self._live and same:
                there.add(attempt)
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(record.pid, signal.SIGKILL)
            if attempt in self._live and any(str(one) == record.group and is_populated(one) for one in self._groups):
                there.add(attempt)
        there.update(self._kill_sessions())
        gone = self._live - there
        self._live = there
        return list(gone)

    def _kill_sessions(self) -> set[str]:
        """Kill what is left in the sessions and process groups of programs that have ended; return their attempts.

        The kernel gives the number of a session to no other process while a member is left. The mark is looked at as well:
        after the last member has ended the number may be another session's.
        """
        sessions = {
            record.pid: attempt
            for attempt, record in self._begun.items()
            if attempt in self._live and record.boot == self._boot and procs.start_time(record.pid) is None
        }
        found = set()
        for pid, session in procs.in_sessions(sessions) if sessions else ():
            if has_mark(pid):
                found.add(sessions[session])
                _kill(pid)
        return found


def _end_group(group: Path) -> bool:
    """Kill all processes in `group` and remove it; return whether it is gone."""
    if is_populated(group):
        kill_group(group)
    return remove_group(group)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
