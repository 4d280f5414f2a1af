"""The state on disk: SQLite in WAL mode, synchronous=FULL. One thread owns it; many transitions share one commit."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchcompute.surroundings import Surroundings
from batchcompute_local.damage import DamageError
from batchcompute_local.executors.base import Exited
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.migrations import migrate
from batchcompute_local.jobs.model import Attempt, Changes, Job, StoredAnswer, encode_leftovers, parse_attempt
from batchcompute_local.jobs.states import State
from batchcompute_local.jobs.tables import ANSWERS, ATTEMPTS, DESCRIPTIONS, INSTANCES, JOBS, TASKS
from batchcompute_local.plan import JobPlan, build_plan


class Store:
    """Open once per daemon. Raises sqlite3.Error; a failed commit leaves what was committed before."""

    def __init__(self, path: Path, kept_attempts: int = 10) -> None:
        """Open the file at `path`. kept_attempts: the number of earlier attempts of an instance that are kept."""
        self._kept_attempts = kept_attempts
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        os.chmod(path, 0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        migrate(self._db)
        row = self._db.execute(tables.SELECT_LAST).fetchone()
        self._last = int(row[0]) if row else 0
        self._prefix = self._read_prefix()

    def _read_prefix(self) -> str:
        # the part of every id that names this store: when it was made, and a random number (protocol 1.7, Ids)
        new = f"{int(time.time()):08X}{int.from_bytes(os.urandom(4)):08X}"
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('generator', ?)", (new,))
        return str(self._db.execute(tables.SELECT_PREFIX).fetchone()[0])

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
        db.executemany(DESCRIPTIONS.put, [(seq, *_submitted(job.plan)) for seq, job in changes.created.items()])
        db.executemany(TASKS.put, [(*key, *TASKS.values(task)) for key, task in changes.tasks.items()])
        db.executemany(INSTANCES.put, [(*key, *INSTANCES.values(one)) for key, one in changes.instances.items()])
        if changes.attempts:
            db.executemany(ATTEMPTS.put, [(*key, *ATTEMPTS.values(one)) for key, one in changes.attempts.items()])
            instances = {key[:3] for key in changes.attempts}
            db.executemany(tables.DELETE_ATTEMPTS, [(*key, self._kept_attempts) for key in instances])
        for update in tables.UPDATE_LATE if changes.late else ():
            db.executemany(update, list(_late_rows(changes.late.values())))
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

    def rollback(self) -> None:
        """Forget what was flushed since the last commit."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def select(self, owner: int, columns: Mapping[str, str]) -> list[dict[str, Any]]:
        """Read all jobs of `owner` as dicts; `columns` has the SQL expression over a job's row for each of their keys."""
        sql = f"SELECT {', '.join(columns.values())} FROM jobs WHERE owner = ?"  # noqa: S608  # names of ours, no values
        return [dict(zip(columns, row, strict=False)) for row in self._db.execute(sql, (owner,))]

    def summary(self, job_id: str) -> Job | None:
        """Read one job without its tasks, of any owner; None if there is none."""
        row = self._db.execute(f"{JOBS.select} WHERE id = ?", (job_id,)).fetchone()
        return JOBS.read(row) if row else None

    def ended(self, state: State, before: float, limit: int) -> list[Job]:
        """Read up to `limit` jobs, of any owner, that ended in `state` before that time, without tasks, oldest first."""
        condition = f"{JOBS['state']} = ? AND {JOBS['ended']} < ?"
        rows = self._db.execute(f"{JOBS.select} WHERE {condition} ORDER BY seq LIMIT ?", (state.real, before, limit))
        return [JOBS.read(row) for row in rows]

    def description(self, seq: int) -> str:
        """Read the stored description as JSON text."""
        row = self._db.execute("SELECT text FROM descriptions WHERE job = ?", (seq,)).fetchone()
        return str(row[0])

    def surroundings(self, seq: int) -> Surroundings | None:
        """Read the surroundings of a job; None if none were sent."""
        row = self._db.execute("SELECT surroundings FROM descriptions WHERE job = ?", (seq,)).fetchone()
        return None if row[0] is None else Surroundings.from_wire(json.loads(row[0]))

    def answer(self, owner: int, token: str) -> StoredAnswer | None:
        """Read what a request with this token was answered; None if there was none, or too long ago."""
        row = self._db.execute(f"{ANSWERS.select} WHERE owner = ? AND token = ?", (owner, token)).fetchone()
        return ANSWERS.read(row) if row else None

    def complete(self, job: Job) -> Job:
        """Read the plan, the tasks and the instances of `job`, a summary, into it."""
        job.plan = build_plan(json.loads(self.description(job.seq)), self.surroundings(job.seq))
        job.tasks.extend(
            map(TASKS.read, self._db.execute(f"{TASKS.select} WHERE job = ? ORDER BY position", (job.seq,)))
        )
        for row in self._db.execute(f"{INSTANCES.select} WHERE job = ?", (job.seq,)):
            instance = INSTANCES.read(row)
            job.tasks[row[1]].instances[instance.number] = instance
        return job

    def attempts(self, seq: int) -> Iterator[tuple[int, int, Attempt]]:
        """Yield task position, instance number and attempt of all earlier attempts of a job, in order."""
        for row in self._db.execute(f"{ATTEMPTS.select} WHERE job = ? ORDER BY task, number, attempt", (seq,)):
            yield row[1], row[2], ATTEMPTS.read(row)

    def leftovers(self, owner: int) -> dict[str, int]:
        """Count the instances that left processes, by job id; only jobs of `owner` that have any."""
        return dict(self._db.execute(tables.SELECT_LEFTOVERS, (owner,)))

    def active(self) -> list[Job]:
        """Read all jobs that have not ended, complete, oldest first. Raises DamageError for one that cannot be read."""
        rows = self._db.execute(f"{JOBS.select} WHERE {tables.ACTIVE} ORDER BY seq").fetchall()
        return [self._read_whole(row) for row in rows]

    def _read_whole(self, row: Sequence[Any]) -> Job:
        try:
            return self.complete(JOBS.read(row))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise DamageError(f"has rows of job {row[1]} that cannot be read: {type(error).__name__}") from error

    def keeps(self, job_id: str) -> bool:
        """Check if the folder of a job stays: it is one of this store, or was unknown to a copy that was restored."""
        key = f"{tables.UNKNOWN}{job_id}"
        return (
            self.summary(job_id) is not None
            or self._db.execute("SELECT 1 FROM meta WHERE name = ?", (key,)).fetchone() is not None
        )

    def close(self) -> None:
        """Close the file; what is not committed is lost."""
        self._db.close()


def _submitted(plan: JobPlan) -> tuple[str, str | None]:
    compact = json.JSONEncoder(separators=(",", ":")).encode
    return compact(plan.view), None if plan.surroundings is None else compact(plan.surroundings.to_wire())


def _late_rows(events: Iterable[Exited]) -> Iterator[tuple[object, ...]]:
    for event in events:
        with suppress(ValueError):  # an attempt that is none of ours
            found = parse_attempt(event.attempt)
            left = event.timed_out, encode_leftovers(event.leftovers)
            yield (event.started, event.ended, event.code, event.signal, event.reason, event.host, *left, *found)
