"""The tables of the store: one declaration for rows, objects and the schema."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.migrations import MIGRATIONS
from batchcompute_local.jobs.model import Attempt, Changes, Instance, Job, StoredAnswer, Task
from batchcompute_local.jobs.states import FAILED, RUNNING, STOPPED, Counts
from batchcompute_local.jobs.store import Store

JOB = Job(
    7,
    "job-7",
    3,
    "n",
    "d",
    5,
    1.5,
    RUNNING,
    2.5,
    3.5,
    4.5,
    Counts(1, 2, 3, 4, 5),
    Counts(6, 7, 8, 9, 10),
    2,
    "job-6.0.0.1",
)
TASK = Task(2, "t", Counts(1, 2, 3, 4, 5), FAILED, 1.5, 2.5)
INSTANCE = Instance(4, STOPPED, 2, 1.5, 2.5, 3.5, 4.5, 1, None, "why", "h", 2, 5.5, 3, True, "[]", "n1")
ATTEMPT = Attempt(5, FAILED, 1.5, 2.5, 3.5, 4.5, None, 9, "why", "h", 3, True, "[]", "n1")


SHIPPED = (
    "e41e12019532fc40",
    "9937b7767cc96c4b",
    "fc62ae97028a4161",
    "b4fea36b2ab842b8",
    "8ea35f6b26ab3fa2",
    "aed455f542f6e3c5",
    "09c4a7e341ae01c6",
)


def _describe(path: Path) -> dict[str, object]:
    """Columns and indexes of every table."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > '' ORDER BY name")
        found: dict[str, object] = {name: " ".join(sql.split()) for name, sql in indexes}
        found["version"] = db.execute("PRAGMA user_version").fetchone()
        for name in names:
            found[name] = db.execute(f"PRAGMA table_xinfo({name})").fetchall()
            found[f"{name} in general"] = db.execute(
                "SELECT wr, strict FROM pragma_table_list WHERE name = ?", (name,)
            ).fetchall()
            found[f"{name} uniquely"] = db.execute(f"PRAGMA index_list({name})").fetchall()
    return found


def test_a_migration_that_has_shipped_is_as_it_was() -> None:
    found = [hashlib.sha256(script.encode()).hexdigest()[:16] for script in MIGRATIONS]
    assert found == list(SHIPPED)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_store_of_every_earlier_version_gets_the_schema_of_a_new_one(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / "old")) as db:
        for number, script in enumerate(MIGRATIONS[:version], start=1):
            db.executescript(f"{script}; PRAGMA user_version={number}")
    for name in ("old", "new"):
        Store(tmp_path / name).close()
    assert _describe(tmp_path / "old") == _describe(tmp_path / "new")


@pytest.mark.parametrize(
    ("table", "key", "one"),
    [
        (tables.JOBS, (), JOB),
        (tables.TASKS, (7,), TASK),
        (tables.INSTANCES, (7, 2), INSTANCE),
        (tables.ATTEMPTS, (7, 2, 4), ATTEMPT),
    ],
)
def test_a_row_becomes_the_object_that_it_was(
    tmp_path: Path, table: tables.ObjectTable[object], key: tuple[int, ...], one: object
) -> None:
    Store(tmp_path / "s").close()
    own = next(getattr(one, name) for name in ("seq", "position", "number", "attempt") if hasattr(one, name))
    with closing(sqlite3.connect(tmp_path / "s")) as db:
        for _ in range(2):  # the second time it is changed in place
            db.execute(table.put, (*key, own, *table.values(one)))
        (row,) = db.execute(table.select).fetchall()
    found: Any = table.read(row)
    assert [getattr(found, each.name) for each in fields(found)] == [getattr(one, each.name) for each in fields(found)]
    assert type(found.state) is type(RUNNING)


def test_a_stored_answer_comes_back(tmp_path: Path) -> None:
    store, changes = Store(tmp_path / "s"), Changes()
    changes.answers[1, "t"] = StoredAnswer("digest", "{}", 5.0)
    store.commit(changes)
    assert (store.answer(1, "t"), store.answer(2, "t")) == (StoredAnswer("digest", "{}", 5.0), None)
    store.close()


def test_a_column_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError, match="the table jobs has no column cretaed"):
        tables.JOBS["cretaed"]


def test_active_jobs_are_found_by_their_index(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    with closing(sqlite3.connect(tmp_path / "s")) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {tables.JOBS.select} WHERE {tables.ACTIVE} ORDER BY seq").fetchall()
    assert "jobs_active" in plan[0][-1]
