"""Pick the next instance to run: by priority over all jobs, larger first, then age (protocol 2.6); within a job, from the
tasks whose predecessors are Finished, in the order of the description; within a task, in the order of the instances.
"""

from __future__ import annotations

import heapq
from itertools import count

from batchcompute_local.jobs.model import Job, Task, has_ended

_AHEAD_SECONDS = 0.05
_UNKNOWN_SECONDS = 1.0
_SHORTEST_SECONDS = 0.0005


class Scheduler:
    """A heap of jobs that have something to run: O(log n) a decision. Jobs that ended are dropped when they come to the top."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Job]] = []
        self._ticket = count()

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


class ClaimAhead:
    """Estimate of how soon slots become free, by how long the latest instances ran.

    Short ones are claimed ahead of a free slot, so that many ends and claims share a commit; but only as many as will
    probably begin within `_AHEAD_SECONDS`, so that a new job of a higher priority hardly waits.
    """

    def __init__(self) -> None:
        self._seconds = _UNKNOWN_SECONDS

    def note_end(self, seconds: float) -> None:
        """Note that an instance ended that ran for `seconds`."""
        self._seconds += (max(_SHORTEST_SECONDS, seconds) - self._seconds) / 4

    def note_return(self) -> None:
        """Note that an instance claimed ahead did not begin in time."""
        self._seconds = max(self._seconds, _UNKNOWN_SECONDS)

    def count(self, slots: int) -> int:
        """Return how many instances will probably begin soon, besides those that run now."""
        return int(slots * _AHEAD_SECONDS / self._seconds)
