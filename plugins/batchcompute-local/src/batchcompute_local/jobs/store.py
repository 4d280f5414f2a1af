"""The state on disk: SQLite in WAL mode, synchronous=FULL. One thread owns it; many transitions share one commit.

Rows of instances exist only for those that have left Waiting once, so a job is stored in O(tasks).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchcompute_local.executors.base import Exited
from batchcompute_local.jobs.model import Changes, Instance, Job, StoredAnswer, Task, parse_attempt
from batchcompute_local.jobs.states import Counts, State
from batchcompute_local.plan import build_plan

_MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL, priority INTEGER NOT NULL, created REAL NOT NULL, state INTEGER NOT NULL,
        started REAL NOT NULL, ended REAL NOT NULL, total_time REAL NOT NULL,
        waiting INTEGER NOT NULL, running INTEGER NOT NULL, finished INTEGER NOT NULL, failed INTEGER NOT NULL,
        stopped INTEGER NOT NULL, tasks_waiting INTEGER NOT NULL, tasks_running INTEGER NOT NULL,
        tasks_finished INTEGER NOT NULL, tasks_failed INTEGER NOT NULL, tasks_stopped INTEGER NOT NULL);
    CREATE INDEX jobs_of_owner ON jobs (owner, seq);
    CREATE INDEX jobs_active ON jobs (seq) WHERE state < 3;
    CREATE TABLE descriptions (job INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TABLE tasks (
        job INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
        waiting INTEGER NOT NULL, running INTEGER NOT NULL, finished INTEGER NOT NULL, failed INTEGER NOT NULL,
        stopped INTEGER NOT NULL, state INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
        PRIMARY KEY (job, position)) WITHOUT ROWID;
    CREATE TABLE instances (
        job INTEGER NOT NULL, task INTEGER NOT NULL, number INTEGER NOT NULL, state INTEGER NOT NULL,
        attempt INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL, worker_started REAL NOT NULL,
        worker_ended REAL NOT NULL, exit_code INTEGER, signal INTEGER, reason TEXT NOT NULL, host TEXT NOT NULL,
        PRIMARY KEY (job, task, number)) WITHOUT ROWID;
    """,
    """
    CREATE TABLE answers (
        owner INTEGER NOT NULL, token TEXT NOT NULL, digest TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (owner, token)) WITHOUT ROWID;
    CREATE INDEX answers_by_age ON answers (at);
    """,
)
"""One script per schema version; `PRAGMA user_version` is the number of those already run."""

_JOB = (
    "id, owner, name, description, priority, created, state, started, ended, total_time, waiting, running, finished,"
    " failed, stopped, tasks_waiting, tasks_running, tasks_finished, tasks_failed, tasks_stopped"
)
_SELECT_JOB = f"SELECT seq, {_JOB} FROM jobs"  # noqa: S608  # names of ours, no values
_TASK = "name, waiting, running, finished, failed, stopped, state, started, ended"
_INSTANCE = "state, attempt, started, ended, worker_started, worker_ended, exit_code, signal, reason, host"

_UPDATE_LATE = (
    "UPDATE instances SET worker_started = ?, worker_ended = ?, exit_code = ?, signal = ?, reason = ?, host = ?"
    " WHERE job = (SELECT seq FROM jobs WHERE id = ?) AND task = ? AND number = ? AND attempt = ? AND state = 5"
)

_STATES = tuple(State)
"""By number."""


def _upsert(table: str, key: str, columns: str) -> str:
    """Insert a row, or change the one with that key in place, which leaves indexes of what is the same untouched."""
    marks = ", ".join("?" for _ in f"{key},{columns}".split(","))
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))
    return f"INSERT INTO {table} ({key}, {columns}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {changes}"  # noqa: S608  # names of ours, no values


_PUT_JOB = _upsert("jobs", "seq", _JOB)
_PUT_TASK = _upsert("tasks", "job, position", _TASK)
_PUT_INSTANCE = _upsert("instances", "job, task, number", _INSTANCE)


class Store:
    """Open once per daemon. Raises sqlite3.Error; a failed commit leaves what was committed before."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        os.chmod(path, 0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._migrate()
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
        self._last = int(row[0]) if row else 0
        self._prefix = self._generator()

    def _migrate(self) -> None:
        done = self._db.execute("PRAGMA user_version").fetchone()[0]
        if done > len(_MIGRATIONS):
            raise sqlite3.DatabaseError(f"the state has schema {done}, made by a newer version of this service")
        for number, script in enumerate(_MIGRATIONS[done:], start=done + 1):
            self._db.executescript(f"BEGIN; {script}; PRAGMA user_version={number}; COMMIT")

    def _generator(self) -> str:
        # the part of every id that names this store: when it was made, and a random number (protocol 1.7, Ids)
        made = f"{int(time.time()):08X}{int.from_bytes(os.urandom(4)):08X}"
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('generator', ?)", (made,))
        row = self._db.execute("SELECT value FROM meta WHERE name = 'generator'").fetchone()
        return f"job-00000000{row[0]}"

    @property
    def prefix(self) -> str:
        """What the ids of all jobs of this store begin with."""
        return self._prefix

    def next_id(self) -> tuple[int, str]:
        """A number and an id no job of this store ever had."""
        self._last += 1
        return self._last, f"{self._prefix}{self._last:08X}"

    def flush(self, changes: Changes) -> None:
        """Write `changes` inside the open transaction, so that reads see them. `changes` is emptied."""
        if not changes:
            return
        db = self._db
        if not db.in_transaction:
            db.execute("BEGIN IMMEDIATE")
        db.executemany(_PUT_JOB, [_job_row(job) for job in changes.jobs.values()])
        db.executemany(
            "INSERT INTO descriptions VALUES (?, ?)",
            [(job.seq, json.dumps(job.plan.view, separators=(",", ":"))) for job in changes.created.values()],
        )
        db.executemany(_PUT_TASK, [_task_row(key, task) for key, task in changes.tasks.items()])
        db.executemany(_PUT_INSTANCE, [_instance_row(key, one) for key, one in changes.instances.items()])
        db.executemany(_UPDATE_LATE, list(_late_rows(changes.late.values())))
        for seq in changes.deleted:
            db.execute("DELETE FROM jobs WHERE seq = ?", (seq,))
            for table in ("descriptions", "tasks", "instances"):
                db.execute(f"DELETE FROM {table} WHERE job = ?", (seq,))  # noqa: S608  # names of ours, no values
        if changes.answers:
            db.execute("DELETE FROM answers WHERE at < ?", (changes.forget_answers_before,))
            rows = [(*key, one.digest, one.text, one.at) for key, one in changes.answers.items()]
            db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)
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
        """All jobs of `owner` as dicts; `columns` names their keys, and the SQL expression of each over a job's row."""
        rows = self._db.execute(f"SELECT {', '.join(columns.values())} FROM jobs WHERE owner = ?", (owner,))  # noqa: S608  # names of ours, no values
        return [dict(zip(columns, row, strict=False)) for row in rows]

    def summary(self, job_id: str) -> Job | None:
        """One job without its tasks, of any owner."""
        row = self._db.execute(f"{_SELECT_JOB} WHERE id = ?", (job_id,)).fetchone()
        return _job(row) if row else None

    def description(self, seq: int) -> str:
        """The stored description as JSON text."""
        row = self._db.execute("SELECT text FROM descriptions WHERE job = ?", (seq,)).fetchone()
        return str(row[0])

    def answer(self, owner: int, token: str) -> StoredAnswer | None:
        """What a request with this token was answered; None if there was none, or too long ago."""
        row = self._db.execute(
            "SELECT digest, text, at FROM answers WHERE owner = ? AND token = ?", (owner, token)
        ).fetchone()
        return StoredAnswer(*row) if row else None

    def complete(self, job: Job) -> Job:
        """`job`, a summary, with its plan, tasks and instances."""
        job.plan = build_plan(json.loads(self.description(job.seq)))
        for row in self._db.execute("SELECT * FROM tasks WHERE job = ? ORDER BY position", (job.seq,)):
            job.tasks.append(Task(row[1], row[2], Counts(*row[3:8]), State(row[8]), row[9], row[10]))
        for row in self._db.execute("SELECT * FROM instances WHERE job = ?", (job.seq,)):
            job.tasks[row[1]].instances[row[2]] = Instance(row[2], State(row[3]), *row[4:])
        return job

    def active(self) -> list[Job]:
        """All jobs that have not ended, complete, oldest first."""
        rows = self._db.execute(f"{_SELECT_JOB} WHERE state < 3 ORDER BY seq").fetchall()
        return [self.complete(_job(row)) for row in rows]

    def close(self) -> None:
        """Close the file; what is not committed is lost."""
        self._db.close()


def _job_row(job: Job) -> tuple[object, ...]:
    return (
        job.seq, job.id, job.owner, job.name, job.description, job.priority, job.created, int(job.state),
        job.started, job.ended, job.total_time, *job.counts, *job.task_counts,
    )  # fmt: skip


def _job(row: tuple[Any, ...]) -> Job:
    seq, job_id, owner, name, description, priority, created, state, started, ended, total_time, *counts = row
    return Job(
        seq, job_id, owner, name, description, priority, created, _STATES[state], started, ended, total_time,
        Counts._make(counts[:5]), Counts._make(counts[5:]),
    )  # fmt: skip


def _task_row(key: tuple[int, int], task: Task) -> tuple[object, ...]:
    return (*key, task.name, *task.counts, int(task.state), task.started, task.ended)


def _instance_row(key: tuple[int, int, int], one: Instance) -> tuple[object, ...]:
    return (
        *key, int(one.state), one.attempt, one.started, one.ended, one.worker_started, one.worker_ended,
        one.exit_code, one.signal, one.reason, one.host,
    )  # fmt: skip


def _late_rows(events: Iterable[Exited]) -> Iterator[tuple[object, ...]]:
    for event in events:
        with suppress(ValueError):  # an attempt that is none of ours
            known = parse_attempt(event.attempt)
            yield (event.started, event.ended, event.code, event.signal, event.reason, event.host, *known)
