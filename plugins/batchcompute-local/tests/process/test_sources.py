"""Things that are made by one thread while others wait for them."""

from __future__ import annotations

import threading

import pytest
from batchcompute_local.process.sources import OneAtATime

from tests.support.waits import wait_for


def test_one_makes_a_thing_at_a_time_and_nothing_is_kept_of_it() -> None:
    one_at_a_time = OneAtATime()
    inside: list[int] = []
    most: list[int] = []
    gates = [threading.Event() for _ in range(3)]

    def make(number: int) -> None:
        with one_at_a_time("thing", "/place"):
            inside.append(number)
            most.append(len(inside))
            assert gates[number].wait(10.0)
            inside.remove(number)

    first, second, third = (threading.Thread(target=make, args=[number]) for number in range(3))
    first.start()
    wait_for(lambda: inside == [0], "the first one")
    with one_at_a_time("other", "/place"):
        second.start()
    gates[0].set()
    wait_for(lambda: inside == [1], "the second one, which waited")
    third.start()  # the first one has let go meanwhile
    for gate in gates:
        gate.set()
    for thread in (first, second, third):
        thread.join(10.0)
    with pytest.raises(ZeroDivisionError), one_at_a_time("failing", "/place"):
        raise ZeroDivisionError
    assert most == [1, 1, 1]
    assert len(one_at_a_time._making) == 0
