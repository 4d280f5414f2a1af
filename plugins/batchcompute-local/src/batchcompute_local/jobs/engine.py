"""The one thread that owns the store and the jobs in memory.

It takes whatever was asked or reported since the last turn, applies all of it, picks what can start, commits once,
and only then starts and ends programs and gives the answers. So an answered request is on disk, and requests that
come together share a commit. Between two turns others may look at the jobs. If a turn cannot be committed, nothing of
it happened: the jobs are read again from the store, its requests are answered InternalError, and its reports are taken
up in the next turn. If a single request is to blame, the others are taken up again too.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Event, Executor, Exited, Launch, Lost, Returned, Started
from batchcompute_local.jobs import transitions
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.inbox import Inbox, PoisonedError, WorkItem
from batchcompute_local.jobs.model import Changes, Job, Task, attempt_id, has_ended, running_instance
from batchcompute_local.jobs.scheduler import ClaimAhead, Scheduler
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.waiters import JobWaiters

T = TypeVar("T")

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class Engine:
    """Jobs in motion. `submit` may be called from any thread; everything else belongs to the engine's turn."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        slots: int,
        clock: Callable[[], float] = time.time,
        capacity: Capacity | None = None,
    ) -> None:
        self.store = store
        self.capacity = capacity or Capacity()
        self.changes = Changes()
        self.clock = clock
        self.jobs: dict[str, Job] = {}
        self._executor = executor
        self._slots = slots
        self._inbox = Inbox()
        self._retry: list[WorkItem | Event] = []
        self._live: set[str] = set()
        self._held: dict[str, tuple[Task, int]] = {}
        self._scheduler = Scheduler()
        self._claim_ahead = ClaimAhead()
        self._turning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stale = False
        self.waiters = JobWaiters()
        self._clear_effects()

    # -- from any thread

    def submit(self, run: Callable[[], T]) -> Future[T]:
        """Have `run` called in the next turn; its result, or ServiceError, is there once it is on disk."""
        future: Future[T] = Future()
        self._inbox.put(WorkItem(run, future))
        return future

    def look(self, run: Callable[[], T]) -> T | Future[T]:
        """What the short `run` answers, which changes nothing: at once between two turns, else in the next one.

        Raises what it raises.
        """
        if self._turning.acquire(blocking=False):
            try:
                if not self._stale:
                    return run()
            finally:
                self._turning.release()
        return self.submit(run)

    @property
    def busy(self) -> bool:
        """Whether a job is active or a program still runs."""
        return bool(self.jobs or self._live)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def recover(self) -> None:
        """Take up the jobs in the store and what the executor knows of them. Call once, before anything else."""
        recovered = self._executor.open(self._inbox.put)
        self._live = set(recovered.live).union(event.attempt for event in recovered.ended)
        self._retry.extend(recovered.ended)
        self._rebuild()
        self.turn()

    def start(self) -> None:
        """Run turns in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after its turn, let go of the executor and close the store. Programs go on."""
        self._inbox.close()
        if self._thread is not None:
            self._thread.join()
        self._executor.close()
        self.store.close()

    # -- the turn

    def _run(self) -> None:
        while not self._inbox.closed:
            self.turn(_RETRY_SECONDS if self._retry or self._stale else None)

    def turn(self, timeout: float | None = 0.0) -> None:
        """Wait up to `timeout` seconds (None: for ever) for something to do, and do all there is."""
        items = [*self._retry, *self._inbox.take(timeout)]
        with self._turning:
            self._do(items)

    def _do(self, items: Sequence[WorkItem | Event]) -> None:
        answers: list[tuple[Future[Any], Any, ServiceError | None]] = []
        try:
            if self._stale:
                self._rebuild()
            for each in items:
                if isinstance(each, WorkItem):
                    if each.begins():
                        answers.append((each.future, *each.outcome()))
                else:
                    self._apply(each)
            self._fill_slots()
            self.store.commit(self.changes)
        except PoisonedError as poisoned:
            _log.error("a request cannot be processed", exc_info=poisoned.__cause__)
            self._undo(items, [poisoned.item])
            return
        except Exception:
            _log.exception("a turn could not be committed")
            self._undo(items, [each for each in items if isinstance(each, WorkItem)])
            return
        self._retry = []
        self._take_effect()
        for future, result, error in answers:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _undo(self, items: Sequence[WorkItem | Event], failed: Sequence[WorkItem]) -> None:
        self._retry = [each for each in items if each not in failed]
        self._live.update(each.attempt for each in self._retry if not isinstance(each, WorkItem | Started))
        self._clear_effects()
        self.changes.clear()
        self._stale = True
        try:
            self.store.rollback()
        except sqlite3.Error:
            _log.exception("the transaction could not be rolled back")
        for each in failed:
            each.fail()

    def _rebuild(self) -> None:
        self._scheduler = Scheduler()
        self._held = {}
        self.jobs = {job.id: job for job in self.store.active()}
        wanted: set[str] = set()
        for job in self.jobs.values():
            lost = []
            for task, instance in job.running():
                attempt = attempt_id(job, task, instance)
                if attempt in self._live:
                    wanted.add(attempt)
                    self.capacity.hold(attempt, job.plan.tasks[task.position])
                else:
                    lost.append((task, instance))
            self.line_up(job)
            for task, instance in lost:
                transitions.requeue(job, task, instance, self.changes)
            self._scheduler.add(job)
        self._stops.extend(self._live - wanted)
        self._stale = False

    def _clear_effects(self) -> None:
        self._launches: list[Launch] = []
        self._stops: list[str] = []
        self._acks: list[str] = []
        self._forgets: set[str] = set()
        self._ended: list[Job] = []

    def _take_effect(self) -> None:
        launches, stops, acks, forgets = self._launches, self._stops, self._acks, self._forgets
        self.waiters.tell(self._ended)
        self._clear_effects()
        for launch in launches:
            self._live.add(launch.attempt)
            self.capacity.hold(launch.attempt, launch.task)
        if launches:
            self._executor.start(launches)
        if stops:
            self._executor.stop(stops)
        if acks:
            self._executor.acknowledge(acks)
        for job_id in forgets:
            if any(attempt.startswith(job_id) for attempt in self._live):
                self._forgets.add(job_id)  # its programs are still being ended; look again next turn
            else:
                self._executor.forget(job_id)

    # -- what a turn does to the jobs; called by service

    def find(self, job_id: str) -> Job | None:
        """The job, active or a summary from the store; None if there is none."""
        job = self.jobs.get(job_id)
        if job is None:
            self.store.flush(self.changes)
            job = self.store.summary(job_id)
        return job

    def add(self, job: Job) -> None:
        """Run `job`, new or started again."""
        self.jobs[job.id] = job
        self.line_up(job)
        self._scheduler.add(job)

    def line_up(self, job: Job) -> None:
        """Make ready what can run; hold what has an earlier attempt that still lives."""
        for attempt, task, number in job.line_up(self._live.__contains__):
            self._held[attempt] = (task, number)

    def retire(self, job: Job, stops: Sequence[str]) -> None:
        """`job` has ended; end these attempts of it."""
        self.jobs.pop(job.id, None)
        self._stops.extend(stops)
        self._ended.append(job)

    def forget(self, job: Job) -> None:
        """`job` was deleted: its folders go once nothing of it runs."""
        self._forgets.add(job.id)

    def _apply(self, event: Event) -> None:
        if isinstance(event, Started):
            found = running_instance(self.jobs, event.attempt)
            if found is not None:
                # shown while it runs; it needs no commit of its own, since the end brings it again
                found[2].worker_started, found[2].host = event.time, event.host
            return
        self._live.discard(event.attempt)
        self.capacity.release(event.attempt)
        if isinstance(event, Exited):
            self._acks.append(event.attempt)
            self._claim_ahead.note_end(event.ended - event.started if event.started else 0.0)
        elif isinstance(event, Returned):
            self._claim_ahead.note_return()
        found = running_instance(self.jobs, event.attempt)
        if found is not None:
            job, task, instance = found
            if isinstance(event, Lost | Returned):
                transitions.requeue(job, task, instance, self.changes)
            else:
                stops = transitions.finish(job, task, instance, event, self.clock(), self.changes)
                if has_ended(job):
                    self.retire(job, stops)
            self._scheduler.add(job)
        elif isinstance(event, Exited):
            self.changes.late[event.attempt] = event
        self._release(event.attempt)

    def _release(self, attempt: str) -> None:
        held = self._held.pop(attempt, None)
        job = self.jobs.get(attempt.partition(".")[0])
        if held is not None and job is not None:
            task, number = held
            task.put_back(number)
            job.offer(task)
            self._scheduler.add(job)

    def _fill_slots(self) -> None:
        now, admission = self.clock(), self.capacity.admission()
        limit = self._slots + min(self._executor.look_ahead, self._claim_ahead.count(self._slots))
        while len(self._live) + len(self._launches) < limit:
            picked = self._scheduler.pick()
            if picked is None:
                return
            job, task, number = picked
            spec = job.plan.tasks[task.position]
            if not admission.admit(spec):
                task.put_back(number)  # nothing overtakes it, so that it is not left waiting for ever
                return
            attempt = transitions.claim(job, task, number, now, self.changes)
            self._launches.append(Launch(attempt, job.id, spec, number))
