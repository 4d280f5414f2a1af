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
from batchcompute_local.executors.base import Delayed, Event, Executor, Started
from batchcompute_local.jobs.active import ActiveJobs
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.effects import Effects
from batchcompute_local.jobs.inbox import Inbox, PoisonedError, WorkItem
from batchcompute_local.jobs.model import Changes
from batchcompute_local.jobs.reasons import Reasons
from batchcompute_local.jobs.states import LONGEST_PAUSE
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.jobs.waiters import JobWaiters

T = TypeVar("T")

_log = logging.getLogger(__name__)
_UNDONE_SECONDS = 1.0
"""The pause before a turn that takes up again what was undone."""


class Engine:
    """Jobs in motion. `submit` and `look` may be called from any thread. Closes `store` and `executor` in the end.

    `least` tells the time for decisions about age (see SteadyClock).
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        slots: int,
        clock: Callable[[], float] = time.time,
        capacity: Capacity | None = None,
        retry_seconds: float = 1.0,
        least: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self.waiters = JobWaiters()
        self._executor = executor
        self._slots = slots
        self._clock = clock
        self._changes = Changes()
        self._effects = Effects()
        self._capacity = capacity = capacity or Capacity()
        self._active = ActiveJobs(self._changes, self._effects, capacity, retry_seconds)
        self._turn = Turn(store, self._active, self._changes, self._effects, capacity, clock, slots, least or clock)
        self._inbox = Inbox()
        self._undone: list[WorkItem | Event] = []
        self._turning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stale = False

    # -- from any thread

    def submit(self, run: Callable[[Turn], T]) -> Future[T]:
        """Have `run` called in the next turn; its result, or ServiceError, is there once it is on disk."""
        future: Future[T] = Future()
        self._inbox.put(WorkItem(run, future))
        return future

    def look(self, run: Callable[[Turn], T]) -> T | Future[T]:
        """Return what the short `run` returns, which changes nothing: at once between two turns, else in the next one.

        Raises what it raises.
        """
        if self._turning.acquire(blocking=False):
            try:
                if not self._stale:
                    return run(self._turn)
            finally:
                self._turning.release()
        return self.submit(run)

    @property
    def active_jobs(self) -> int:
        """The number of jobs that have not ended."""
        return len(self._active.jobs)

    def slots(self) -> dict[str, Any]:
        """Return {Total, Taken, ByJob} for the jobs of all accounts."""
        return Reasons(self._active, self._capacity, self._slots, lambda job_id: True).slots()

    @property
    def busy(self) -> bool:
        """True if a job is active or a program still runs."""
        return bool(self._active.jobs or self._active.live)

    @property
    def trouble(self) -> str:
        """What keeps the executor from starting programs, in words; empty if nothing does, or it does not say."""
        return str(getattr(self._executor, "trouble", ""))

    def runs(self, attempt: str) -> bool:
        """Return whether this attempt was started and its end was not reported yet."""
        return attempt in self._active.live

    @property
    def alive(self) -> bool:
        """True if the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def recover(self) -> None:
        """Take up the jobs in the store and what the executor knows of them. Call once, before anything else."""
        recovered = self._executor.open(self._inbox.put)
        self._active.live = set(recovered.live).union(event.attempt for event in recovered.ended)
        self._undone.extend(recovered.ended)
        self._restore()
        self.turn()

    def start(self) -> None:
        """Run turns in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after its turn, let go of the executor and close the store. Programs keep running."""
        self._inbox.close()
        if self._thread is not None:
            self._thread.join()
        self._executor.close()
        self.store.close()

    # -- the turn

    def _run(self) -> None:
        while not self._inbox.closed:
            self.turn(self._patience())

    def _patience(self) -> float | None:
        if self._undone or self._stale:
            return _UNDONE_SECONDS
        due = self._active.next_retry
        return None if due is None else min(max(due - self._clock(), 0.0), LONGEST_PAUSE)

    def turn(self, timeout: float | None = 0.0) -> None:
        """Wait up to `timeout` seconds (None: for ever) for something to do, and do all there is."""
        items = [*self._undone, *self._inbox.take(timeout)]
        with self._turning:
            self._do(items)

    def _do(self, items: Sequence[WorkItem | Event]) -> None:
        answers: list[tuple[Future[Any], Any, ServiceError | None]] = []
        try:
            if self._stale:
                self._restore()
            for each in items:
                if isinstance(each, WorkItem):
                    if each.begins():
                        answers.append((each.future, *each.outcome(self._turn)))
                else:
                    self._active.apply(each, self._clock())
            self._active.fill_slots(self._clock(), self._slots, self._executor.look_ahead)
            self.store.commit(self._changes)
        except PoisonedError as poisoned:
            _log.error("a request cannot be processed", exc_info=poisoned.__cause__)
            self._undo(items, [poisoned.item])
            return
        except Exception:
            _log.exception("a turn could not be committed")
            self._undo(items, [each for each in items if isinstance(each, WorkItem)])
            return
        self._undone = []
        self._take_effect()
        for future, result, error in answers:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _take_effect(self) -> None:
        gone = self._active.note_committed()
        self.waiters.notify(self._effects.ended)
        self._effects.carry_out(self._executor)
        self._effects.clear()
        for job in gone:
            self._executor.forget(job)

    def _undo(self, items: Sequence[WorkItem | Event], failed: Sequence[WorkItem]) -> None:
        self._undone = [each for each in items if each not in failed]
        self._active.live.update(
            each.attempt for each in self._undone if not isinstance(each, WorkItem | Started | Delayed)
        )
        self._effects.clear()
        self._changes.clear()
        self._stale = True
        try:
            self.store.rollback()
        except sqlite3.Error:
            _log.exception("the transaction could not be rolled back")
        for each in failed:
            each.fail()

    def _restore(self) -> None:
        self._active.restore(self.store.active(), self._clock())
        self._stale = False
