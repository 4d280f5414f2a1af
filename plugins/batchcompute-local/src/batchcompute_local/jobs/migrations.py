"""From the schema of an earlier version to that of `tables`. Scripts that have shipped never change."""

from __future__ import annotations

import sqlite3

from batchcompute_local.jobs import tables

MIGRATIONS = (
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
    """
    ALTER TABLE instances ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE instances ADD COLUMN not_before REAL NOT NULL DEFAULT 0;
    """,
    "ALTER TABLE descriptions ADD COLUMN surroundings TEXT",
    """
    ALTER TABLE jobs ADD COLUMN round INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    ALTER TABLE instances ADD COLUMN round INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE instances ADD COLUMN timed_out INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE instances ADD COLUMN leftovers TEXT NOT NULL DEFAULT '';
    CREATE INDEX instances_with_leftovers ON instances (job) WHERE leftovers > '';
    CREATE TABLE attempts (
        job INTEGER NOT NULL, task INTEGER NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL,
        state INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL, worker_started REAL NOT NULL,
        worker_ended REAL NOT NULL, exit_code INTEGER, signal INTEGER, reason TEXT NOT NULL, host TEXT NOT NULL,
        round INTEGER NOT NULL, timed_out INTEGER NOT NULL, leftovers TEXT NOT NULL,
        PRIMARY KEY (job, task, number, attempt)) WITHOUT ROWID;
    CREATE INDEX attempts_with_leftovers ON attempts (job) WHERE leftovers > '';
    """,
    """
    ALTER TABLE instances ADD COLUMN node TEXT NOT NULL DEFAULT '';
    ALTER TABLE attempts ADD COLUMN node TEXT NOT NULL DEFAULT '';
    CREATE TABLE stopping (attempt TEXT PRIMARY KEY, node TEXT NOT NULL) WITHOUT ROWID;
    """,
    "CREATE TABLE views (job INTEGER PRIMARY KEY, text TEXT NOT NULL)",
)
"""One script for each schema version; `PRAGMA user_version` is the number of those that the file has seen."""


def migrate(db: sqlite3.Connection) -> None:
    """Give `db` the schema of `tables`, whatever version it has. Raises sqlite3.DatabaseError for a newer one."""
    done = db.execute("PRAGMA user_version").fetchone()[0]
    if done > len(MIGRATIONS):
        raise sqlite3.DatabaseError(f"the state has schema {done}, made by a newer version of this service")
    if not done:
        script = ";".join(sql for table in tables.ALL for sql in (table.create, *table.indexes))
        _run(db, script, len(MIGRATIONS))
    for number, script in enumerate(MIGRATIONS[done:] if done else (), start=done + 1):
        _run(db, script, number)


def _run(db: sqlite3.Connection, script: str, version: int) -> None:
    db.executescript(f"BEGIN; {script}; PRAGMA user_version={version}; COMMIT")
