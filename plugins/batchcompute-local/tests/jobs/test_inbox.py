"""The inbox: what a turn takes, and for how long it waits for more."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest
from batchcompute_local.executors.base import Event, Exited
from batchcompute_local.jobs import inbox
from batchcompute_local.jobs.inbox import Inbox, WorkItem

LONG = 60.0


def _event(number: int) -> Event:
    return Exited(f"job-1.0.{number}.1", code=0)


@pytest.fixture
def long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for more when he should not is noticed."""
    monkeypatch.setattr(inbox, "_GATHER_SECONDS", LONG)


@pytest.mark.usefixtures("long_wait")
def test_events_that_are_wanted_are_waited_for() -> None:
    box = Inbox()
    box.put(_event(0))

    def add() -> None:
        for number in (1, 2):
            box.put(_event(number))

    later = threading.Timer(0.05, add)
    later.start()
    assert box.take(None, 3) == [_event(0), _event(1), _event(2)]
    later.join()


@pytest.mark.usefixtures("long_wait")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_work_item_waits_for_no_event(place: int) -> None:
    box, item = Inbox(), WorkItem(lambda turn: None, Future())
    items: list[WorkItem | Event] = [_event(0), _event(1)]
    items.insert(place, item)
    for each in items:
        box.put(each)
    began = time.monotonic()
    assert box.take(None, 9) == items
    assert time.monotonic() - began < LONG / 2


@pytest.mark.usefixtures("long_wait")
def test_the_end_waits_for_no_event() -> None:
    box = Inbox()
    box.put(_event(0))
    box.close()
    assert box.take(None, 9) == [_event(0)]
    assert box.closed


def test_the_wait_is_short() -> None:
    box = Inbox()
    box.put(_event(0))
    assert box.take(None, 9) == [_event(0)]


@pytest.mark.usefixtures("long_wait")
@pytest.mark.parametrize("wanted", [-4, 0, 1])
def test_without_a_wish_for_more_nothing_is_waited_for(wanted: int) -> None:
    box = Inbox()
    box.put(_event(0))
    assert box.take(None, wanted) == [_event(0)]
