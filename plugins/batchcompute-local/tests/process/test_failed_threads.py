"""What the threads of the executor cannot do is done otherwise, or the service ends by an error: no attempt waits for ever."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.executors.base import Event, Launch, Recovered, Returned
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.store import Store
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.process.outbox import Outbox
from batchcompute_local.process.patience import Workers
from batchcompute_local.settings import Settings

from tests.support.engine import FakeExecutor
from tests.support.waits import wait_for

JOB = f"job-{os.urandom(8).hex()}"
"""The runner ends all programs whose attempts begin so."""


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[ProcessExecutor]:
    layout = Layout.at(tmp_path)
    layout.create()
    made = ProcessExecutor(layout, Settings(runner_linger_seconds=0.2), JOB, lambda job: True)
    yield made
    made.close()
    wait_for(lambda: not layout.runner_socket.exists(), "the runner's end")


def _launch(number: int = 0) -> Launch:
    task = TaskSpec("T", 3, "", "true", "command", "", 60, "img-local", 1, 1, "", "", {})
    return Launch(f"{JOB}.0.{number}.1", JOB, task, number)


def _fail(*_: Any) -> None:
    raise RuntimeError("a bug")


def test_an_error_while_the_runner_is_listened_to_ends_the_service(executor: ProcessExecutor) -> None:
    executor.open(_fail)
    assert not executor.has_failed
    executor.start([_launch()])
    wait_for(lambda: executor.has_failed, "the failure", 10.0)


def test_an_error_while_orders_are_sent_ends_the_service(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor._preparer, "order", _fail)
    executor.open(lambda event: None)
    executor.start([_launch()])
    wait_for(lambda: executor.has_failed, "the failure", 10.0)


def test_an_engine_whose_executor_has_failed_is_not_alive(tmp_path: Path) -> None:
    class Failing(FakeExecutor):
        has_failed = False

    executor = Failing(Recovered())
    engine = Engine(Store(tmp_path / "state.sqlite3"), executor, 1)
    engine.recover()
    engine.start()
    assert engine.alive
    executor.has_failed = True
    assert not engine.alive
    engine.close()


def test_what_is_full_is_returned_though_no_thread_can_be_started(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    executor.open(events.append)
    monkeypatch.setattr(executor._connection, "send", lambda request: False)
    executor.start([_launch(1)])
    wait_for(lambda: events, "the report that it cannot begin", 10.0)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", _fail)
        executor.start([_launch(2)])
        wait_for(lambda: Returned(_launch(2).attempt) in events, "its return", 10.0)
    assert not executor.has_failed


def test_a_socket_that_fails_is_shut_down_so_that_it_is_noticed() -> None:
    class Failing:
        def __init__(self, sock: socket.socket) -> None:
            self.fileno, self.shutdown = sock.fileno, sock.shutdown

        def send(self, data: bytes, flags: int) -> int:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    ours, theirs = socket.socketpair()
    with ours, theirs:
        box: Any = Outbox(Failing(ours))  # type: ignore[arg-type]  # a stand-in for a socket
        assert box.put(b"line\n")
        ours.settimeout(10.0)
        assert ours.recv(1) == b"", "who listens here connects again"
        theirs.settimeout(10.0)
        assert theirs.recv(1) == b""


def test_work_is_done_by_the_threads_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers("test", 2, 5.0, tmp_path)
    done: list[int] = []
    go_on = threading.Event()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", _fail)
        with pytest.raises(RuntimeError):
            workers.submit(lambda: done.append(0))

    def wait() -> None:
        go_on.wait(10.0)
        done.append(1)

    workers.submit(wait)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", _fail)
        workers.submit(lambda: done.append(2))
    go_on.set()
    wait_for(lambda: done == [1, 2], "what was taken", 10.0)
    workers.close()
