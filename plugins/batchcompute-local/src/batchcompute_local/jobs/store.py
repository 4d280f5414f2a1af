"""The state on disk: SQLite in WAL mode, synchronous=FULL. One thread owns it; many transitions share one commit."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchcompute_local.damage import DamageError
from batchcompute_local.executors.base import Exited
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.migrations import migrate
from batchcompute_local.jobs.model import Changes, Job, encode_leftovers, parse_attempt
from batchcompute_local.jobs.rows import Rows
from batchcompute_local.jobs.states import ENDED
from batchcompute_local.jobs.tables import (
    ANSWERS,
    ATTEMPTS,
    DESCRIPTIONS,
    INSTANCES,
    JOBS,
    META,
    STOPPING,
    TASKS,
    VIEWS,
    begin_values,
    end_values,
)
from batchcompute_local.jobs.views import job_text
from batchcompute_local.plan import JobPlan

_BUSY_MILLISECONDS = 250
_GIVEN_UP = "this came after it was given up, and does not count"


class Store(Rows):
    """Open once per daemon. Raises sqlite3.Error; a failed commit leaves what was committed before."""

    def __init__(self, path: Path, kept_attempts: int = 10) -> None:
        """Open the file at `path`. kept_attempts: the number of earlier attempts of an instance that are kept."""
        self.path = path
        self._kept_attempts = kept_attempts
        super().__init__(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        os.chmod(path, 0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        migrate(self._db)
        row = self._db.execute(tables.SELECT_LAST).fetchone()
        self._last = int(row[0]) if row else 0
        self._prefix = self._read_prefix()
        # a lock of another process holds up a turn no longer: the turn fails, and is taken up again
        self._db.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")

    def _read_prefix(self) -> str:
        # the part of every id that names this store: when it was made, and a random number (protocol 1.7, Ids)
        new = f"{int(time.time()):08X}{int.from_bytes(os.urandom(4)):08X}"
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('generator', ?)", (new,))
        return str(self._db.execute(tables.SELECT_PREFIX).fetchone()[0])

    def begin_of_boot(self, boot: str, begin: float, now: float) -> float:
        """Return when the machine was started, by the clock at the first call since then; `begin` says the clock of this one.

        With the uptime added it is a time that goes on over all daemons of this boot, whatever becomes of the clock. A reboot
        has no other measure than the clock: what was answered later than `now` by it, counts from now.
        """
        row = self._db.execute("SELECT value FROM meta WHERE name = 'boot'").fetchone()
        with suppress(ValueError):
            known, _, first = str(row[0] if row else "").partition(" ")
            if known == boot:
                return float(first)
        with suppress(sqlite3.OperationalError):  # a full disk; then it counts for this daemon only
            self._db.execute(META.put, ("boot", f"{boot} {begin!r}"))
            self._db.execute("UPDATE answers SET at = ?1 WHERE at > ?1", (now,))
        return begin

    @property
    def prefix(self) -> str:
        """The prefix of the ids of all jobs of this store."""
        return self._prefix

    def next_id(self) -> tuple[int, str]:
        """Return a number and an id that no job of this store ever had."""
        self._last += 1
        return self._last, f"{self._prefix}{self._last:08X}"

    def flush(self, changes: Changes) -> None:
        """Write `changes` inside the open transaction, so that reads see them. `changes` is emptied."""
        if not changes:
            return
        db = self._db
        if not db.in_transaction:
            db.execute("BEGIN IMMEDIATE")
        db.executemany(JOBS.put, [(seq, *JOBS.values(job)) for seq, job in changes.jobs.items()])
        ended = [(seq, job_text(job)) for seq, job in changes.jobs.items() if job.state in ENDED]
        db.executemany(VIEWS.put, ended)
        db.executemany(VIEWS.delete, [(seq,) for seq in changes.jobs.keys() - dict(ended).keys()])
        db.executemany(DESCRIPTIONS.put, [(seq, *_submitted(job.plan)) for seq, job in changes.created.items()])
        db.executemany(TASKS.put, [(*key, *TASKS.values(task)) for key, task in changes.tasks.items()])
        db.executemany(tables.BEGIN_INSTANCE, [(*key, *begin_values(one)) for key, one in changes.begun.items()])
        db.executemany(tables.END_INSTANCE, [(*end_values(one), *key) for key, one in changes.ended.items()])
        db.executemany(INSTANCES.put, [(*key, *INSTANCES.values(one)) for key, one in changes.instances.items()])
        if changes.attempts:
            db.executemany(ATTEMPTS.put, [(*key, *ATTEMPTS.values(one)) for key, one in changes.attempts.items()])
            instances = {key[:3] for key in changes.attempts}
            db.executemany(tables.DELETE_ATTEMPTS, [(*key, self._kept_attempts) for key in instances])
        if changes.late:
            for update in tables.UPDATE_LATE:
                db.executemany(update, [*_late_rows(changes.late.values())])
            db.executemany(tables.UPDATE_LOST, [*_late_rows(changes.late.values(), _GIVEN_UP)])
        if changes.stopping:
            db.executemany(STOPPING.put, [each for each in changes.stopping.items() if each[1]])
            db.executemany(STOPPING.delete, [(attempt,) for attempt, node in changes.stopping.items() if not node])
        for seq in changes.deleted:
            for table in tables.OF_A_JOB:
                db.execute(table.delete, (seq,))
        if changes.answers:
            db.execute("DELETE FROM answers WHERE at < ?", (changes.forget_answers_before,))
            db.executemany(ANSWERS.put, [(*key, *ANSWERS.values(one)) for key, one in changes.answers.items()])
        changes.clear()

    def commit(self, changes: Changes) -> None:
        """Write `changes` and everything flushed before, durably."""
        self.flush(changes)
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def touch(self) -> None:
        """Write something inside the open transaction, so that the next commit shows whether the state can be written."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(META.put, ("touched", str(time.time())))

    def rollback(self) -> None:
        """Forget what was flushed since the last commit."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def active(self, is_whole: bool = False) -> list[Job]:
        """Read all jobs that have not ended, oldest first, to run them; with `is_whole` all of their instances.

        Raises DamageError for one that cannot be read.
        """
        rows = self._db.execute(f"{JOBS.select} WHERE {tables.ACTIVE} ORDER BY seq").fetchall()
        return [self._read_active(row, self.complete if is_whole else self.take_up) for row in rows]

    def claims(self) -> dict[str, str]:
        """Read the names of the nodes of all attempts that were given to one and have not ended, by attempt."""
        return dict(self._db.execute(tables.SELECT_CLAIMS))

    def _read_active(self, row: Sequence[Any], read: Callable[[Job], Job]) -> Job:
        try:
            return read(JOBS.read(row))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise DamageError(f"has rows of job {row[1]} that cannot be read: {type(error).__name__}") from error


def _submitted(plan: JobPlan) -> tuple[str, str | None]:
    compact = json.JSONEncoder(separators=(",", ":")).encode
    return compact(plan.view), None if plan.surroundings is None else compact(plan.surroundings.to_wire())


def _late_rows(events: Iterable[Exited], remark: str = "") -> Iterator[tuple[object, ...]]:
    for event in events:
        with suppress(ValueError):  # an attempt that is none of ours
            found = parse_attempt(event.attempt)
            left = event.timed_out, encode_leftovers(event.leftovers)
            reason = ": ".join(text for text in (remark, event.reason) if text)
            yield (event.started, event.ended, event.code, event.signal, reason, event.host, *left, *found)
