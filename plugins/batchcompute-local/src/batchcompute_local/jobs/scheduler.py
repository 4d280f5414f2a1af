"""Pick the next instance to run: by priority over all jobs, larger first, then age (protocol 2.6); within a job, from the
tasks whose predecessors are Finished, in the order of the description; within a task, in the order of the instances.

Where others may go on while a task waits for room, it is parked, under what it requests. The first that is parked under a request
stands for all of them: it is offered again when there may be room.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from itertools import count
from typing import NamedTuple

from batchcompute_local.jobs.model import Job, Task, has_ended

_FEW = 64
_Entry = tuple[int, int, int, int, Job, Task]


class Parked(NamedTuple):
    """The first task of those that are parked under a request."""

    request: Hashable
    job: Job
    task: Task


class Scheduler:
    """A heap of jobs that have something to run: O(log n) a decision. Jobs that ended are dropped when they come to the top."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Job]] = []
        self._ticket = count()
        self._parked: dict[Hashable, list[_Entry]] = {}
        self._crowded: dict[Hashable, int] = {}

    def add(self, job: Job) -> None:
        """Add `job` if it has something to run. Its priority cannot change while it is here (protocol 2.3)."""
        if job.ready and not job.queued:
            job.queued = True
            # the ticket parts a job from its own earlier self, which may not be dropped yet
            heapq.heappush(self._heap, (-job.priority, job.seq, next(self._ticket), job))

    def pick(self) -> tuple[Job, Task, int] | None:
        """Take the next instance to start off the list; None if none can run."""
        while self._heap:
            job = self._heap[0][-1]
            while job.ready and not has_ended(job):
                task = job.tasks[job.ready[0]]
                number = task.take()
                if number is not None:
                    return job, task, number
                task.listed = False
                heapq.heappop(job.ready)
            heapq.heappop(self._heap)
            job.queued = False
        return None

    def park(self, job: Job, task: Task, request: Hashable) -> None:
        """Let `task`, of which an instance was just picked, wait until there is room for `request`; others go on."""
        heapq.heappop(job.ready)
        parked = self._parked.setdefault(request, [])
        heapq.heappush(parked, (-job.priority, job.seq, task.position, next(self._ticket), job, task))
        if len(parked) > self._crowded.get(request, _FEW):  # jobs that ended while they were parked
            parked[:] = [one for one in parked if not has_ended(one[4])]
            heapq.heapify(parked)
            self._crowded[request] = max(_FEW, 2 * len(parked))

    def unpark(self, request: Hashable) -> None:
        """Offer the first task again that is parked under `request`."""
        first = self.first_parked(request)
        if first is not None:
            job, task = first
            heapq.heappop(self._parked[request])
            heapq.heappush(job.ready, task.position)
            self.add(job)

    def first_parked(self, request: Hashable) -> tuple[Job, Task] | None:
        """Return the first task that is parked under `request`; None if none is."""
        parked = self._parked.get(request, [])
        while parked and has_ended(parked[0][4]):
            heapq.heappop(parked)
        if parked:
            return parked[0][4], parked[0][5]
        self._parked.pop(request, None)
        self._crowded.pop(request, None)
        return None

    def parked(self) -> Iterator[Parked]:
        """Yield the first task under each request."""
        for request in tuple(self._parked):
            first = self.first_parked(request)
            if first is not None:
                yield Parked(request, *first)
