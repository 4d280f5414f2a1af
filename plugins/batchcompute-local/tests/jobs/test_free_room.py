"""The tree of free room, against a walk over all places."""

from __future__ import annotations

import random
from typing import Any

import pytest
from batchcompute_local.jobs.free_room import NO_ROOM, FreeRoom, Room


def _fits(room: Room, need: Room) -> bool:
    return all(has >= wanted for has, wanted in zip(room[:3], need[:3], strict=True)) and room[3] & need[3] == need[3]


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_first_place_that_a_walk_finds(seed: int) -> None:
    chance, tree, places = random.Random(seed), FreeRoom(), list[Room]()
    for _ in range(1500):
        if not places or chance.random() < 0.05:
            places.append(NO_ROOM)
        at = chance.randrange(len(places))
        left = chance.randint(0, 3), chance.randint(0, 4), chance.randint(0, 4), chance.randint(0, 3)
        places[at] = NO_ROOM if chance.random() < 0.4 else left
        tree.set(at, places[at])
        need = chance.randint(0, 3), chance.randint(0, 4), chance.randint(0, 4), chance.randint(0, 3)
        fitting = [number for number, room in enumerate(places) if _fits(room, need)]
        assert tree.find(need) == (fitting[0] if fitting else None)
        found = tree.find(need, first=False)
        assert found in fitting if fitting else found is None
        assert tree.most[:3] == tuple(max(room[measure] for room in places) for measure in range(3))


def test_the_one_with_most_is_found_where_one_measure_counts() -> None:
    tree = FreeRoom()
    for number in range(1000):
        tree.set(number, (number % 617, 1, 1, 0))
    assert tree.find((0, 1, 1, 0), first=False) == 616


def test_a_search_and_a_change_look_at_few_of_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = FreeRoom()
    for number in range(10_000):
        tree.set(number, NO_ROOM)
    tree.set(9_000, (1, 1, 1, 0))
    calls: list[int] = []
    search = FreeRoom._search

    def count(self: FreeRoom, height: int, *others: Any) -> int | None:
        calls.append(height)
        return search(self, height, *others)

    monkeypatch.setattr(FreeRoom, "_search", count)
    assert tree.find((1, 1, 1, 0)) == 9_000
    assert calls == [3, 2, 1, 0]
