"""The interface of an operation that only reads: over what was committed last, or within a turn of the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from batchcompute.surroundings import Surroundings
from batchcompute_local.jobs.model import Attempt, Instance, Job, Task
from batchcompute_local.jobs.rows import Rows


class Explanation(Protocol):
    """Why something waits, and who takes the slots, at one moment. An empty text means that nothing waits."""

    def slots(self) -> dict[str, Any]:
        """Return {Total, Taken, ByJob}."""

    def of_job(self, job: Job) -> str:
        """Say why nothing of `job` runs."""

    def of_task(self, job: Job, task: Task) -> str:
        """Say why no instance of `task` runs, or those that have not begun."""

    def of_instance(self, job: Job, task: Task, instance: Instance) -> str:
        """Say why `instance`, which was started before, does not run."""


class Reading:
    """Valid only while the operation runs that got it."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def find(self, job_id: str) -> Job | None:
        """Find a job, as a summary at least; None if there is none."""
        return self._read().summary(job_id)

    def outline(self, job: Job) -> Job:
        """Read the plan and the tasks of `job` if it is a summary; their instances are to be asked for. Returns `job`."""
        return job if job.tasks else self._read().outline(job)

    def tasks(self, job: Job) -> list[Task]:
        """Return the tasks of `job`; their instances are to be asked for."""
        return job.tasks or self._read().tasks(job.seq)

    def instances(self, job: Job, task: Task, condition: str = "TRUE") -> Iterator[Instance]:
        """Yield the instances of a task that were started at least once, by number. condition: see `Rows.instances`."""
        for one in self._read().instances(job.seq, task.position, condition):
            yield task.instances.get(one.number, one)  # it knows when the program began, which is stored with its end

    def newest_attempt(self, job: Job, task: Task, number: int) -> int | None:
        """Return the newest attempt of an instance whose program began; None if none did."""
        for one in self.instances(job, task, f"number = {number:d}"):
            if one.worker_started or one.host:  # of an attempt that runs a snapshot knows the time only
                return one.attempt
        return self._read().newest_earlier(job.seq, task.position, number)

    def description(self, job: Job) -> dict[str, Any]:
        """Read the description of `job` as it was accepted."""
        view: dict[str, Any] = json.loads(self._read().description(job.seq))
        return view

    def surroundings(self, job: Job) -> Surroundings | None:
        """Read the surroundings with which `job` was submitted; None if none were sent."""
        return self._read().surroundings(job.seq)

    def select(self, owner: int, expression: str, after: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield the number of each job of `owner` with a number above `after`, in order, and an SQL `expression` over its row."""
        return self._read().select(owner, expression, after)

    def active(self, owner: int) -> list[Job]:
        """Return the jobs of `owner` that have not ended, as summaries at least."""
        return self._read().active_of(owner)

    def earlier_attempts(self, job: Job) -> Iterator[tuple[int, int, Attempt]]:
        """Yield task position, instance number and attempt of all earlier attempts of `job`, in order."""
        return self._read().attempts(job.seq)

    def count_leftovers(self, owner: int) -> dict[str, int]:
        """Count the instances that left processes, by job id; only jobs of `owner` that have any."""
        return self._read().leftovers(owner)

    def reasons(self, owner: int) -> Explanation:
        """Return why jobs of `owner` wait now; it names no jobs of others."""
        raise NotImplementedError

    def _read(self) -> Rows:
        return self._rows
