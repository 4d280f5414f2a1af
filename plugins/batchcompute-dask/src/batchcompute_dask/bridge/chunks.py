"""Chunks: attempts that travel to a node together, about half a second of its work. A long one travels alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from batchcompute_local.executors.base import Exited

from batchcompute_dask.messages import Group

_CHUNK_SECONDS = 0.5
_UNKNOWN_SECONDS = 1.0
_SHORTEST_SECONDS = 0.0005
_MOST_TASKS = 10_000
_MOST_MEMBERS = 2_000


class Estimates:
    """How long instances run, by how long the latest of their tasks did; those of a new task by the latest of all."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[str, float] = OrderedDict()
        self._latest = _UNKNOWN_SECONDS

    def note(self, event: Exited) -> None:
        """Note the end of an attempt."""
        if event.started:
            task = _task_of(event.attempt)
            seconds = max(_SHORTEST_SECONDS, event.ended - event.started)
            before = self._seconds.pop(task, seconds)
            self._seconds[task] = before + (seconds - before) / 4
            self._latest += (seconds - self._latest) / 4
            if len(self._seconds) > _MOST_TASKS:
                self._seconds.popitem(last=False)

    def seconds(self, attempt: str) -> float:
        """Return how long it will probably run."""
        return self._seconds.get(_task_of(attempt), self._latest)

    def split(self, groups: Iterable[Group], slots: int) -> Iterator[list[Group]]:
        """Yield the chunks of `groups`, in order, for a node with so many slots."""
        chunk: list[Group] = []
        room = _CHUNK_SECONDS * slots
        for group in groups:
            seconds = self.seconds(group.members[0][0])
            if seconds >= _CHUNK_SECONDS:
                if chunk:
                    yield chunk
                yield from ([replace(group, members=(member,))] for member in group.members)
                chunk, room = [], _CHUNK_SECONDS * slots
                continue
            members = group.members
            while members:
                most = min(_MOST_MEMBERS, max(1, int(room / seconds)))
                chunk.append(replace(group, members=members[:most]))
                room -= seconds * len(members[:most])
                members = members[most:]
                if members or room < seconds:
                    yield chunk
                    chunk, room = [], _CHUNK_SECONDS * slots
        if chunk:
            yield chunk


def _task_of(attempt: str) -> str:
    return attempt.rsplit(".", 2)[0]
