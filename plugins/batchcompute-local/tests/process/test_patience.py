"""Threads that wait for files: replaced, then abandoned. The files that give no answer are events here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local.process.patience import NoAnswerError, Workers, access, on_no_answer

from tests.support.waits import wait_for

SECONDS = 0.3
FAR = "/data/oss/far/x/y"


class Desk:
    """One thread, and notes of what happens."""

    def __init__(self) -> None:
        self.workers = Workers("test", 1, SECONDS, Path("/data/oss"))
        self.server = threading.Event()
        self.notes: list[str] = []

    def wait(self, path: str = FAR) -> None:
        """Work that waits for a path until the server is there."""
        on_no_answer(self.notes.append)
        try:
            with access(path):
                self.server.wait()
            self.notes.append(f"read {path}")
        except NoAnswerError as error:
            self.notes.append("late" if error.is_late else "refused")
            raise

    def do(self, path: str) -> None:
        """Work on a path that answers."""
        on_no_answer(self.notes.append)
        with access(path):
            pass
        self.notes.append(f"read {path}")

    def note(self, text: str) -> str:
        return wait_for(lambda: text if any(text in note for note in self.notes) else "", text, 5.0)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.server.set()
    made.workers.close()


def test_others_go_on_while_a_thread_waits(desk: Desk) -> None:
    desk.workers.submit(lambda: desk.wait() if not desk.notes else None)
    desk.workers.submit(lambda: desk.do("/data/oss/near/x"))
    desk.note("read /data/oss/near/x")
    desk.note(f"{FAR} gives no answer within {SECONDS} seconds; it may be on a network folder that hangs")


def test_what_comes_back_too_late_does_nothing_more(desk: Desk) -> None:
    first = [1]
    desk.workers.submit(lambda: desk.wait() if first and first.pop() else None)
    desk.note("gives no answer")
    desk.workers.submit(lambda: desk.do("/data/oss/far/z"))
    desk.workers.submit(lambda: desk.do("/data/oss/near/x"))
    desk.note("read /data/oss/near/x")
    assert "read /data/oss/far/z" not in desk.notes, "its folder is known to hang"
    desk.server.set()
    desk.note("late")
    assert f"read {FAR}" not in desk.notes
    wait_for(lambda: not desk.workers.is_hung(FAR), "the end of it", 5.0)
    desk.workers.submit(lambda: desk.do("/data/oss/far/z"))
    desk.note("read /data/oss/far/z")


def test_a_thread_that_waits_less_goes_on(desk: Desk) -> None:
    desk.server.set()
    desk.workers.submit(desk.wait)
    assert desk.note(f"read {FAR}")
    assert desk.notes == [f"read {FAR}"]


def test_work_is_shared_with_the_thread_that_replaces_it(desk: Desk) -> None:
    paths = [FAR, "/data/oss/near/1", "/data/oss/near/2"]

    def work() -> None:
        while paths:
            path = paths.pop(0)
            if path == FAR:
                desk.wait()
            else:
                desk.do(path)

    desk.workers.submit(work)
    desk.note("read /data/oss/near/2")
    desk.note("gives no answer")


def test_an_error_ends_no_thread(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise KeyError("a bug")

    desk.workers.submit(fail)
    desk.workers.submit(lambda: desk.do("/data/oss/near/x"))
    desk.note("read /data/oss/near/x")
    assert "work of test failed" in caplog.text


def test_close_waits_for_work_but_not_for_files(desk: Desk) -> None:
    busy = threading.Event()

    def work() -> None:
        busy.set()
        time.sleep(0.2)
        desk.notes.append("done")

    desk.workers.submit(work)
    assert busy.wait(5)
    desk.workers.close()
    assert desk.notes == ["done"]
    other = Desk()
    other.workers.submit(other.wait)
    wait_for(lambda: other.workers._watches[0].path, "the thread")
    began = time.monotonic()
    other.workers.close()
    assert time.monotonic() - began < 2
    other.server.set()


def test_outside_of_workers_it_has_no_effect() -> None:
    with access(FAR):
        pass
