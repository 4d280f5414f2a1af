"""What the daemon does by itself: delete jobs that are too old, pack the logs of Finished ones, and tidy up the objects.

It runs in a thread of its own, in pieces, each a short work item of the engine, so that no request waits long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.states import State
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.objects.notes import write_notes
from batchcompute_local.objects.store import Store
from batchcompute_local.objects.tidying import tidy
from batchcompute_local.paths import Layout
from batchcompute_local.process.fetching import FOLDER
from batchcompute_local.process.kept_logs import KeptLogs
from batchcompute_local.removal import log_rest, remove_tree
from batchcompute_local.settings import Settings

T = TypeVar("T")

_log = logging.getLogger(__name__)
_INTERVAL_SECONDS = 30.0
_REST_SECONDS = 30.0
"""How long the logs of a Finished job stay files, for those who look at them right after its end."""
_TIDY_SECONDS = 3600.0
_PAUSE_SECONDS = 0.1
_PIECE = 100
_DAY = 86400.0
_ANSWER_SECONDS = 10.0


class Housekeeping:
    """One per daemon. Close it before the engine."""

    def __init__(
        self, layout: Layout, settings: Settings, engine: Engine, clock: Callable[[], float] = time.time
    ) -> None:
        self._work = layout.work("x").parent
        self._kept_logs = KeptLogs(layout.kept_logs)
        self._days = {
            State.FINISHED: settings.keep_finished_days,
            State.FAILED: settings.keep_failed_days,
            State.STOPPED: settings.keep_stopped_days,
        }
        self._engine = engine
        self._clock = clock
        self._left: set[str] = set()
        self._objects = Store(layout.oss)
        self._buckets = settings.buckets
        self._next_tidying = 0.0
        self._tidying: threading.Thread | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Work from time to time, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """End after the current piece."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_ANSWER_SECONDS)
        self._kept_logs.close()
        self._objects.database.close()

    def _run(self) -> None:
        self._guard(self.forget_gone)
        while not self._closing.is_set():
            self._guard(self.delete_old)
            self._guard(self.pack_logs)
            self._guard(self.tidy_objects)
            self._closing.wait(_INTERVAL_SECONDS)

    def _guard(self, work: Callable[[], object]) -> None:
        try:
            work()
        except ServiceError as error:  # the state cannot be written: the next round tries again
            _log.info("%s is put off: %s", work.__name__, error.message)
        except Exception:
            _log.warning("%s failed", work.__name__, exc_info=True)

    def delete_old(self) -> None:
        """Delete the jobs that ended longer ago than the settings keep them."""
        for state, days in self._days.items():
            while days and not self._closing.is_set():
                before = self._clock() - days * _DAY
                gone = self._ask(partial(Turn.delete_old, state=state, before=before, limit=_PIECE))
                if gone:
                    word = state.title
                    _log.info("deleted %d jobs that have been %s for more than %g days", len(gone), word, days)
                if len(gone) < _PIECE:
                    break

    def pack_logs(self) -> None:
        """Pack the logs of jobs that Finished a while ago, and remove their folders."""
        before = self._clock() - _REST_SECONDS
        there = {path.name for path in self._work.glob("job-*")}
        self._left &= there
        for names in self._pieces(sorted(there - self._left)):
            finished = self._ask(partial(_list_finished, names=names, before=before))
            for name in finished:
                log_rest(remove_tree(self._work / name / FOLDER))
            packed = self._kept_logs.pack([self._work / name for name in finished])
            self._forget_deleted(packed)  # a job that was deleted meanwhile
            self._left.update(name for name in finished if (self._work / name).exists())  # they do not change any more
            if packed:
                self._closing.wait(_PAUSE_SECONDS)

    def tidy_objects(self) -> None:
        """Remove old unfinished files and uploads, and write the notes of buckets that are elsewhere.

        Once in an hour, in a thread of its own: a network folder may hang.
        """
        now = time.monotonic()
        if now < self._next_tidying or (self._tidying is not None and self._tidying.is_alive()):
            return
        self._next_tidying = now + _TIDY_SECONDS
        self._tidying = threading.Thread(target=self._guard, args=[self._tidy_objects], name="tidying", daemon=True)
        self._tidying.start()

    def _tidy_objects(self) -> None:
        for name in write_notes(self._objects.root, self._buckets):
            _log.warning("the folder %s/%s is hidden: service.toml has this bucket elsewhere", self._objects.root, name)
        if count := tidy(self._objects):
            _log.info("removed %d old unfinished files and uploads of objects", count)

    def forget_gone(self) -> None:
        """Remove packed logs of jobs that are no longer there: a crash came between their deletion and this."""
        for names in self._pieces(self._kept_logs.list_jobs()):
            self._forget_deleted(names)

    def _forget_deleted(self, jobs: Sequence[str]) -> None:
        if jobs:
            self._kept_logs.forget(self._ask(partial(_list_gone, names=jobs)))

    def _pieces(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        for start in range(0, len(names), _PIECE):
            if self._closing.is_set():
                return
            yield names[start : start + _PIECE]

    def _ask(self, run: Callable[[Turn], T]) -> T:
        return self._engine.submit(run).result(_ANSWER_SECONDS)


def _list_finished(turn: Turn, names: Sequence[str], before: float) -> list[str]:
    jobs = [turn.find(name) for name in names]
    return [job.id for job in jobs if job is not None and job.state is State.FINISHED and job.ended < before]


def _list_gone(turn: Turn, names: Sequence[str]) -> list[str]:
    return [name for name in names if not turn.keeps(name)]
