"""The jobs that have not ended, and the attempts of which something may still run. Part of the engine's turn.

What changes is noted in `Changes`, what has to be done outside the store in `Effects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Returned, Started
from batchcompute_local.jobs import transitions
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.effects import Effects
from batchcompute_local.jobs.model import Changes, Job, Task, attempt_id, has_ended, running_instance
from batchcompute_local.jobs.scheduler import ClaimAhead, Scheduler


class ActiveJobs:
    """Jobs in memory by id, and the `live` attempts: those whose final event has not come."""

    def __init__(self, changes: Changes, effects: Effects, capacity: Capacity) -> None:
        self.jobs: dict[str, Job] = {}
        self.live: set[str] = set()
        self._changes = changes
        self._effects = effects
        self._capacity = capacity
        self._held: dict[str, tuple[Task, int]] = {}
        self._deleted: set[str] = set()
        self._scheduler = Scheduler()
        self._claim_ahead = ClaimAhead()

    def restore(self, jobs: Iterable[Job]) -> None:
        """Replace what is in memory by `jobs`, as they are in the store, and compare them with the live attempts.

        A running instance without a live attempt runs again; a live attempt that no instance wants is ended.
        """
        self._scheduler = Scheduler()
        self._held = {}
        self.jobs = {job.id: job for job in jobs}
        wanted: set[str] = set()
        for job in self.jobs.values():
            lost = []
            for task, instance in job.running():
                attempt = attempt_id(job, task, instance)
                if attempt in self.live:
                    wanted.add(attempt)
                    self._capacity.hold(attempt, job.plan.tasks[task.position])
                else:
                    lost.append((task, instance))
            self._line_up(job)
            for task, instance in lost:
                transitions.requeue(job, task, instance, self._changes)
            self._scheduler.add(job)
        self._effects.stops.extend(self.live - wanted)

    def add(self, job: Job) -> None:
        """Run `job`, new or started again."""
        self.jobs[job.id] = job
        self._line_up(job)
        self._scheduler.add(job)

    def _line_up(self, job: Job) -> None:
        # an instance whose earlier attempt still lives is held until that has ended
        for attempt, task, number in job.line_up(self.live.__contains__):
            self._held[attempt] = (task, number)

    def retire(self, job: Job, stops: Sequence[str]) -> None:
        """Drop `job`, which has ended, and end these attempts of it."""
        self.jobs.pop(job.id, None)
        self._effects.stops.extend(stops)
        self._effects.ended.append(job)

    def apply(self, event: Event, now: float) -> None:
        """Do to the jobs what `event` reports."""
        if isinstance(event, Started):
            found = running_instance(self.jobs, event.attempt)
            if found is not None:
                # shown while it runs; it needs no commit of its own, since the end brings it again
                found[2].worker_started, found[2].host = event.time, event.host
            return
        self.live.discard(event.attempt)
        self._capacity.release(event.attempt)
        if isinstance(event, Exited):
            self._effects.acknowledged.append(event.attempt)
            self._claim_ahead.note_end(event.ended - event.started if event.started else 0.0)
        elif isinstance(event, Returned):
            self._claim_ahead.note_return()
        self._finish(event, now)
        self._release(event.attempt)

    def _finish(self, event: Exited | Lost | Returned, now: float) -> None:
        found = running_instance(self.jobs, event.attempt)
        if found is not None:
            job, task, instance = found
            if isinstance(event, Exited):
                stops = transitions.finish(job, task, instance, event, now, self._changes)
                if has_ended(job):
                    self.retire(job, stops)
            else:
                transitions.requeue(job, task, instance, self._changes)
            self._scheduler.add(job)
        elif isinstance(event, Exited):
            self._changes.late[event.attempt] = event

    def _release(self, attempt: str) -> None:
        held = self._held.pop(attempt, None)
        job = self.jobs.get(attempt.partition(".")[0])
        if held is not None and job is not None:
            task, number = held
            task.put_back(number)
            job.offer(task)
            self._scheduler.add(job)

    def fill_slots(self, now: float, slots: int, look_ahead: int) -> None:
        """Claim what can start: an attempt for each free slot, and up to `look_ahead` that begin soon."""
        admission = self._capacity.admission()
        limit = slots + min(look_ahead, self._claim_ahead.count(slots))
        launches = self._effects.launches
        while len(self.live) + len(launches) < limit:
            picked = self._scheduler.pick()
            if picked is None:
                return
            job, task, number = picked
            spec = job.plan.tasks[task.position]
            if not admission.admit(spec):
                task.put_back(number)  # nothing overtakes it, so that it is not left waiting for ever
                return
            attempt = transitions.claim(job, task, number, now, self._changes)
            launches.append(Launch(attempt, job.id, spec, number))

    def note_committed(self) -> list[str]:
        """Count the launches as live. Returns the ids of deleted jobs of which nothing runs any more, each once."""
        for launch in self._effects.launches:
            self.live.add(launch.attempt)
            self._capacity.hold(launch.attempt, launch.task)
        self._deleted |= self._effects.deleted
        gone = [job for job in self._deleted if not any(attempt.startswith(job) for attempt in self.live)]
        self._deleted.difference_update(gone)
        return gone
