"""The jobs that have not ended, and the attempts of which something may still run. Part of the engine's turn.

What changes is noted in `Changes`, what has to be done outside the store in `Effects`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from itertools import count

from batchcompute_local.executors.base import (
    Delayed,
    Event,
    Exited,
    Launch,
    Lost,
    NodeUp,
    Returned,
    Started,
    Unreachable,
)
from batchcompute_local.jobs import transitions
from batchcompute_local.jobs.effects import Effects
from batchcompute_local.jobs.model import (
    Changes,
    Instance,
    Job,
    Task,
    attempt_id,
    has_ended,
    parse_attempt,
    running_instance,
)
from batchcompute_local.jobs.placement import Placement
from batchcompute_local.jobs.scheduler import Scheduler
from batchcompute_local.jobs.states import LONGEST_PAUSE, WAITING

_MOST_BEGINS = 4096
_FINAL = (Exited, Lost, Returned)
_MOST_LAUNCHES = 2000
"""In one turn; the next one follows at once."""


class ActiveJobs:
    """Jobs in memory by id. `placement` has the live attempts: those whose final event has not come."""

    def __init__(self, changes: Changes, effects: Effects, placement: Placement, retry_seconds: float) -> None:
        self.jobs: dict[str, Job] = {}
        self.placement = placement
        self.delays: dict[str, dict[str, str]] = {}
        """Why claimed instances cannot begin, or perhaps do not run, by job and `<job id>.<task position>.<instance>`."""
        self.has_more = False
        """Whether the next turn has something to claim, though nothing happens until then."""
        self._changes = changes
        self._effects = effects
        self._retry_seconds = retry_seconds
        self._begins: dict[str, float] = {}
        self._earlier_begins: dict[str, float] = {}
        self._held: dict[str, tuple[Task, Instance]] = {}
        self._paused: list[tuple[float, int, Job, Task, Instance]] = []
        self._ticket = count()
        self._dying: dict[str, list[str]] = {}
        """The live attempts of deleted jobs."""
        self._scheduler = Scheduler()

    def restore(self, jobs: Iterable[Job], now: float) -> None:
        """Replace what is in memory by `jobs`, as they are in the store, and compare them with the live attempts.

        A running instance without a live attempt runs again; a live attempt that no instance wants is ended.
        """
        self._scheduler = Scheduler()
        self._held = {}
        self._paused = []
        self.jobs = {job.id: job for job in jobs}
        self.delays = {job_id: found for job_id, found in self.delays.items() if job_id in self.jobs}
        self.placement.reset()
        live = self.placement.live
        wanted: set[str] = set()
        for job in self.jobs.values():
            lost = []
            for task, instance in job.running():
                attempt = attempt_id(job, task, instance)
                if attempt in live:
                    wanted.add(attempt)
                    self.placement.hold(attempt, job.plan.tasks[task.position], instance.node)
                else:
                    lost.append((task, instance))
            self._line_up(job)
            for task, instance in lost:
                transitions.lose(job, task, instance, now, self._changes)
            self._scheduler.add(job)
        self._effects.stops.extend(live.keys() - wanted)

    def add(self, job: Job) -> None:
        """Run `job`, new or started again."""
        self.jobs[job.id] = job
        self._line_up(job)
        self._scheduler.add(job)

    def _line_up(self, job: Job) -> None:
        def is_held(task: Task, instance: Instance) -> bool:
            attempt = attempt_id(job, task, instance)
            if attempt in self.placement.live:  # until that attempt has ended
                self._held[attempt] = (task, instance)
                return True
            if instance.not_before:
                self._pause(job, task, instance)
                return True
            return False

        job.line_up(is_held)

    def retire(self, job: Job, stops: Sequence[str]) -> None:
        """Drop `job`, which has ended, and end these attempts of it."""
        self.jobs.pop(job.id, None)
        self.delays.pop(job.id, None)
        self._effects.stops.extend(stops)
        for attempt in stops:
            hold = self.placement.live.get(attempt)
            if hold is not None and hold[0]:
                self._changes.stopping[attempt] = hold[0]
        self._effects.ended.append(job)

    def begin_of(self, attempt: str) -> float:
        """Return when the program of the latest attempt of an instance began (epoch seconds); 0 if that is not known.

        May be called from any thread, also for an attempt that ended a moment ago: a reader of a snapshot sees it run.
        """
        for begins in (self._begins, self._earlier_begins):
            if attempt in begins:
                return begins[attempt]
        try:
            job_id, position, number, count = parse_attempt(attempt)
            instance = self.jobs[job_id].tasks[position].instances[number]
        except (ValueError, KeyError, IndexError):
            return 0.0
        return instance.worker_started if instance.attempt == count else 0.0

    def apply(self, event: Event, now: float) -> None:
        """Do to the jobs what `event` reports."""
        if isinstance(event, _FINAL):
            self._end(event, now)
        elif isinstance(event, Started):
            self._set_delay(event.attempt, "")
            found = running_instance(self.jobs, event.attempt)
            if found is not None:
                # shown while it runs; it needs no commit of its own, since the end brings it again
                found[2].worker_started, found[2].host = event.time, event.host
        elif isinstance(event, Delayed | Unreachable):
            if running_instance(self.jobs, event.attempt) is not None:
                self._set_delay(event.attempt, event.reason)
        elif isinstance(event, NodeUp):
            for attempt in self.placement.note_up(event.node):
                self._set_delay(attempt, "")
        else:
            self.placement.note_down(event.name, event.reason)

    def _set_delay(self, attempt: str, reason: str) -> None:
        """Note why the instance of `attempt` does not go on; empty: it does."""
        if not reason and not self.delays:
            return  # as nearly always
        job_id = attempt.partition(".")[0]
        if not reason and job_id not in self.delays:
            return
        delays = self.delays.setdefault(job_id, {})
        if reason:
            delays[attempt.rpartition(".")[0]] = reason
        else:
            delays.pop(attempt.rpartition(".")[0], None)
            if not delays:
                del self.delays[job_id]

    def _end(self, event: Exited | Lost | Returned, now: float) -> None:
        node = self.placement.release(event.attempt)
        found = running_instance(self.jobs, event.attempt)
        task = None if found is None else found[1]
        if isinstance(event, Exited):
            self._effects.acknowledged.append(event.attempt)
            self.placement.note_end(task, event.ended - event.started if event.started else 0.0)
        elif isinstance(event, Returned):
            self.placement.note_return(task)
        if found is not None:
            self._finish(*found, event, now)
        else:
            if isinstance(event, Exited):
                self._changes.late[event.attempt] = event
            if node:
                self._changes.stopping[event.attempt] = ""
        self._release(event.attempt)

    def _finish(self, job: Job, task: Task, instance: Instance, event: Exited | Lost | Returned, now: float) -> None:
        if not isinstance(event, Returned):
            self._set_delay(event.attempt, "")
        if isinstance(event, Exited) and transitions.is_retried(job, task, instance, event):
            transitions.retry(job, task, instance, event, now, self._retry_seconds, self._changes)
            self._pause(job, task, instance)
        elif isinstance(event, Exited):
            self._note_begin(event)
            stops = transitions.finish(job, task, instance, event, now, self._changes)
            if has_ended(job):
                self.retire(job, stops)
        elif isinstance(event, Lost):
            transitions.lose(job, task, instance, now, self._changes)
        else:
            transitions.requeue(job, task, instance, self._changes)
        self._scheduler.add(job)

    def _note_begin(self, event: Exited) -> None:
        if len(self._begins) >= _MOST_BEGINS:
            self._earlier_begins, self._begins = self._begins, {}
        self._begins[event.attempt] = event.started

    def _release(self, attempt: str) -> None:
        held = self._held.pop(attempt, None)
        job = self.jobs.get(attempt.partition(".")[0])
        if held is not None and job is not None:
            task, instance = held
            if instance.not_before:
                self._pause(job, task, instance)
            else:
                self._put_back(job, task, instance)

    def _pause(self, job: Job, task: Task, instance: Instance) -> None:
        heapq.heappush(self._paused, (instance.not_before, next(self._ticket), job, task, instance))

    def _put_back(self, job: Job, task: Task, instance: Instance) -> None:
        task.put_back(instance.number)
        job.offer(task)
        self._scheduler.add(job)

    @property
    def next_retry(self) -> float | None:
        """The end of the first pause before a retry, in epoch seconds; None if there is none."""
        return self._paused[0][0] if self._paused else None

    def _end_pauses(self, now: float) -> None:
        # a clock that was set back must not make a pause longer than the longest one
        while self._paused and not now < self._paused[0][0] <= now + LONGEST_PAUSE:
            until, _, job, task, instance = heapq.heappop(self._paused)
            waits = instance.state is WAITING and instance.not_before == until
            if waits and self.jobs.get(job.id) is job:  # else it was stopped, or failed
                self._put_back(job, task, instance)

    def claim(self, now: float, look_ahead: int) -> None:
        """Claim what can start: an attempt wherever there is room, and up to `look_ahead` that begin soon."""
        self._end_pauses(now)
        self.placement.begin(look_ahead)
        for request in self.placement.reopened(self._scheduler):
            self._scheduler.unpark(request)
        self.has_more = self._fill(now) or self.placement.has_grown

    def _fill(self, now: float) -> bool:
        """Claim; return whether the turn has claimed as much as one may."""
        placement, scheduler, launches = self.placement, self._scheduler, self._effects.launches
        while placement.has_room():
            if len(launches) >= _MOST_LAUNCHES:
                return True
            picked = scheduler.pick()
            if picked is None:
                return False
            job, task, number = picked
            spec = job.plan.tasks[task.position]
            node = placement.find(job, task)
            if node is None:
                task.put_back(number)
                if (request := placement.request_of(spec)) is not None:
                    scheduler.park(job, task, request)
                continue
            attempt = transitions.claim(job, task, number, now, self._changes, node)
            placement.hold(attempt, spec, node)
            launches.append(Launch(attempt, job.id, spec, number, job.plan.surroundings, job.owner, node))
            if node and not task.has_next():
                scheduler.unpark(placement.request_of(spec))  # the next that asks for the same
        return False

    def note_committed(self) -> list[str]:
        """Keep what was placed. Returns the ids of deleted jobs of which nothing runs any more, each once."""
        self.placement.commit()
        live = self.placement.live
        if deleted := self._effects.deleted:
            self._dying |= {job: [] for job in deleted}
            for attempt in live:
                if (job := attempt.partition(".")[0]) in deleted:
                    self._dying[job].append(attempt)
        gone = []
        for job, attempts in tuple(self._dying.items()):
            self._dying[job] = [attempt for attempt in attempts if attempt in live]
            if not self._dying[job]:
                del self._dying[job]
                gone.append(job)
        return gone
