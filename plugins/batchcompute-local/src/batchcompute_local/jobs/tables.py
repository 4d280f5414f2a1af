"""The tables of the store, each declared once: its columns, its SQL, and how rows and objects become each other. No I/O.

A column that is added here needs a migration as well, in `migrations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from batchcompute_local.jobs.model import LOST, Attempt, Instance, Job, StoredAnswer, Task
from batchcompute_local.jobs.states import FINISHED, RUNNING, STOPPED, Counts, State

T = TypeVar("T")

_INTEGER, _REAL, _TEXT = "INTEGER NOT NULL", "REAL NOT NULL", "TEXT NOT NULL"
_ADDED = "DEFAULT 0"
"""For a number that a migration adds to a table with rows."""
_STATES = tuple(State)
"""By number."""


class Table:
    """A table: SQL types by column, `key` first. The first key column of everything below a job is the job's number."""

    def __init__(
        self,
        name: str,
        key: Mapping[str, str],
        columns: Mapping[str, str],
        *,
        options: str = "",
        indexes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.columns = (*key, *columns)
        self.indexes = tuple(indexes)
        keys = ", ".join(key)
        parts = [f"{column} {kind}" for column, kind in {**key, **columns}.items()]
        if len(key) > 1:
            parts.append(f"PRIMARY KEY ({keys})")
        self.create = f"CREATE TABLE {name} ({', '.join(parts)}) {options}"
        self.select = f"SELECT {', '.join(self.columns)} FROM {name}"  # noqa: S608  # names of ours, no values
        self.delete = f"DELETE FROM {name} WHERE {self.columns[0]} = ?"  # noqa: S608  # names of ours, no values
        # a row with that key is changed in place, which leaves indexes of what is the same untouched
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
        marks = ", ".join("?" for _ in self.columns)
        self.put = (
            f"INSERT INTO {name} ({', '.join(self.columns)}) VALUES ({marks})"  # noqa: S608  # names of ours, no values
            f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"
        )

    def __getitem__(self, column: str) -> str:
        """Return the name of a column. Raises KeyError if it is not declared."""
        if column not in self.columns:
            raise KeyError(f"the table {self.name} has no column {column}")
        return column


@dataclass(frozen=True)
class Field:
    """An attribute of an object, kept in one column or in several.

    `sources` are the attributes that the columns are written from, dotted if they are parts of it. `read` builds the
    attribute from the values of its columns; None if the value is the attribute.
    """

    columns: Mapping[str, str]
    sources: tuple[str, ...]
    read: Callable[[Sequence[Any]], object] | None = None


class ObjectTable(Table, Generic[T]):
    """A table whose rows are objects. `make` takes the last `own_keys` key columns, then the fields in their order."""

    def __init__(
        self,
        name: str,
        make: Callable[..., T],
        key: Mapping[str, str],
        fields: Sequence[Field],
        *,
        own_keys: int = 1,
        options: str = "",
        indexes: Sequence[str] = (),
    ) -> None:
        columns = {column: kind for field in fields for column, kind in field.columns.items()}
        super().__init__(name, key, columns, options=options, indexes=indexes)
        self.values: Callable[[T], tuple[Any, ...]] = attrgetter(*(one for field in fields for one in field.sources))
        self._make = make
        self._skipped = len(key) - own_keys
        places = []
        start = own_keys
        for field in fields:
            if field.read is not None:
                places.append((slice(start, start + len(field.columns)), field.read))
            start += len(field.columns)
        self._places = places[::-1]  # from the last one, since columns become fewer

    def read(self, row: Sequence[Any]) -> T:
        """Build the object of a row of `select`."""
        values = list(row[self._skipped :])
        for place, read in self._places:
            values[place] = (read(values[place]),)
        return self._make(*values)


def _plain(kind: str, *names: str) -> Iterator[Field]:
    for name in names:
        yield Field({name: kind}, (name,))


def _flag(kind: str, *names: str) -> Iterator[Field]:
    for name in names:
        yield Field({name: kind}, (name,), lambda values: bool(values[0]))


def _end() -> Iterator[Field]:
    """How an attempt went."""
    yield from _plain(_REAL, "started", "ended", "worker_started", "worker_ended")
    yield from _plain("INTEGER", "exit_code", "signal")
    yield from _plain(_TEXT, "reason", "host")


def _state() -> Field:
    # `real` is the plain integer, which sqlite3 binds without looking for an adapter
    return Field({"state": _INTEGER}, ("state.real",), lambda values: _STATES[values[0]])


def _counts(attribute: str, prefix: str = "") -> Field:
    columns = {f"{prefix}{name}": _INTEGER for name in Counts._fields}
    return Field(columns, tuple(f"{attribute}.{name}" for name in Counts._fields), Counts._make)


ACTIVE = f"state < {FINISHED:d}"
"""The condition for jobs that have not ended: the numbers of those states come first."""
LEFT = "leftovers > ''"
"""The condition for attempts that left processes."""

JOBS = ObjectTable(
    "jobs",
    Job,
    {"seq": "INTEGER PRIMARY KEY AUTOINCREMENT"},
    [
        *_plain("TEXT NOT NULL UNIQUE", "id"),
        *_plain(_INTEGER, "owner"),
        *_plain(_TEXT, "name", "description"),
        *_plain(_INTEGER, "priority"),
        *_plain(_REAL, "created"),
        _state(),
        *_plain(_REAL, "started", "ended", "total_time"),
        _counts("counts"),
        _counts("task_counts", "tasks_"),
        *_plain(f"{_INTEGER} DEFAULT 1", "round"),
        *_plain(f"{_TEXT} DEFAULT ''", "parent"),
    ],
    indexes=(
        "CREATE INDEX jobs_of_owner ON jobs (owner, seq)",
        f"CREATE INDEX jobs_active ON jobs (seq) WHERE {ACTIVE}",
    ),
)
TASKS = ObjectTable(
    "tasks",
    Task,
    {"job": _INTEGER, "position": _INTEGER},
    [*_plain(_TEXT, "name"), _counts("counts"), _state(), *_plain(_REAL, "started", "ended")],
    options="WITHOUT ROWID",
)
INSTANCES = ObjectTable(
    "instances",
    Instance,
    {"job": _INTEGER, "task": _INTEGER, "number": _INTEGER},
    [
        _state(),
        *_plain(_INTEGER, "attempt"),
        *_end(),
        *_plain(f"{_INTEGER} {_ADDED}", "retries"),
        *_plain(f"{_REAL} {_ADDED}", "not_before"),
        *_plain(f"{_INTEGER} DEFAULT 1", "round"),
        *_flag(f"{_INTEGER} {_ADDED}", "timed_out"),
        *_plain(f"{_TEXT} DEFAULT ''", "leftovers", "node"),
    ],
    options="WITHOUT ROWID",
    indexes=(f"CREATE INDEX instances_with_leftovers ON instances (job) WHERE {LEFT}",),
)
"""Only instances that have left Waiting once have a row, so that a job is stored in O(tasks)."""
ATTEMPTS = ObjectTable(
    "attempts",
    Attempt,
    {"job": _INTEGER, "task": _INTEGER, "number": _INTEGER, "attempt": _INTEGER},
    [
        _state(),
        *_end(),
        *_plain(_INTEGER, "round"),
        *_flag(_INTEGER, "timed_out"),
        *_plain(_TEXT, "leftovers"),
        *_plain(f"{_TEXT} DEFAULT ''", "node"),
    ],
    options="WITHOUT ROWID",
    indexes=(f"CREATE INDEX attempts_with_leftovers ON attempts (job) WHERE {LEFT}",),
)
"""Earlier attempts: the latest one of an instance is in the row of the instance."""
ANSWERS = ObjectTable(
    "answers",
    StoredAnswer,
    {"owner": _INTEGER, "token": _TEXT},
    [*_plain(_TEXT, "digest", "text"), *_plain(_REAL, "at")],
    own_keys=0,
    options="WITHOUT ROWID",
    indexes=("CREATE INDEX answers_by_age ON answers (at)",),
)
DESCRIPTIONS = Table("descriptions", {"job": "INTEGER PRIMARY KEY"}, {"text": _TEXT, "surroundings": "TEXT"})
"""What was submitted, as JSON; `surroundings` is NULL if none were sent."""
STOPPING = Table("stopping", {"attempt": "TEXT PRIMARY KEY"}, {"node": _TEXT}, options="WITHOUT ROWID")
"""Attempts on nodes that no instance wants any more, until they have ended. Of jobs that were deleted, too."""
VIEWS = Table("views", {"job": "INTEGER PRIMARY KEY"}, {"text": _TEXT})
"""The JSON text of each job that has ended, for lists: see `views.job_text`.

Whoever changes `job_view` empties the table in a migration: what is missing is built of the row.
"""
META = Table("meta", {"name": "TEXT PRIMARY KEY"}, {"value": _TEXT}, options="WITHOUT ROWID")

ALL = (META, JOBS, DESCRIPTIONS, TASKS, INSTANCES, ANSWERS, ATTEMPTS, STOPPING, VIEWS)
OF_A_JOB = (JOBS, DESCRIPTIONS, TASKS, INSTANCES, ATTEMPTS, VIEWS)
"""The rows that are deleted with a job."""

UNKNOWN = "unknown "
"""What the names of those rows of `meta` begin with that name a job whose folder stays, though the store does not know it."""
COUNT_ACTIVE = f"SELECT count(*) FROM {JOBS.name} WHERE {ACTIVE}"  # noqa: S608  # names of ours, no values
SELECT_PREFIX = "SELECT 'job-00000000' || value FROM meta WHERE name = 'generator'"
"""The prefix of the ids of all jobs of a store."""
SELECT_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'jobs'"
"""The largest number that a job ever had."""
_OF_AN_ATTEMPT = f"job = (SELECT seq FROM {JOBS.name} WHERE id = ?) AND task = ? AND number = ? AND attempt = ?"  # noqa: S608  # names of ours, no values
_END = ("worker_started", "worker_ended", "exit_code", "signal", "reason", "host", "timed_out", "leftovers")
_SET_END = "SET " + ", ".join(f"{name} = ?" for name in _END)
_OF_AN_INSTANCE = "job = ? AND task = ? AND number = ?"
_CHANGED_BY_BEGIN = ("started", "round", "node")
_CHANGED_BY_END = ("state", "ended", *_END)


def _begin() -> str:
    constants = dict(zip(INSTANCES.columns[3:], INSTANCES.values(Instance(0, State.RUNNING, 1)), strict=True))
    texts = {name: "NULL" if value is None else repr(value) for name, value in constants.items()}
    texts |= dict.fromkeys(_CHANGED_BY_BEGIN, "?")
    changes = ", ".join(f"{name} = excluded.{name}" for name in texts)
    names = ", ".join(INSTANCES.columns)
    return (
        f"INSERT INTO {INSTANCES.name} ({names}) VALUES (?, ?, ?, {', '.join(texts.values())})"  # noqa: S608  # names of ours, no values
        f" ON CONFLICT (job, task, number) DO UPDATE SET {changes}"
    )


BEGIN_INSTANCE = _begin()
"""Store the first attempt of an instance: its key, then `begin_values`. What it cannot have yet is part of the statement."""
begin_values: Callable[[Instance], tuple[Any, ...]] = attrgetter(*_CHANGED_BY_BEGIN)
END_INSTANCE = (
    f"UPDATE {INSTANCES.name} SET {', '.join(f'{name} = ?' for name in _CHANGED_BY_END)} WHERE {_OF_AN_INSTANCE}"  # noqa: S608  # names of ours, no values
)
"""Store the end of an instance that ran: `end_values`, then its key."""
end_values: Callable[[Instance], tuple[Any, ...]] = attrgetter("state.real", *_CHANGED_BY_END[1:])
UPDATE_LATE = tuple(
    f"UPDATE {table.name} {_SET_END} WHERE {_OF_AN_ATTEMPT} AND state = {STOPPED:d} AND worker_ended = 0"
    for table in (INSTANCES, ATTEMPTS)
)
"""Store how the program of a stopped instance ended; if the instance was started again since, in its earlier attempt.

What is reported again changes nothing.
"""
SELECT_STARTED = f"SELECT task, count(*), max(number) FROM {INSTANCES.name} WHERE job = ? GROUP BY task"  # noqa: S608  # names of ours, no values
"""The position of each task of which an instance was started, the number of these instances, and the last one."""
UPDATE_LOST = f"UPDATE {ATTEMPTS.name} {_SET_END} WHERE {_OF_AN_ATTEMPT} AND reason = '{LOST}' AND worker_ended = 0"
"""The same for an attempt that was given up, and has another attempt after it."""
SELECT_CLAIMS = (
    f"SELECT id || '.' || task || '.' || number || '.' || attempt, node FROM {JOBS.name} JOIN {INSTANCES.name} ON job = seq"  # noqa: S608  # names of ours
    f" WHERE {JOBS.name}.{ACTIVE} AND {INSTANCES.name}.state = {RUNNING:d} AND node > ''"
    f" UNION ALL SELECT attempt, node FROM {STOPPING.name}"
)
"""The node of each attempt that was given to one and has not ended."""
DELETE_ATTEMPTS = (
    f"DELETE FROM {ATTEMPTS.name} WHERE job = ?1 AND task = ?2 AND number = ?3 AND attempt <= (SELECT attempt"  # noqa: S608  # names of ours, no values
    f" FROM {ATTEMPTS.name} WHERE job = ?1 AND task = ?2 AND number = ?3 ORDER BY attempt DESC LIMIT 1 OFFSET ?4)"
)
"""Delete all attempts of an instance but the newest ones."""
SELECT_LEFTOVERS = (
    f"SELECT id, count(*) FROM (SELECT job, task, number FROM {INSTANCES.name} WHERE {LEFT} UNION"  # noqa: S608  # names of ours, no values
    f" SELECT job, task, number FROM {ATTEMPTS.name} WHERE {LEFT}) JOIN {JOBS.name} ON seq = job WHERE owner = ? GROUP BY id"
)
"""The number of instances with leftovers of each job that has any."""
NOTABLE = f"(state <> {FINISHED:d} OR attempt > 1 OR {LEFT})"
"""The condition for instances that may have more to tell than that they ran well at once, such as an earlier attempt."""
SELECT_NEWEST_EARLIER = (
    f"SELECT max(attempt) FROM {ATTEMPTS.name} WHERE job = ? AND task = ? AND number = ? AND host <> ''"  # noqa: S608  # names of ours, no values
)
"""The newest earlier attempt of an instance whose program began."""
