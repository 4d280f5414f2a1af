"""The programs of the runner: each begins when a slot is free, in a session of its own, and is watched until nothing
of it is left.

An order that waits too long for its slot is given back, so that the service can choose again what comes next.

When the program has ended, processes that it left may run for `leftover_seconds`. Then they get SIGTERM, and SIGKILL after
`grace_seconds`. A stop and a timeout send SIGTERM to all processes of the attempt at once, and SIGKILL to those that are
left after `grace_seconds`. The attempt ends when none of its processes is left.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from batchcompute_local import procs
from batchcompute_local.clocks import uptime
from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.files import create_log
from batchcompute_local.mark import Marks
from batchcompute_local.records import PATIENCE_SECONDS, ExitRecord, Leftover, Order, StartRecord
from batchcompute_local.runner.exit_message import has_exit_message, start_exit_message, write_exit_message
from batchcompute_local.runner.orphans import find_orphans, has_group, is_spared, kill, list_tree, terminate
from batchcompute_local.runner.spawner import Spawner
from batchcompute_local.runner.spawners import Spawners

_FIRST_POLL_SECONDS = 0.005
_LONGEST_POLL_SECONDS = 0.1
_MESSAGE_SECONDS = 3.0
_LEASE = "lease"
_REASONS = {
    "timeout": "ran longer than Timeout allows",
    "stopped": "stopped",
    _LEASE: "its lease ended: this machine had no word of the service for too long, so the instance may run elsewhere",
}


@dataclass
class _Child:
    record: StartRecord = field(repr=False)
    order: Order = field(repr=False)
    deadline: float
    begun: float
    """Uptime of the machine at its start."""
    spawner: Spawner | None = None
    """In whose group it is; None if it is in none."""
    term_at: float | None = None
    """When leftovers get SIGTERM; set when the program has ended by itself."""
    kill_at: float | None = None
    """When SIGKILL is due; set with SIGTERM."""
    asked: str = ""
    code: int | None = None
    """The exit code of the program, or the negative signal; None if it runs."""
    ended: float = 0.0
    poll: float = _FIRST_POLL_SECONDS
    mark: int = 0
    signalled: dict[int, Leftover] = field(default_factory=dict)
    terminated: set[int] = field(default_factory=set)
    exit: ExitRecord | None = None
    """Set when nothing of it is left."""
    message: int = 0
    """The process that writes its exit message, if one does."""
    message_due: float = 0.0


class Children:
    """Live attempts by id, and orders for which no slot was free yet, in order."""

    def __init__(self, spawners: Spawners) -> None:
        self._spawners = spawners
        self.others: set[int] = set()
        """Children of this process that belong to no attempt; each is removed when it has ended."""
        self._slots = 1
        self._patience = PATIENCE_SECONDS
        self._queue: dict[str, tuple[float, Order]] = {}
        self._all: dict[str, _Child] = {}
        self._by_pid: dict[int, _Child] = {}
        self._ending: list[_Child] = []
        self._failed: list[ExitRecord] = []
        self._refused: list[str] = []
        self._marks = Marks()
        self._boot = procs.boot_id()
        self._host = socket.gethostname()

    def __bool__(self) -> bool:
        return bool(self._all or self._failed)

    @property
    def has_queue(self) -> bool:
        """True if an order waits for a slot."""
        return bool(self._queue)

    def live(self) -> list[str]:
        """Attempts of which something may still run, or whose end is not yet recorded."""
        return [*self._all, *(record.attempt for record in self._failed)]

    def records(self) -> list[StartRecord]:
        """The start records of live attempts."""
        return [child.record for child in self._all.values()]

    def line_up(self, orders: Iterable[Order], slots: int, patience: float, now: float) -> None:
        """Have these begin, in order, no more than `slots` programs being there at once, each within `patience` seconds."""
        self._slots, self._patience = slots, patience
        for order in orders:
            if order.attempt not in self._all:
                self._queue.setdefault(order.attempt, (now, order))

    def drop_queue(self) -> None:
        """Forget what has not begun: the daemon that wanted it is gone."""
        self._queue.clear()

    def begin(self) -> list[StartRecord]:
        """Spawn what has a slot. Returns the start records."""
        begun = []
        while self._queue and len(self._all) < self._slots:
            attempt = next(iter(self._queue))
            record = self._start(self._queue.pop(attempt)[1])
            if record is not None:
                begun.append(record)
        return begun

    def give_back(self, now: float) -> list[str]:
        """Take what waited too long off the queue."""
        overdue = [attempt for attempt, (since, _) in self._queue.items() if now - since >= self._patience]
        for attempt in overdue:
            del self._queue[attempt]
        return overdue

    def refused(self) -> list[str]:
        """What could not begin because the disk or the machine is full."""
        refused, self._refused = self._refused, []
        return refused

    def _start(self, order: Order) -> StartRecord | None:
        """Spawn a program. Returns its start record, or None if it could not be started (it then ends at once)."""
        attempt = order.attempt
        before = procs.ticks()
        try:
            with self._marks.set_mark(attempt) as mark:
                pid, spawner = self._spawners.spawn(order)
        except (OSError, ValueError) as error:
            if is_exhausted(error):
                self._refused.append(attempt)
                return None
            self._failed.append(self._record_unbegun(order, f"could not be started: {error}"))
            with suppress(OSError), os.fdopen(create_log(order.stderr), "w") as file:
                file.write(f"batchcompute: the program could not be started: {error}\n")
            return None
        record = StartRecord(
            attempt=attempt,
            time=time.time(),
            host=self._host,
            pid=pid,
            boot=self._boot,
            group=str(spawner.group) if spawner is not None else "",
            born=(before, procs.ticks()),  # /proc would have us wait until the program is loaded
        )
        child = _Child(record, order, time.monotonic() + order.timeout, uptime(), spawner, mark=mark)
        self._all[attempt] = self._by_pid[pid] = child
        return record

    def stop(self, attempts: Iterable[str]) -> None:
        """End these politely; those that wait for a slot never begin."""
        for attempt in attempts:
            if attempt in self._queue:
                _, order = self._queue.pop(attempt)
                self._failed.append(self._record_unbegun(order, "stopped"))
            elif attempt in self._all:
                self._terminate(self._all[attempt], "stopped")

    def end_all(self) -> None:
        """End all of them, since the lease ended; nothing begins any more. Called again until nothing is left."""
        self._queue.clear()
        for child in [*self._all.values()]:
            self._terminate(child, _LEASE)

    def wait(self, now: float) -> float | None:
        """Seconds until something must be done; None if only a signal can bring something."""
        if self._failed:
            return 0.0
        times = [child.deadline if child.kill_at is None else child.kill_at for child in self._by_pid.values()]
        times = [due if due > now else now + _LONGEST_POLL_SECONDS for due in times]
        times += [now + child.poll for child in self._ending]
        times += [since + self._patience for since, _ in islice(self._queue.values(), 1)]
        return max(0.0, min(times) - now) if times else None

    def collect(self, now: float) -> list[ExitRecord]:
        """Reap, enforce time limits, end leftovers. Returns the exit records of attempts that are over."""
        self._reap(now)
        for child in self._by_pid.values():
            if child.kill_at is None and now >= child.deadline:
                self._terminate(child, "timeout")
            elif child.kill_at is not None and now >= child.kill_at:
                self._kill(child, self._find_orphans().get(child.record.attempt, []), now)
        over, self._failed = self._failed, []
        if self._ending:
            orphans = self._find_orphans()
            gone = [
                child
                for child in self._ending
                if self._is_gone(child, orphans.get(child.record.attempt, []), now) and self._has_message(child, now)
            ]
            self._ending = [child for child in self._ending if child not in gone]
            for child in gone:
                del self._all[child.record.attempt]
                self._marks.release(child.mark)
                if child.spawner is not None:
                    self._spawners.release(child.spawner)
                over.append(child.exit or self._record_exit(child))
        return over

    def _has_message(self, child: _Child, now: float) -> bool:
        """Write the exit message; return whether that is done. A log beside no working folder may be on a network folder."""
        stderr = child.order.stderr
        if child.exit is None:
            child.exit = self._record_exit(child)
            if os.path.dirname(stderr) == os.path.dirname(child.order.cwd):
                write_exit_message(stderr, child.exit, child.order.timeout)
            elif has_exit_message(child.exit) and (pid := start_exit_message(stderr, child.exit, child.order.timeout)):
                child.message, child.message_due = pid, now + _MESSAGE_SECONDS
                self.others.add(pid)
        if child.message in self.others and now >= child.message_due:
            sys.stderr.write(f"runner: {stderr} gives no answer: it gets no exit message of {child.record.attempt}\n")
            kill(child.message)
            return True
        return child.message not in self.others

    def _reap(self, now: float) -> None:
        for pid, code in self._spawners.read_reports():
            self._note_end(pid, code, now)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.others.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            self._spawners.note_end(pid, code)
            self._note_end(pid, code, now)

    def _note_end(self, pid: int, code: int, now: float) -> None:
        child = self._by_pid.pop(pid, None)
        if child is not None:
            # by the time that passed, since the clock may have been set meanwhile
            child.code, child.ended = code, child.record.time + uptime() - child.begun
            if child.kill_at is None:
                child.term_at = min(now + child.order.leftover_seconds, max(now, child.deadline))
            self._ending.append(child)

    def _find_orphans(self) -> dict[str, list[int]]:
        return find_orphans(self._marks, self._by_pid.keys() | self._spawners.pids.keys() | self.others, self.records())

    def _list_processes(self, child: _Child, orphans: Sequence[int]) -> list[int]:
        """Return the processes of an attempt; `orphans` are those of its processes that are children of this one."""
        pid = child.record.pid
        found = list_tree([*([pid] if child.code is None else []), *orphans])
        if child.spawner is not None:
            found += child.spawner.list_others()
        elif child.code is not None and not found and has_group(pid):
            found = [each for each, _ in procs.in_sessions({pid})]
        return list(dict.fromkeys(found))

    def _terminate(self, child: _Child, why: str) -> None:
        """Send SIGTERM to all processes of the attempt, once to each; `why` is what ended a program that still runs."""
        if child.kill_at is not None:
            return
        now = time.monotonic()
        child.kill_at = now + child.order.grace_seconds
        if child.code is None:
            child.asked = why
        else:
            child.poll = _FIRST_POLL_SECONDS
        while self._terminate_fresh(child, self._find_orphans().get(child.record.attempt, [])):
            pass  # a process may start another one before it gets its own signal, so look again

    def _terminate_fresh(self, child: _Child, orphans: Sequence[int]) -> bool:
        """Send SIGTERM to those that have not got it yet; return whether there was one."""
        fresh = [pid for pid in self._list_processes(child, orphans) if pid not in child.terminated]
        for pid in fresh:
            child.terminated.add(pid)
            if not child.asked:
                self._note(child, pid, "SIGTERM")
            terminate(pid)
        return bool(fresh)

    def _kill(self, child: _Child, orphans: Sequence[int], now: float) -> None:
        assert child.kill_at is not None  # noqa: S101  # for mypy: the callers have looked
        processes = self._list_processes(child, orphans)
        spared = {pid for pid in processes if pid != child.record.pid and is_spared(pid, child.kill_at, now)}
        for pid in processes:
            if pid not in spared:
                if child.code is not None:
                    self._note(child, pid, "SIGKILL")  # before it is gone
                kill(pid)
        if child.spawner is not None and not spared:
            child.spawner.kill()
        elif child.code is None or not processes:
            _signal_group(child.record.pid, signal.SIGKILL)

    @staticmethod
    def _note(child: _Child, pid: int, name: str) -> None:
        """Remember a leftover that is signalled; of a stop or a timeout those that outlived program and grace period."""
        if procs.start_time(pid) is not None:
            command = child.signalled[pid].command if pid in child.signalled else procs.command_of(pid)
            child.signalled[pid] = Leftover(pid, command, name)

    def _is_gone(self, child: _Child, orphans: Sequence[int], now: float) -> bool:
        """Return whether no process of an attempt is left whose program has ended. Signal those whose time is over."""
        if not orphans and not has_group(child.record.pid) and (child.spawner is None or child.spawner.is_empty()):
            return True
        child.poll = min(child.poll * 1.5, _LONGEST_POLL_SECONDS)
        if child.kill_at is None:
            if child.term_at is not None and now >= child.term_at:
                self._terminate(child, "")
        elif now >= child.kill_at:
            self._kill(child, orphans, now)
        elif child.spawner is None and not orphans:
            self._terminate_fresh(child, orphans)  # members of its process group that are not in its tree
        return False

    def _record_exit(self, child: _Child) -> ExitRecord:
        code = child.code or 0
        return ExitRecord(
            attempt=child.record.attempt,
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            reason=_REASONS.get(child.asked, ""),
            timed_out=child.asked == "timeout",
            started=child.record.time,
            ended=child.ended,
            host=self._host,
            cwd=child.order.cwd,
            leftovers=tuple(child.signalled.values()),
            lease_ended=child.asked == _LEASE,
        )

    def _record_unbegun(self, order: Order, reason: str) -> ExitRecord:
        return ExitRecord(order.attempt, reason=reason, ended=time.time(), host=self._host, cwd=order.cwd)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
