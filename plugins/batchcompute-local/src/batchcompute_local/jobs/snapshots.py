"""What was committed last, for any thread, whatever becomes of the turn: connections to the store that only read.

A reader in WAL mode waits for no writer, and needs no room on the disk. Each use is one short transaction, so that all of its
answers are of one moment.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchcompute_local.jobs.model import Instance, Job, Task, attempt_id, has_ended
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.rows import Rows
from batchcompute_local.jobs.states import RUNNING

_MOST_KEPT = 8
"""Connections that stay open for the next readers."""


class BusyError(Exception):
    """The jobs in memory cannot be looked at now."""


class Outside:
    """Explains what waits to those who cannot look at the jobs in memory: `why` it is, in words."""

    def __init__(self, why: str, slots: Callable[[], dict[str, Any]], begun: Callable[[str], float]) -> None:
        self._why = why
        self.slots = slots
        self.begun = begun
        """Return when the program of an attempt began (epoch seconds), 0 if that is not known: it is stored with its end only."""

    def of_job(self, job: Job) -> str:
        """Say why nothing of `job` runs."""
        return "" if has_ended(job) or job.counts.running else self._why

    def of_task(self, job: Job, task: Task) -> str:
        """Say why no instance of `task` runs, or those that have not begun."""
        return self._why if task.counts.waiting and not has_ended(job) else ""

    def of_instance(self, job: Job, task: Task, instance: Instance) -> str:
        """Say why `instance`, which was started before, does not run."""
        return "" if instance.state is RUNNING else self.of_task(job, task)


class Snapshot(Reading):
    """One moment of the store."""

    def __init__(self, rows: Rows, outside: Outside) -> None:
        super().__init__(rows)
        self._outside = outside

    def instances(self, job: Job, task: Task, condition: str = "TRUE") -> Iterator[Instance]:
        """Yield the instances of a task that were started at least once, and when what runs has begun."""
        for instance in super().instances(job, task, condition):
            if instance.state is RUNNING:
                instance.worker_started = self._outside.begun(attempt_id(job, task, instance))
            yield instance

    def reasons(self, owner: int) -> Outside:
        """Return why jobs wait, as far as it is known without the engine."""
        return self._outside


class Glance(Reading):
    """The active jobs in memory. Valid only between two turns."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs

    def find(self, job_id: str) -> Job:
        """Find an active job. Raises BusyError for any other one: it has to be read."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise BusyError from None


class Snapshots:
    """Opens snapshots of the file at `path`. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._lock = threading.Lock()
        self._free: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Yield what was committed last. Raises sqlite3.Error."""
        with self._lock:
            db = self._free.pop() if self._free else None
        if db is None:
            db = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            db.execute("BEGIN")
            yield Rows(db)
            db.execute("ROLLBACK")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        finally:
            self._put_back(db)

    def _put_back(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._free) < _MOST_KEPT and not db.in_transaction:
                self._free.append(db)
                return
        db.close()

    def close(self) -> None:
        """Close the connections; those in use are closed after it."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for db in free:
            db.close()
