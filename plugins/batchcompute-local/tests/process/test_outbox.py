"""What waits for a peer that does not read is bounded, and nobody waits for the peer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from batchcompute_local.process import outbox as outbox_module
from batchcompute_local.process.outbox import Outbox

from tests.support.waits import wait_for

LINE = b"x" * 99_999 + b"\n"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_peer_that_does_not_read_holds_up_nobody(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MOST_BYTES", 1_000_000)
    box = Outbox(pair[0])
    began = time.monotonic()
    taken = 0
    while box.put(LINE, must=False):
        taken += 1
    assert box.put(b"what must not be left out\n")
    assert time.monotonic() - began < 1.0
    assert 1_000_000 < taken * len(LINE) < 3_000_000
    stream = pair[1].makefile("rb")
    assert [stream.readline() for _ in range(taken)] == [LINE] * taken  # whole, and in order
    assert stream.readline() == b"what must not be left out\n"
    wait_for(lambda: box.put(LINE, must=False), "room")
    assert stream.readline() == LINE
    box.close(1.0)
    stream.close()


def test_a_peer_that_says_nothing_is_asked(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "PING_SECONDS", 0.05)
    monkeypatch.setattr(outbox_module, "SILENT_SECONDS", 0.1)
    box = Outbox(pair[0], b"ping\n")
    with pair[1].makefile("rb") as stream:
        assert stream.readline() == b"ping\n"
        wait_for(lambda: box.silent_seconds, "its silence")
        box.note_heard()
        assert not box.silent_seconds
        assert stream.readline() == b"ping\n"
    box.close(1.0)


def test_a_peer_that_does_not_know_the_question_is_not_asked(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "PING_SECONDS", 0.01)
    box = Outbox(pair[0])
    pair[1].settimeout(0.2)
    with pytest.raises(TimeoutError):
        pair[1].recv(1)
    assert not box.silent_seconds
    box.close(1.0)


def test_a_peer_that_is_gone_ends_the_thread(pair: tuple[socket.socket, socket.socket]) -> None:
    box = Outbox(pair[0])
    pair[1].close()
    assert box.put(LINE)
    wait_for(lambda: not box._thread.is_alive(), "the end of the thread")
