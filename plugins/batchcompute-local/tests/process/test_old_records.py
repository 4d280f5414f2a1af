"""What 3.0 left is taken over: its runner is spoken to in its own words, and its journal is read.

`recorded_3_0` holds what the code of commit 35c966b wrote: the journal of a runner, with four attempts that ended and one
that ran; what the same runner sent to the next daemon, and then when that stopped the last attempt; and what a daemon sent
(variables and interpreter of the orders, and the data folder, replaced).
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import procs, unixsocket
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Started
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.process.old_records import translate_request
from batchcompute_local.records import Acknowledge, End, Order, Request, Start, Stop, encode
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import pack_files
from tests.support.waits import wait_for

RECORDED = Path(__file__).parent / "recorded_3_0"
JOB = "job-0123456789abcdef"
LIVE = f"{JOB}.0.4.1"
ENDS = {
    f"{JOB}.0.0.1": (0, None, False),
    f"{JOB}.0.1.1": (3, None, False),
    f"{JOB}.0.2.1": (None, 11, False),
    f"{JOB}.0.3.1": (None, 15, True),
}


class OldRunner:
    """The socket of a runner of 3.0 that says what was recorded, one line for each request."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.runner_socket
        self._listener = unixsocket.listen(layout.runner_socket)
        self._lines = iter((RECORDED / "events").read_bytes().splitlines(keepends=True))
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        self._socket, _ = self._listener.accept()
        self.say()

    def say(self) -> None:
        self._socket.sendall(next(self._lines))

    def listen(self) -> None:
        self._accepting.join()
        self._stream = self._socket.makefile("rb")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            self.requests.put(json.loads(line))

    def end(self) -> None:
        self._path.unlink()
        self._listener.close()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Daemon:
    """The part of a daemon that has to do with a runner."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        settings = Settings(slots=9, grace_seconds=0.3, runner_linger_seconds=0.2)
        self.executor = ProcessExecutor(layout, settings, JOB, lambda job: True)

    def start(self, number: int, program: str) -> str:
        uri = f"oss://t/{number}.tar.gz"
        ObjectStore(self._layout.oss).put(uri, pack_files({"main.py": program}))
        task = TaskSpec("T", 9, uri, "main.py", "python", "", 60, "img-local", 1, 1, "", "", {})
        attempt = f"{JOB}.0.{number}.1"
        self.executor.start([Launch(attempt, JOB, task, number)])
        return attempt

    def event(self) -> Event:
        return self.events.get(timeout=20)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path)
    made.create()
    return made


@pytest.fixture
def daemon(layout: Layout) -> Iterator[Daemon]:
    made = Daemon(layout)
    yield made
    made.executor.close()
    wait_for(lambda: not list(procs.attempts(JOB)), "the programs' end")
    wait_for(lambda: not layout.runner_socket.exists(), "the runner's end")


def _outcomes(events: Any) -> dict[str, Any]:
    return {event.attempt: (event.code, event.signal, event.timed_out) for event in events}


def test_a_journal_of_3_0_is_taken_over(layout: Layout, daemon: Daemon) -> None:
    layout.journal.write_bytes((RECORDED / "journal").read_bytes())
    recovered = daemon.executor.open(daemon.events.put)
    assert _outcomes(recovered.ended) == ENDS
    assert {event.host for event in recovered.ended} == {"vm"}
    assert all(0 < event.started < event.ended for event in recovered.ended)
    assert recovered.live <= {LIVE}
    if recovered.live:  # else it was seen to be gone before the daemon came
        assert daemon.event() == Lost(LIVE)
    daemon.executor.acknowledge(list(ENDS))
    wait_for(lambda: layout.journal.stat().st_size == 0, "the journal to be emptied")
    assert "left out" not in layout.log.read_text()


def test_a_runner_of_3_0_is_spoken_to_in_its_words(layout: Layout, daemon: Daemon) -> None:
    runner = OldRunner(layout)
    recovered = daemon.executor.open(daemon.events.put)
    runner.listen()
    assert recovered.live == {LIVE}
    assert _outcomes(recovered.ended) == ENDS
    runner.say()
    started = daemon.event()
    assert isinstance(started, Started)
    assert (started.attempt, started.host) == (LIVE, "vm")
    started_anew = daemon.start(7, "")
    order = runner.requests.get(timeout=20)
    assert (order["op"], order["slots"]) == ("start", 9)
    assert [one["attempt"] for one in order["orders"]] == [started_anew]
    assert order["orders"][0].keys() == _recorded_requests()[0]["orders"][0].keys()
    daemon.executor.stop([LIVE])
    assert runner.requests.get(timeout=20) == {"op": "stop", "attempts": [LIVE]}
    runner.say()
    ended = daemon.event()
    assert isinstance(ended, Exited)
    assert (ended.attempt, ended.signal, ended.reason) == (LIVE, 15, "stopped")
    daemon.executor.acknowledge([*ENDS, LIVE])
    assert runner.requests.get(timeout=20) == {"op": "ack", "attempts": [*ENDS, LIVE]}
    assert runner.requests.empty()  # one attempt is still there
    runner.end()
    assert daemon.event() == Lost(started_anew)
    again = daemon.start(8, "raise SystemExit(5)")  # by a runner of this version
    event = next(event for event in iter(daemon.event, None) if isinstance(event, Exited))
    assert (event.attempt, event.code) == (again, 5)
    daemon.executor.acknowledge([again])


def test_a_runner_of_3_0_without_attempts_is_replaced(layout: Layout, daemon: Daemon) -> None:
    runner = OldRunner(layout)
    daemon.executor.open(daemon.events.put)
    runner.listen()
    daemon.executor.acknowledge(list(ENDS))
    assert runner.requests.get(timeout=20)["op"] == "ack"
    runner.say()
    runner.say()
    while not isinstance(daemon.event(), Exited):
        pass
    assert runner.requests.empty()
    daemon.executor.acknowledge([LIVE])
    assert runner.requests.get(timeout=20) == {"op": "ack", "attempts": [LIVE]}
    assert runner.requests.get(timeout=20) == {"op": "end"}
    runner.end()


def test_requests_are_those_that_were_recorded() -> None:
    for recorded in _recorded_requests():
        assert json.loads(encode(translate_request(_read_old(recorded)))) == recorded


def _recorded_requests() -> list[Any]:
    return [json.loads(line) for line in (RECORDED / "requests").read_text().splitlines()]


def _read_old(recorded: Any) -> Request:
    match recorded["op"]:
        case "start":
            orders = recorded["orders"]
            return Start(
                tuple(
                    Order(
                        attempt=one["attempt"],
                        argv=tuple(one["argv"]),
                        cwd=one["cwd"],
                        environment=one["env"],
                        stdout=one["stdout"],
                        stderr=one["stderr"],
                        timeout=one["timeout"],
                        grace_seconds=one["grace"],
                    )
                    for one in orders
                ),
                recorded["slots"],
            )
        case "stop":
            return Stop(tuple(recorded["attempts"]))
        case "ack":
            return Acknowledge(tuple(recorded["attempts"]))
        case _:
            return End()
