"""The connection to the runner: what is odd on it is left out and logged, and never keeps the service from starting."""

from __future__ import annotations

import json
import logging
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from batchcompute_local import filelocks, unixsocket
from batchcompute_local.paths import Layout
from batchcompute_local.process import connection as connection_module
from batchcompute_local.process.connection import RunnerConnection
from batchcompute_local.records import Greeting, Lost, RunnerEvent, encode

from tests.support.waits import wait_for


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path)
    made.create()
    return made


def _connect(layout: Layout) -> RunnerConnection:
    return RunnerConnection(layout, "job-none", 0.2, threading.RLock())


def test_an_odd_line_in_the_journal_keeps_nothing_from_starting(layout: Layout) -> None:
    layout.journal.write_text('{"attempt":"x","event":"started"}\n')
    connection = _connect(layout)
    assert connection.open() == Greeting((), (), 2, connection.containment, pings=True)
    connection.close()
    assert "StartRecord has no field 'time'" in layout.log.read_text()
    wait_for(lambda: not layout.runner_socket.exists(), "the runner's end")


def test_a_record_that_is_not_whole_is_left_out(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    listener = unixsocket.listen(layout.runner_socket)
    with listener:
        sent = [encode(Greeting(("a",), (), 2)), b"no JSON\n"]
        odd = [{"event": "lost"}, {"event": "vanished", "attempt": "a"}, 7]
        sent.append(json.dumps([*odd, {"event": "lost", "attempt": "a", "why": "a later field"}]).encode() + b"\n")
        speaking = threading.Thread(target=_speak, args=(listener, sent))
        speaking.start()
        connection = _connect(layout)
        assert connection.open().live == ("a",)
        heard: list[RunnerEvent] = []

        def hear(event: RunnerEvent) -> None:
            heard.append(event)
            connection.close()

        with caplog.at_level(logging.ERROR):
            connection.listen(hear, lambda greeting: pytest.fail("another runner"))
        speaking.join()
    assert heard == [Lost("a")]
    assert [each.getMessage().partition(": ")[2] for each in caplog.records if "whole" in each.getMessage()] == [
        "Lost has no field 'attempt'",
        "a record's 'event' must be one of started, exited, lost, returned, refused, pong, not a value of type str",
        "a record's 'event' must be one of started, exited, lost, returned, refused, pong, not None",
    ]
    assert "not JSON" in caplog.text


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b"no JSON\n", b'{"live":["a"],"ended":[{"event":"exited"}]}\n'])
def test_a_greeting_that_is_not_whole_is_an_error(layout: Layout, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    ended = threading.Event()
    monkeypatch.setattr(connection_module, "_GREETING_SECONDS", 0.3)
    speaking = threading.Thread(target=_repeat, args=(unixsocket.listen(layout.runner_socket), line, ended))
    with filelocks.locked(layout.runner_lock):  # as by the runner that says it, so that no other one takes its place
        speaking.start()
        connection = _connect(layout)
        with pytest.raises(ConnectionAbortedError, match="the runner's greeting is not whole"):
            connection.open()
    ended.set()
    unixsocket.connect(layout.runner_socket).close()
    speaking.join()


def test_few_processes_are_started_while_another_one_holds_the_lock(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Layout] = []

    def spawn(layout: Layout, *_: object) -> int:
        started.append(layout)
        return 0

    monkeypatch.setattr(connection_module, "_GREETING_SECONDS", 3.0)
    monkeypatch.setattr(connection_module, "spawn_runner", spawn)
    with pytest.raises(FileNotFoundError):
        _connect(layout).open()
    assert 3 <= len(started) <= 9


def test_a_connection_that_breaks_before_the_greeting_is_closed(layout: Layout) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"{")
    ours.sendall(b"what they do not read resets the connection")
    theirs.close()
    with pytest.raises(ConnectionError):
        _connect(layout)._greet(ours)
    assert ours.fileno() == -1


def _repeat(listener: socket.socket, line: bytes, ended: threading.Event) -> None:
    with listener:
        while not ended.is_set():
            sock, _ = listener.accept()
            with sock, suppress(BrokenPipeError):
                sock.sendall(line)


def _speak(listener: socket.socket, lines: list[bytes]) -> None:
    sock, _ = listener.accept()
    with sock:
        sock.sendall(b"".join(lines))
        sock.recv(1)
