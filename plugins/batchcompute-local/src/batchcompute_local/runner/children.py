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
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from batchcompute_local import procs
from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.files import create_log
from batchcompute_local.mark import Marks
from batchcompute_local.records import ExitRecord, Leftover, Order, StartRecord
from batchcompute_local.runner.exit_message import write_exit_message
from batchcompute_local.runner.orphans import find_orphans, is_spared, kill, list_tree, terminate

_FIRST_POLL_SECONDS = 0.005
_LONGEST_POLL_SECONDS = 0.1
PATIENCE_SECONDS = 0.25
"""How long an order waits for a slot before it is given back."""
_CWD_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass
class _Child:
    record: StartRecord = field(repr=False)
    order: Order = field(repr=False)
    deadline: float
    term_at: float | None = None
    """When leftovers get SIGTERM; set when the program has ended by itself."""
    kill_at: float | None = None
    """When SIGKILL is due; set with SIGTERM."""
    asked: str = ""
    status: int | None = None
    ended: float = 0.0
    poll: float = _FIRST_POLL_SECONDS
    mark: int = 0
    signalled: dict[int, Leftover] = field(default_factory=dict)
    terminated: set[int] = field(default_factory=set)


class Children:
    """Live attempts by id, and orders for which no slot was free yet, in order."""

    def __init__(self) -> None:
        self.others: set[int] = set()
        """Children of this process that belong to no attempt; each is removed when it has ended."""
        self._slots = 1
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

    def line_up(self, orders: Iterable[Order], slots: int, now: float) -> None:
        """Have these begin, in order, no more than `slots` programs being there at once."""
        self._slots = slots
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
        overdue = [attempt for attempt, (since, _) in self._queue.items() if now - since >= PATIENCE_SECONDS]
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
                pid = _spawn(order)
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
            born=(before, procs.ticks()),  # /proc would have us wait until the program is loaded
        )
        child = _Child(record, order, time.monotonic() + order.timeout, mark=mark)
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

    def wait(self, now: float) -> float | None:
        """Seconds until something must be done; None if only a signal can bring something."""
        if self._failed:
            return 0.0
        times = [child.deadline if child.kill_at is None else child.kill_at for child in self._by_pid.values()]
        times = [due if due > now else now + _LONGEST_POLL_SECONDS for due in times]
        times += [now + child.poll for child in self._ending]
        times += [since + PATIENCE_SECONDS for since, _ in islice(self._queue.values(), 1)]
        return max(0.0, min(times) - now) if times else None

    def collect(self, now: float) -> list[ExitRecord]:
        """Reap, enforce time limits, end leftovers. Returns the exit records of attempts that are over."""
        self._reap(now)
        for child in self._by_pid.values():
            if child.kill_at is None and now >= child.deadline:
                self._terminate(child, "timeout")
            elif child.kill_at is not None and now >= child.kill_at:
                self._kill(child, self._list_processes(child), now)
        over, self._failed = self._failed, []
        if self._ending:
            orphans = self._find_orphans()
            gone = [child for child in self._ending if self._is_gone(child, orphans.get(child.record.attempt, []), now)]
            self._ending = [child for child in self._ending if child not in gone]
            for child in gone:
                del self._all[child.record.attempt]
                self._marks.release(child.mark)
                over.append(self._record_exit(child))
        return over

    def _reap(self, now: float) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._by_pid.pop(pid, None)
            self.others.discard(pid)
            if child is not None:
                child.status, child.ended = status, time.time()
                if child.kill_at is None:
                    child.term_at = min(now + child.order.leftover_seconds, max(now, child.deadline))
                self._ending.append(child)

    def _find_orphans(self) -> dict[str, list[int]]:
        return find_orphans(self._marks, self._by_pid.keys() | self.others, self.records())

    def _list_processes(self, child: _Child) -> list[int]:
        orphans = self._find_orphans().get(child.record.attempt, [])
        return list_tree([*([child.record.pid] if child.status is None else []), *orphans])

    def _terminate(self, child: _Child, why: str) -> None:
        """Send SIGTERM to all processes of the attempt, once to each; `why` is what ended a program that still runs."""
        if child.kill_at is not None:
            return
        now = time.monotonic()
        child.kill_at = now + child.order.grace_seconds
        if child.status is None:
            child.asked = why
        else:
            child.poll = _FIRST_POLL_SECONDS
        while fresh := [pid for pid in self._list_processes(child) if pid not in child.terminated]:
            for pid in fresh:  # a process may start another one before it gets its own signal, so look again
                child.terminated.add(pid)
                self._note(child, pid, "SIGTERM")
                terminate(pid)

    def _kill(self, child: _Child, processes: list[int], now: float) -> None:
        assert child.kill_at is not None  # noqa: S101  # for mypy: the callers have looked
        for pid in processes:
            if pid == child.record.pid and child.status is None:
                _signal_group(pid, signal.SIGKILL)
            elif not is_spared(pid, child.kill_at, now):
                self._note(child, pid, "SIGKILL")  # before it is gone
                kill(pid)

    @staticmethod
    def _note(child: _Child, pid: int, name: str) -> None:
        """Remember a leftover that is signalled; after a stop or a timeout all processes are, and none is named."""
        if not child.asked and procs.start_time(pid) is not None:
            command = child.signalled[pid].command if pid in child.signalled else procs.command_of(pid)
            child.signalled[pid] = Leftover(pid, command, name)

    def _is_gone(self, child: _Child, orphans: list[int], now: float) -> bool:
        """Return whether no process of an attempt is left whose program has ended. Signal those whose time is over."""
        if not orphans and not _has_group(child.record.pid):
            return True
        child.poll = min(child.poll * 1.5, _LONGEST_POLL_SECONDS)
        if child.kill_at is None and child.term_at is not None and now >= child.term_at:
            self._terminate(child, "")
        elif child.kill_at is not None and now >= child.kill_at:
            self._kill(child, list_tree(orphans), now)
            if not orphans:
                _signal_group(child.record.pid, signal.SIGKILL)
        return False

    def _record_exit(self, child: _Child) -> ExitRecord:
        code = os.waitstatus_to_exitcode(child.status or 0)
        record = ExitRecord(
            attempt=child.record.attempt,
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            reason={"timeout": "ran longer than Timeout allows", "stopped": "stopped"}.get(child.asked, ""),
            timed_out=child.asked == "timeout",
            started=child.record.time,
            ended=child.ended,
            host=self._host,
            cwd=child.order.cwd,
            leftovers=tuple(child.signalled.values()),
        )
        write_exit_message(child.order.stderr, record, child.order.timeout)
        return record

    def _record_unbegun(self, order: Order, reason: str) -> ExitRecord:
        return ExitRecord(order.attempt, reason=reason, ended=time.time(), host=self._host, cwd=order.cwd)


def _spawn(order: Order) -> int:
    # single-threaded, so the working directory can be ours for a moment; a preexec_fn would cost four times the spawn
    cwd = os.open(order.cwd, _CWD_FLAGS)
    try:
        os.fchdir(cwd)
    finally:
        os.close(cwd)
    stdout = create_log(order.stdout)
    try:
        stderr = create_log(order.stderr)
        try:
            return os.posix_spawn(
                order.argv[0],
                order.argv,
                order.environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, stdout, 1),
                    (os.POSIX_SPAWN_DUP2, stderr, 2),
                ],
                setsid=True,
                setsigdef=_DEFAULT_SIGNALS,
                setsigmask=(),
            )
        finally:
            os.close(stderr)
    finally:
        os.close(stdout)
        os.chdir("/")


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _has_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
