"""What follows from answers and from silence, on a clock of the test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from batchcompute_dask.bridge.book import Book
from batchcompute_dask.bridge.peers import Peer
from batchcompute_dask.messages import Answer, Begin, Truth
from batchcompute_dask.settings import Options
from batchcompute_local.executors.base import (
    Event,
    Exited,
    Lost,
    Node,
    NodeDown,
    NodeUp,
    Returned,
    Started,
    Unreachable,
)
from batchcompute_local.settings import Settings

WHOLE = 10 + 2 + 5 + 0.12
"""Lease, grace and margin."""


class Page:
    """A book, a clock, and a node whose boot clock is another one."""

    def __init__(self, claims: dict[str, str] | None = None, stopped: tuple[str, ...] = ()) -> None:
        self.now = 1000.0
        self.events: list[Event] = []
        options, settings = Options("tls://h:1", lease_seconds=10.0), Settings(grace_seconds=2.0)
        begin = Begin(7, "/data", "job-", options, settings, claims or {}, stopped)
        self.book = Book(begin, self.events.append, lambda: self.now)

    def answer(self, *events: Event, truth: Truth | None = None, **more: Any) -> Answer:
        values = {"session": "s1", "epoch": 1, "boot": self.now + 50_000, "live": 0, **more}
        return Answer(Node("n", "h", 2), events=events, truth=truth, **values)

    def sync(self, *events: Event, live: tuple[str, ...] = (), **more: Any) -> Peer:
        return self.book.take_sync(self.answer(*events, truth=Truth(frozenset(live), ()), **more), "tcp://n:1")

    def up(self) -> Peer:
        """Have the node there."""
        peer = self.sync()
        self.book.ask(peer, 0.0, True)
        self.book.take(peer, self.answer())
        return peer

    def taken(self) -> list[Event]:
        """The events since the last call."""
        found, self.events[:] = [*self.events], []
        return found


def test_a_node_is_there_once_it_has_its_lease() -> None:
    page = Page()
    peer = page.sync()
    assert page.book.give("n", ["job-1.0.0.1"]) is None
    assert page.taken() == [Returned("job-1.0.0.1")]
    asked = page.book.ask(peer, 1.0, True)
    assert asked.granted == 51_000.0, "a time of its own clock"
    page.book.take(peer, page.answer())
    assert page.taken() == [NodeUp(Node("n", "h", 2))]
    assert page.book.give("n", ["job-1.0.0.1"]) is peer
    page.book.take(peer, page.answer(live=1))
    assert page.taken() == []


def test_what_a_sync_does_not_show_has_never_begun() -> None:
    page = Page({"job-1.0.0.1": "n", "job-1.0.1.1": "n", "job-1.0.2.1": "n", "job-1.0.3.1": "other"})
    started = Started("job-1.0.1.1", 1.0, "h")
    ended = Exited("job-1.0.2.1", code=0)
    page.sync(started, ended, live=("job-1.0.1.1",))
    assert page.taken() == [started, ended, Lost("job-1.0.0.1")]


def test_a_silent_node_gets_nothing_and_its_attempts_run_again_after_its_lease() -> None:
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    page.book.ask(peer, 1.0, True)  # grants a lease that may arrive, from the answer received at 1000
    page.taken()
    page.now = 1004.9
    page.book.look()
    assert page.taken() == []
    page.now = 1005.0
    page.book.look()
    down, unknown = page.taken()
    assert down == NodeDown("n", "node n does not answer for 5 seconds")
    assert isinstance(unknown, Unreachable)
    assert unknown.reason.endswith("it may still run there; in 12 seconds it is certain that it does not")
    assert page.book.give("n", ["job-1.0.1.1"]) is None
    page.taken()
    page.now = 1000 + WHOLE - 0.01
    page.book.look()
    assert page.taken() == []
    page.now = 1000 + WHOLE
    page.book.look()
    assert page.taken() == [Lost("job-1.0.0.1")]


def test_the_lease_counts_from_the_receipt_of_the_answer_that_it_was_granted_from() -> None:
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    page.now = 1003.0
    page.book.take(peer, page.answer(live=1))  # received, but no lease was granted from it yet
    page.taken()
    page.now = 1000 + WHOLE
    page.book.look()
    assert Lost("job-1.0.0.1") in page.taken()
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    page.now = 1003.0
    page.book.take(peer, page.answer(live=1))
    page.book.ask(peer, 1.0, True)
    page.taken()
    page.now = 1003 + WHOLE - 0.01
    page.book.look()
    assert Lost("job-1.0.0.1") not in page.taken()


def test_after_a_restart_every_claim_has_a_whole_lease() -> None:
    page = Page({"job-1.0.0.1": "n"})
    page.now = 1000 + WHOLE - 0.01
    page.book.look()
    assert [type(event) for event in page.taken()] == [NodeDown, Unreachable]
    page.now = 1000 + WHOLE
    page.book.look()
    assert page.taken() == [Lost("job-1.0.0.1")]


def test_a_result_that_comes_late_is_passed_on_once() -> None:
    page = Page()
    page.up()
    page.book.give("n", ["job-1.0.0.1"])
    page.now += 100
    page.book.look()
    page.taken()
    late = Exited("job-1.0.0.1", code=0)
    peer = page.sync(late)
    assert page.taken() == [late]
    page.book.take(peer, page.answer(late))
    assert page.taken() == [NodeUp(Node("n", "h", 2))], "the service is about to acknowledge it"
    page.book.acknowledge(["job-1.0.0.1"])
    assert page.book.ask(peer, 0.0, True).acknowledged == ("job-1.0.0.1",)
    assert page.book.ask(peer, 0.0, True).acknowledged == ()


def test_attempts_that_were_given_up_are_stopped_when_their_node_is_back() -> None:
    page = Page()
    page.up()
    page.book.give("n", ["job-1.0.0.1"])
    page.now += 100
    page.book.look()
    peer = page.sync(live=("job-1.0.0.1",))
    assert page.book.ask(peer, 0.0, True).stops == ("job-1.0.0.1",)


def test_a_node_that_was_given_up_gets_nothing_before_it_has_synced() -> None:
    page = Page()
    old = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    page.book.ask(old, 1.0, True)
    page.now += 100
    page.book.look()
    assert old.wants_sync
    page.taken()
    page.book.take(old, page.answer(live=1))  # to the question from before; its chunk may be on its way still
    assert page.taken() == []
    assert page.book.give("n", ["job-1.0.0.2"]) is None
    page.taken()
    peer = page.sync(epoch=2)
    assert peer is not old
    page.book.take(old, page.answer(epoch=2))
    assert page.taken() == [], "not even then"
    page.book.ask(peer, 0.0, True)
    page.book.take(peer, page.answer(epoch=2))
    assert page.taken() == [NodeUp(Node("n", "h", 2))]


def test_an_end_from_before_a_node_was_given_up_is_acknowledged_after_its_sync() -> None:
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    ended = Exited("job-1.0.0.1", code=0)
    page.book.take(peer, page.answer(ended))
    page.now += 100
    page.book.look()
    page.taken()
    peer = page.sync(ended)
    assert page.taken() == []
    page.book.acknowledge(["job-1.0.0.1"])
    assert page.book.ask(peer, 0.0, True).acknowledged == ("job-1.0.0.1",)


def test_a_question_that_may_be_lost_is_asked_again() -> None:
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    assert page.book.stop(["job-1.0.0.1", "job-1.0.9.1"]) == {"n"}
    page.book.forget(["job-0"])
    asked = page.book.ask(peer, 0.0, True)
    assert (asked.stops, asked.forgets) == (("job-1.0.0.1",), ("job-0",))
    assert page.book.ask(peer, 0.0, True).stops == ()
    peer.ask_again(asked)
    again = page.book.ask(peer, 0.0, True)
    assert (again.stops, again.forgets) == (("job-1.0.0.1",), ("job-0",))
    page.now += 3.0
    assert page.book.ask(peer, 0.0, True).stops == ("job-1.0.0.1",), "it did not end"
    page.book.take(peer, page.answer(Exited("job-1.0.0.1", reason="stopped")))
    page.now += 3.0
    assert page.book.ask(peer, 0.0, True).stops == ()


def test_stops_from_before_a_restart_are_sent() -> None:
    page = Page({"job-1.0.0.1": "n"}, ("job-1.0.0.1",))
    peer = page.sync(live=("job-1.0.0.1",))
    assert page.book.ask(peer, 0.0, True).stops == ("job-1.0.0.1",)


def test_lost_and_returned_ones_need_no_word_of_the_service() -> None:
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1", "job-1.0.1.1"])
    page.taken()
    page.book.take(peer, page.answer(Lost("job-1.0.0.1"), Returned("job-1.0.1.1")))
    assert page.taken() == [Lost("job-1.0.0.1"), Returned("job-1.0.1.1")]
    assert set(page.book.ask(peer, 0.0, True).acknowledged) == {"job-1.0.0.1", "job-1.0.1.1"}
    page.book.take(peer, page.answer(Lost("job-1.0.0.1")))
    assert page.taken() == [], "it runs again already"


@pytest.mark.parametrize("live", [0, 2])
def test_a_node_with_other_attempts_is_asked_for_all_of_them(live: int) -> None:
    page = Page()
    peer = page.up()
    page.book.give("n", ["job-1.0.0.1"])
    peer.chunks = 1
    for _ in range(20):
        page.now += 1
        page.book.take(peer, page.answer(live=live))
    assert not peer.wants_sync, "a chunk is on its way"
    peer.chunks = 0
    for _ in range(12):
        page.now += 1
        page.book.take(peer, page.answer(live=live))
    assert peer.wants_sync


def test_epochs_grow() -> None:
    page = Page()
    first = page.book.next_epoch()
    assert first == 7 << 32
    assert page.book.next_epoch() == first + 1


def test_a_node_with_other_values_is_reported_again() -> None:
    page = Page()
    peer = page.up()
    page.taken()
    other = Node("n", "h", 3, 200, 1000)
    page.book.take(peer, replace(page.answer(), node=other))
    assert page.taken() == [NodeUp(other)]
