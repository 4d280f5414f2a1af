"""A short history of jobs, and a fault at each call of the database and of the executor in turn: all goes on when it is over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Recovered, Returned, Sink, Started
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.settings import Settings

from tests.support.descriptions import describe

SLOTS = 2
_TRIES = 20
_TURNS = 200

Fault = Callable[[Callable[[], Any]], Any]
"""Gets what does the call."""


class CrashError(BaseException):
    """The daemon is gone in this moment."""


class Script:
    """Counts calls, and does a fault at one of them and at some after it."""

    def __init__(self) -> None:
        self.count = 0
        self._fault: Fault | None = None
        self._calls = range(0)

    def begin(self, number: int, fault: Fault, more: int) -> None:
        self.count = 0
        self._fault, self._calls = fault, range(number, number + more + 1)

    def end(self) -> None:
        self._calls = range(0)

    def call(self, run: Callable[[], Any]) -> Any:
        self.count += 1
        if self._fault is not None and self.count in self._calls:
            return self._fault(run)
        return run()


class Connection:
    """The store's connection, with faults."""

    def __init__(self, db: sqlite3.Connection, script: Script) -> None:
        self._db = db
        self._script = script

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        found: sqlite3.Cursor = self._script.call(lambda: self._db.execute(*arguments))
        return found

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        found: sqlite3.Cursor = self._script.call(lambda: self._db.executemany(*arguments))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


class Cluster:
    """An executor whose attempts outlive the daemon. It sees that no two attempts of an instance run at once."""

    look_ahead = 0

    def __init__(self) -> None:
        self.running: dict[str, None] = {}
        self.ended: dict[str, Exited] = {}
        self.overlaps: list[str] = []
        self.turns: dict[str, int] = {}
        self.script = Script()
        self._sink: Sink = lambda event: None

    def open(self, sink: Sink) -> Recovered:
        self._sink = sink
        return Recovered(frozenset(self.running), tuple(self.ended.values()))

    def start(self, launches: Sequence[Launch]) -> None:
        def run() -> None:
            for launch in launches:
                instance = launch.attempt.rpartition(".")[0]
                self.overlaps += [one for one in self.running if one.rpartition(".")[0] == instance]
                self.running[launch.attempt] = None
                self._sink(Started(launch.attempt, 100.0, "h"))

        self.script.call(run)

    def stop(self, attempts: Sequence[str]) -> None:
        def run() -> None:
            for attempt in [one for one in attempts if one in self.running]:
                self.end(attempt, reason="stopped")

        self.script.call(run)

    def acknowledge(self, attempts: Sequence[str]) -> None:
        self.script.call(lambda: [self.ended.pop(one, None) for one in attempts])

    def forget(self, job: str) -> None:
        self.script.call(lambda: None)

    def close(self) -> None:
        self._sink = lambda event: None

    def end(self, attempt: str, code: int | None = None, reason: str = "") -> None:
        del self.running[attempt]
        self.ended[attempt] = event = Exited(attempt, code=code, reason=reason, started=100.0, ended=102.0, host="h")
        self._sink(event)

    def go_on(self) -> None:
        """Each attempt ends at once: some fail, some are returned or lost the first time."""
        for attempt in [*self.running]:
            number = self.turns[attempt] = len(self.turns)
            if number % 5 == 3:
                event: Event = (Lost, Returned)[number % 2](attempt)
                del self.running[attempt]
                self._sink(event)
            else:
                self.end(attempt, code=number % 7 == 4)


class History:
    """Jobs that are created, stopped, started and deleted by a client that repeats what is refused; daemons that crash."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.sqlite3"
        self.cluster = Cluster()
        self.script = Script()
        self.service = Service()
        self.now = 1000.0
        self.open()

    def open(self) -> None:
        for _ in range(_TRIES):
            store: Any = Store(self.path)
            store._db.execute("PRAGMA synchronous=OFF")  # no machine falls here
            store._db = Connection(store._db, self.script)
            self.engine = Engine(store, self.cluster, SLOTS, lambda: self.now)
            try:
                self.engine.recover()
                return
            except (Exception, CrashError):
                store.close()
        raise AssertionError("no daemon starts")

    def turn(self) -> None:
        self.now += 1.0
        try:
            self.engine.turn()
        except (Exception, CrashError):  # the engine's thread ends by it, and so the daemon
            self.engine.store.close()
            self.open()

    def do(self, run: Callable[[Turn], Any]) -> Any:
        """Return the answer, after as many tries as it takes; None if it is refused."""
        for _ in range(_TRIES):
            future = self.engine.submit(run)
            self.turn()
            if future.done():
                try:
                    return future.result(0)
                except ServiceError as error:
                    if error.status < 500:
                        return None
        raise AssertionError("it is never answered")

    def create(self) -> str:
        plan = read_description(describe({"A": {"InstanceCount": 2}, "B": {}}, {"A": ["B"]}, Priority=1), Settings())
        return str(self.do(lambda turn: self.service.create_job(turn, 1, plan))["ResourceId"])

    def live(self) -> None:
        first, second, _ = [self.create() for _ in range(3)]
        self.go_on()
        self.do(lambda turn: self.service.stop_job(turn, 1, first))
        self.do(lambda turn: self.service.stop_job(turn, 1, second))
        self.go_on()
        self.do(lambda turn: self.service.start_job(turn, 1, first))
        self.do(lambda turn: self.service.delete_job(turn, 1, second))
        self.go_on()

    def go_on(self) -> None:
        self.cluster.go_on()
        self.turn()

    def settle(self) -> None:
        for _ in range(_TURNS):
            if not self.engine.busy and not self.engine.writing.error:
                return
            self.go_on()
        raise AssertionError("jobs wait for ever")

    def check(self) -> None:
        assert not self.cluster.overlaps
        assert not self.cluster.running
        assert not self.cluster.ended, "all ends are acknowledged"
        states = self.do(lambda turn: self.service.list_jobs(turn, 1)).values()
        assert len(states) >= 2
        assert {job["State"] for job in states} <= {"Terminated", "Failed", "Stopped"}
        assert not any(job["NumRunningInstance"] for job in states)


def _refuse(error: BaseException) -> Fault:
    def fault(run: Callable[[], Any]) -> Any:
        raise error

    return fault


def _lose_answer(error: BaseException) -> Fault:
    def fault(run: Callable[[], Any]) -> Any:
        run()
        raise error

    return fault


LOCKED = sqlite3.OperationalError("database is locked")
FAULTS: dict[str, tuple[Fault, int]] = {
    "locked": (_refuse(LOCKED), 0),
    "locked for a while": (_refuse(LOCKED), 7),
    "done, but an error": (_lose_answer(sqlite3.OperationalError("disk I/O error")), 0),
    "a value that cannot be stored": (_refuse(sqlite3.DataError("string or blob too big")), 0),
    "a bug": (_refuse(RuntimeError("a bug")), 0),
    "a crash before it": (_refuse(CrashError()), 0),
    "a crash after it": (_lose_answer(CrashError()), 0),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_at_each_call_of_the_database(what: str, tmp_path: Path) -> None:
    number = 0
    while _goes_on(tmp_path / str(number), what, number := number + 1, lambda history: history):
        pass
    assert number > 80


@pytest.mark.parametrize("what", ["a bug", "a crash before it", "a crash after it"])
def test_a_fault_at_each_call_of_the_executor(what: str, tmp_path: Path) -> None:
    number = 0
    while _goes_on(tmp_path / str(number), what, number := number + 1, lambda history: history.cluster):
        pass
    assert number > 10


def _goes_on(folder: Path, what: str, number: int, place: Callable[[History], Any]) -> bool:
    """Live with that fault at call `number`; return whether there was such a call."""
    folder.mkdir()
    history = History(folder)
    script = history.script if place(history) is history else history.cluster.script
    script.begin(number, *FAULTS[what])
    history.live()
    script.end()
    history.settle()
    history.check()
    history.engine.store.close()
    return script.count >= number
