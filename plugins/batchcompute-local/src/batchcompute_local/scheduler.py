"""Which instance runs next: by priority over all jobs, larger first, then age (facts 2.6); within a job, tasks in the
order of the description whose predecessors are Finished; within a task, instances in order.
"""

from __future__ import annotations

import heapq
from itertools import count

from batchcompute_local.model import Job, Task, has_ended


class Scheduler:
    """A heap of jobs that have something to run: O(log n) a decision. Jobs that ended fall out when met."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Job]] = []
        self._ticket = count()

    def add(self, job: Job) -> None:
        """`job` may have something to run. Its priority cannot change while it is here (facts 2.3)."""
        if job.ready and not job.queued:
            job.queued = True
            # the ticket parts a job from its own earlier self, which may not have fallen out yet
            heapq.heappush(self._heap, (-job.priority, job.seq, next(self._ticket), job))

    def pick(self) -> tuple[Job, Task, int] | None:
        """The next instance to start, taken off the list; None if nothing waits that could run."""
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
