"""Why jobs, tasks and instances wait, in words. Computed when somebody asks; a turn of the engine pays nothing for it. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from batchcompute_local.jobs.active import ActiveJobs
from batchcompute_local.jobs.model import Instance, Job, Task, attempt_id, has_ended, running_instance
from batchcompute_local.jobs.states import FAILED, FINISHED, RUNNING, WAITING

_MOST_NAMED = 3
_OTHERS = ""
"""Stands for the jobs of other accounts, whose ids the caller may not know."""


class Reasons:
    """Reasons at one moment. An empty text means that nothing waits.

    `is_known` tells by its id whether the caller may know of a job. `slots` may be called from any thread.
    """

    def __init__(self, active: ActiveJobs, is_known: Callable[[str], bool]) -> None:
        self._active = active
        self._placement = active.placement
        self._slots = active.placement.slots
        self._is_known = is_known

    # -- slots

    @cached_property
    def taken(self) -> Counter[str]:
        """The number of slots that each job takes; those of other accounts together under ""."""
        live = tuple(self._placement.live)
        if len(live) > self._slots:  # some were claimed ahead of a slot: they have not begun, or did so just now
            live = tuple(sorted(live, key=self._is_ahead)[: self._slots])
        taken: Counter[str] = Counter()
        for job_id, count in Counter(attempt.partition(".")[0] for attempt in live).items():
            taken[self._known(job_id)] += count
        return taken

    def slots(self) -> dict[str, Any]:
        """Return {Total, Taken, ByJob}."""
        return {"Total": self._slots, "Taken": self.taken.total(), "ByJob": dict(self.taken)}

    def _is_ahead(self, attempt: str) -> bool:
        found = running_instance(self._active.jobs, attempt)
        return found is not None and not found[2].worker_started

    def _known(self, job_id: str) -> str:
        return job_id if self._is_known(job_id) else _OTHERS

    # -- reasons

    def of_job(self, job: Job) -> str:
        """Say why nothing of `job` runs; for a job that runs, that a job waits which it submitted."""
        if has_ended(job):
            return ""
        if job.counts.running > len(self._delayed(job)):
            return self._of_children(job)
        if delayed := next(iter(self._delayed(job).values()), ""):
            return delayed
        return next((reason for task in job.tasks if not task.blockers and (reason := self.of_task(job, task))), "")

    def of_task(self, job: Job, task: Task) -> str:
        """Say why no instance of `task` runs, or those that have not begun."""
        if has_ended(job) or not (task.counts.waiting or task.counts.running):
            return ""
        if task.blockers:
            return self._of_blockers(job, task)
        delayed = self._delayed(job)
        if reason := next((why for key, why in delayed.items() if key[0] == task.position), ""):
            return reason
        if not task.counts.waiting:
            return ""
        if task.has_next():
            return self._of_turn(job, task)
        waiting = [one for one in task.instances.values() if one.state is WAITING]
        first = min(waiting, key=lambda one: (one.not_before, one.number), default=None)
        return f"instance {first.number}: {self.of_instance(job, task, first)}" if first else ""

    def of_instance(self, job: Job, task: Task, instance: Instance) -> str:
        """Say why `instance`, which was started before, does not run."""
        if has_ended(job):
            return ""
        if instance.state is RUNNING:
            return self._delayed(job).get((task.position, instance.number), "")
        if instance.state is not WAITING:
            return ""
        if instance.not_before:
            until = datetime.fromtimestamp(instance.not_before, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            most = job.plan.tasks[task.position].max_retries
            return f"pause before retry {instance.retries} of {most} until {until}"
        if attempt_id(job, task, instance) in self._placement.live:
            return "processes of its earlier attempt are still being ended"
        return self.of_task(job, task)

    def _delayed(self, job: Job) -> dict[tuple[int, int], str]:
        """Reasons of instances that a full disk or machine holds, or a node that is away, by task position and number."""
        found = {}
        for instance, why in self._active.delays.get(job.id, {}).items():
            _, position, number = instance.rsplit(".", 2)
            found[int(position), int(number)] = why
        return found

    def _of_blockers(self, job: Job, task: Task) -> str:
        before = [other for other, after in zip(job.tasks, job.plan.successors, strict=True) if task.position in after]
        failed = [other.name for other in before if other.state is FAILED]
        if failed:
            return f"never starts, since {_name('task', failed)} failed"
        return f"waits for {_name('task', [other.name for other in before if other.state is not FINISHED])}"

    def _of_turn(self, job: Job, task: Task) -> str:
        spec = job.plan.tasks[task.position]
        if never := self._placement.describe_never(spec):
            return never
        if len(self._placement.live) >= self._slots:
            return f"{self._describe_slots(job)}{self._of_parent(job)}"
        if self._placement.request_of(spec) is not None:  # it waits behind nobody
            return self._placement.describe_lack(spec)
        first = min(self._active.jobs.values(), key=lambda one: (not one.ready, -one.priority, one.seq))
        if first is job and task.position == job.ready[0]:
            return self._placement.describe_lack(spec)
        if first is job:
            return f"waits for its turn behind task {job.tasks[job.ready[0]].name}"
        lack = self._placement.describe_lack(first.plan.tasks[first.ready[0]]) if first.ready else ""
        name = self._known(first.id) or "a job of another account"
        return f"waits for its turn behind {name}, which {lack}" if lack else ""

    def _describe_slots(self, job: Job) -> str:
        names = {job.id: "this job", _OTHERS: "other accounts"}
        by_job = [f"{names.get(one, one)} ({count})" for one, count in self.taken.most_common()]
        what = "the only slot is" if self._slots == 1 else f"all {self._slots} slots are"
        return f"{what} taken by {_list(by_job)}"

    def _of_parent(self, job: Job) -> str:
        parent = job.parent.partition(".")[0]
        if job.parent not in self._placement.live or self._known(parent) == _OTHERS:
            return ""
        return f"; {parent} submitted this job: if it waits for it, neither goes on without another slot"

    def _of_children(self, job: Job) -> str:
        if len(self._placement.live) < self._slots:
            return ""
        start = f"{job.id}."
        children = [
            other.id
            for other in self._active.jobs.values()
            if other.parent.startswith(start)
            and other.parent in self._placement.live
            and other.counts.waiting
            and not other.counts.running
        ]
        if not children:
            return ""
        return f"submitted {_list(children)}, which cannot start: {self._describe_slots(job)}"


def _name(kind: str, names: list[str]) -> str:
    return f"{kind}{'s' if len(names) > 1 else ''} {_list(names)}"


def _list(names: list[str]) -> str:
    """Join names with commas; those beyond the third are counted."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
