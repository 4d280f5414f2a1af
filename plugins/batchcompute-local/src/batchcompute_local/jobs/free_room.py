"""Find a place with enough room among many: a tree over the places, with the most of each measure in every branch. No I/O.

A change costs as much as the tree is high, and so does a search, unless many branches have one measure in one place and another
in another place.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import chain, pairwise
from math import inf
from operator import or_

_WIDTH = 16

Room = tuple[float, float, float, int]
"""Three measures, and a set of properties as bits."""
NO_ROOM: Room = (-inf, -inf, -inf, 0)

_Level = tuple[list[float], list[float], list[float], list[int]]


class FreeRoom:
    """Room by the number of its place: 0, 1, 2 and so on."""

    def __init__(self) -> None:
        self._levels: list[_Level] = [_empty()]

    @property
    def most(self) -> Room:
        """The most that any place has of each measure, and all bits."""
        top = self._levels[-1]
        return _sum_up(top, 0) if top[0] else NO_ROOM

    def set(self, place: int, room: Room) -> None:
        """Let a place have this room. Numbers are to be dense."""
        while place >= len(self._levels[0][0]):
            self._grow()
        old = _replace(self._levels[0], place, room)
        for below, level in pairwise(self._levels):
            if old == room:
                return
            place //= _WIDTH
            part = slice(place * _WIDTH, (place + 1) * _WIDTH)
            room = (
                _most(level[0][place], old[0], room[0], below[0], part),
                _most(level[1][place], old[1], room[1], below[1], part),
                _most(level[2][place], old[2], room[2], below[2], part),
                level[3][place] if room[3] == old[3] else reduce(or_, below[3][part]),
            )
            old = _replace(level, place, room)

    def find(self, need: Room, first: bool = True) -> int | None:
        """Return the first place with no less than `need`, or one with much of the first measure; None if no place has it."""
        return self._search(len(self._levels) - 1, 0, len(self._levels[-1][0]), need, first)

    def _search(self, height: int, start: int, end: int, need: Room, first: bool) -> int | None:
        one, two, three, bits = self._levels[height]
        order: Iterable[int] = range(start, min(end, len(one)))
        if not first and (part := one[start:end]):
            order = chain(
                (start + part.index(max(part)),), order
            )  # mostly there is room where there is most of the first
        for at in order:
            if one[at] >= need[0] and two[at] >= need[1] and three[at] >= need[2] and bits[at] & need[3] == need[3]:
                if height == 0:
                    return at
                found = self._search(height - 1, at * _WIDTH, (at + 1) * _WIDTH, need, first)
                if found is not None:
                    return found
        return None

    def _grow(self) -> None:
        _append(self._levels[0])
        for below, level in pairwise(self._levels):
            if len(below[0]) > _WIDTH * len(level[0]):
                _append(level)
        if len(self._levels[-1][0]) > _WIDTH:
            below, top = self._levels[-1], _empty()
            for branch in range(2):
                _append(top)
                _replace(top, branch, _sum_up(below, branch))
            self._levels.append(top)


def _empty() -> _Level:
    return [], [], [], []


def _append(level: _Level) -> None:
    for measure in level[:3]:
        measure.append(-inf)
    level[3].append(0)


def _most(most: float, old: float, new: float, values: list[float], part: slice) -> float:
    """Return the most of a branch in which one of the values was changed: seldom are all of them to be looked at."""
    if new >= most:
        return new
    return max(values[part]) if old == most else most


def _sum_up(below: _Level, branch: int) -> Room:
    """Return the most of each measure in a branch, and all bits."""
    part = slice(branch * _WIDTH, (branch + 1) * _WIDTH)
    return max(below[0][part]), max(below[1][part]), max(below[2][part]), reduce(or_, below[3][part])


def _replace(level: _Level, at: int, room: Room) -> Room:
    """Return what was there before."""
    one, two, three, bits = level
    old = one[at], two[at], three[at], bits[at]
    one[at], two[at], three[at], bits[at] = room
    return old
