"""The one thread that owns the store and the jobs in memory.

It takes whatever was asked or reported since the last turn, applies all of it, picks what can start, commits once,
and only then starts and ends programs and gives the answers. So an answered request is on disk, and requests that
come together share a commit. If a turn cannot be committed, nothing of it happened: the jobs are read again from the store,
its requests are answered ServiceUnavailable, and its reports are taken up in the next turn. If a single request or report is to
blame, the others are done each in a turn of its own. Who only reads looks at the jobs between two turns, or at what was
committed last: what becomes of a turn is nothing to him.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import AnyExecutor, Event, Exited, Lost, Returned, has_nodes
from batchcompute_local.jobs.active import ActiveJobs
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.effects import Effects
from batchcompute_local.jobs.inbox import Inbox, WorkItem
from batchcompute_local.jobs.model import Changes
from batchcompute_local.jobs.nodes import Nodes
from batchcompute_local.jobs.placement import Machine
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.reasons import Reasons
from batchcompute_local.jobs.snapshots import BusyError, Glance, Outside, Snapshot, Snapshots
from batchcompute_local.jobs.states import LONGEST_PAUSE
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.jobs.unstored import Unstored
from batchcompute_local.jobs.waiters import JobWaiters
from batchcompute_local.jobs.writing import Writing, is_fault_of_item

T = TypeVar("T")

_Answer = tuple[Future[Any], Any, ServiceError | None]

_log = logging.getLogger(__name__)
_UNDONE_SECONDS = 1.0
"""The pause before a turn that takes up again what was undone."""
_LOOK_SECONDS = 0.3
"""How long a question for reasons waits for the end of a turn."""
_NOT_APPLIED = "its report cannot be applied; the service's log says why"


class Engine:
    """Jobs in motion. `submit` and `look` may be called from any thread. Closes `store` and `executor` in the end.

    `slots` and `capacity` count for an executor without nodes only; `images` are the ids of service.toml, for one with nodes.
    `steady` tells the time for decisions about age, which goes on from one daemon to the next (see `Store.begin_of_boot`).
    """

    def __init__(
        self,
        store: Store,
        executor: AnyExecutor,
        slots: int,
        clock: Callable[[], float] = time.time,
        capacity: Capacity | None = None,
        retry_seconds: float = 1.0,
        steady: Callable[[], float] | None = None,
        images: Collection[str] = (),
    ) -> None:
        self.store = store
        self.waiters = JobWaiters()
        self.writing = Writing(clock)
        self._snapshots = Snapshots(store.path)
        self._executor = executor
        self._clock = clock
        self._changes = Changes()
        self._effects = Effects()
        self._placement = (
            Nodes(executor.ahead_seconds, images) if has_nodes(executor) else Machine(slots, capacity or Capacity())
        )
        self._active = ActiveJobs(self._changes, self._effects, self._placement, retry_seconds)
        self._turn = Turn(store, self._active, self._changes, self._effects, clock, steady or clock)
        self._inbox = Inbox()
        self._undone: list[WorkItem | Event] = []
        self._unstored = Unstored()
        self._turning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stale = False

    # -- from any thread

    def submit(self, run: Callable[[Turn], T]) -> Future[T]:
        """Have `run` called in the next turn; its result, or ServiceError, is there once it is on disk."""
        future: Future[T] = Future()
        self._inbox.put(WorkItem(run, future))
        return future

    def glance(self, run: Callable[[Reading], T]) -> T:
        """Return what `run` returns, which only finds active jobs; for the event loop: no file is read. Raises as `look`."""
        return self.look(lambda turn: run(Glance(self._active.jobs)))

    def look(self, run: Callable[[Reading], T], patience: float = 0.0) -> T:
        """Return what the short `run` returns, between two turns. Raises what it raises.

        Raises BusyError if no turn ends within `patience` seconds, and while memory differs from what was committed last.
        """
        if not self._turning.acquire(timeout=patience):
            raise BusyError
        try:
            if self._stale:
                raise BusyError
            return run(self._turn)
        finally:
            self._turning.release()

    def recall(self, run: Callable[[Reading], T]) -> T:
        """Return what `run` returns, over what was committed last. Raises what it raises, and sqlite3.Error."""
        why = self.writing.describe() or "not known at this moment: the service is busy"
        with self._snapshots.open() as rows:
            return run(Snapshot(rows, Outside(why, self.slots, self._active.begin_of)))

    def explain(self, run: Callable[[Reading], T]) -> T:
        """Return what `run` returns, which asks why something waits. Waits a moment for the end of a turn. Raises as `recall`."""
        if not self.writing.error:
            with suppress(BusyError):
                return self.look(run, _LOOK_SECONDS)
        return self.recall(run)

    @property
    def active_jobs(self) -> int:
        """The number of jobs that have not ended."""
        return len(self._active.jobs)

    def slots(self) -> dict[str, Any]:
        """Return {Total, Taken, ByJob} for the jobs of all accounts."""
        return Reasons(self._active, lambda job_id: True).slots()

    def nodes(self) -> list[dict[str, Any]]:
        """Return what is known of each node, and how many attempts it has; empty if the executor has none."""
        return self._placement.describe()

    @property
    def busy(self) -> bool:
        """True if a job is active or a program still runs; and while a turn may have ended the last, but has not stored it."""
        return bool(self._active.jobs or self._placement.live or self._turning.locked())

    @property
    def trouble(self) -> str:
        """What keeps the executor from starting programs, in words; empty if nothing does, or it does not say."""
        return str(getattr(self._executor, "trouble", ""))

    def runs(self, attempt: str) -> bool:
        """Return whether this attempt was started and its end was not reported yet."""
        return attempt in self._placement.live

    @property
    def alive(self) -> bool:
        """True if the thread runs, and the executor reports what becomes of its attempts."""
        has_failed = bool(getattr(self._executor, "has_failed", False))
        return self._thread is not None and self._thread.is_alive() and not has_failed

    def recover(self) -> None:
        """Take up the jobs in the store and what the executor knows of them. Call once, before anything else."""
        claims: dict[str, str] = {}
        if has_nodes(self._executor):
            claims = self.store.claims()
            recovered = self._executor.open(self._inbox.put, claims)
        else:
            recovered = self._executor.open(self._inbox.put)
        for attempt in recovered.live.union(event.attempt for event in recovered.ended):
            self._placement.hold(attempt, None, claims.get(attempt, ""))
        self._placement.commit()
        self._undone.extend(recovered.ended)
        self._restore()
        for attempt in claims.keys() - self._placement.live.keys():  # it has ended, if it was being ended
            self._changes.stopping[attempt] = ""
        self.turn()

    def start(self) -> None:
        """Run turns in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def close(self, has_failed: bool = False) -> None:
        """End the thread after its turn, let go of the executor and close the store. Programs keep running.

        has_failed: the service ends by an error, so the executor is to have it started again if it can.
        """
        self._inbox.close()
        if self._thread is not None:
            self._thread.join()
        if has_failed and hasattr(self._executor, "break_off"):
            self._executor.break_off()
        else:
            self._executor.close()
        self._snapshots.close()
        self.store.close()

    # -- the turn

    def _run(self) -> None:
        while not self._inbox.closed:
            self.turn(self._patience())

    def _patience(self) -> float | None:
        if self._undone or self._stale or self.writing.error:
            return _UNDONE_SECONDS
        if self._active.has_more:
            return 0.0
        due = self._active.next_retry
        retry = None if due is None else min(max(due - self._clock(), 0.0), LONGEST_PAUSE)
        return min((each for each in (retry, self._unstored.wait()) if each is not None), default=None)

    def turn(self, timeout: float | None = 0.0) -> None:
        """Wait up to `timeout` seconds (None: for ever) for something to do, and do all there is."""
        # while the executor has attempts to begin, nobody waits for a turn: it may take the ends of several
        wanted = 0 if timeout == 0.0 else (len(self._placement.live) - self._placement.slots) // 2
        items = [*self._undone, *self._inbox.take(timeout, wanted), *self._unstored.take_due()]
        self._undone = []
        with self._turning:
            self._do(items)

    def _do(self, items: Sequence[WorkItem | Event]) -> None:
        try:
            answers = self._work(items)
        except Exception as error:
            self._undo()
            if isinstance(error, sqlite3.Error) and not is_fault_of_item(error):
                self._put_off(items, error)
            elif len(items) > 1:
                self._do_each(items)
            else:
                self._blame(items, error)
        else:
            # an error here ends the engine: what is committed must not be done again, and the next daemon goes on from it
            self._finish(answers)

    def _work(self, items: Sequence[WorkItem | Event]) -> list[_Answer]:
        if self._stale:
            self._restore()
        answers: list[_Answer] = []
        for each in items:
            if isinstance(each, WorkItem):
                if each.begins():
                    answers.append((each.future, *each.outcome(self._turn)))
            else:
                self._active.apply(each, self._clock())
        self._active.claim(self._clock(), self._executor.look_ahead)
        if self.writing.error:
            self.store.touch()
        self.store.commit(self._changes)
        return answers

    def _finish(self, answers: Sequence[_Answer]) -> None:
        self.writing.end()
        self._take_effect()
        for future, result, error in answers:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

    def _take_effect(self) -> None:
        gone = self._active.note_committed()
        self._unstored.note_stored(self._effects.acknowledged)
        self.waiters.notify(self._effects.ended)
        self._effects.carry_out(self._executor)
        self._effects.clear()
        for job in gone:
            self._executor.forget(job)

    # -- a turn that fails

    def _undo(self) -> None:
        """Make the jobs in memory those that were committed last, now or as soon as they can be read."""
        self._placement.rollback()
        self._stale = True
        try:
            self._restore()
        except Exception as error:
            _log.debug("the jobs cannot be read: %s", error)
        self._stale = self._stale or bool(self._changes)  # an instance that was lost: not committed yet

    def _restore(self) -> None:
        self.store.rollback()  # here, since it may fail too: nothing is read or added in a transaction that is undone
        self._changes.clear()
        self._effects.clear()
        self._active.restore(self.store.active(), self._clock())
        self._stale = False

    def _put_off(self, items: Sequence[WorkItem | Event], error: Exception) -> None:
        """Refuse the requests among `items`; keep the reports for the next turn."""
        self._undone += [each for each in items if not isinstance(each, WorkItem)]
        self.writing.note(error, len(self._undone))
        for each in items:
            if isinstance(each, WorkItem):
                each.fail(self.writing.refusal())

    def _do_each(self, items: Sequence[WorkItem | Event]) -> None:
        """Give each of `items` a turn of its own, as one of them is to blame."""
        for position, each in enumerate(items):
            self._do([each])
            if self.writing.error:
                self._put_off(items[position + 1 :], sqlite3.OperationalError(self.writing.error))
                return

    def _blame(self, items: Sequence[WorkItem | Event], error: Exception) -> None:
        """Fail the one item of a turn that failed, unless a turn without it fails too."""
        if not items or not self._is_in_order():
            self._put_off(items, error)
            return
        (item,) = items
        if isinstance(item, WorkItem):
            _log.error("a request cannot be processed", exc_info=error)
            item.fail(ServiceError(500, "InternalError", "The request could not be processed."))
        else:
            _log.error("a report cannot be applied: %r", item, exc_info=error)
            self._replace(item)

    def _is_in_order(self) -> bool:
        """Check that a turn without anything succeeds."""
        try:
            answers = self._work([])
        except Exception:
            self._undo()
            return False
        self._finish(answers)
        return True

    def _replace(self, event: Event) -> None:
        """Fail the instance whose attempt ended, without what was reported; run it again if that is not possible either."""
        if not isinstance(event, Exited | Lost | Returned):
            return
        if event != (failed := Exited(event.attempt, reason=_NOT_APPLIED)):
            self._do([failed])
            return
        self._placement.release(event.attempt)
        self._placement.commit()
        self._unstored.add(failed)
        self._stale = True
