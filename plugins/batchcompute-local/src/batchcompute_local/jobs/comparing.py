"""Find rows that a fault of disk or memory changed: a Finished job never changes, so two copies say the same of it.

SQLite notices damage of its structure, not a flipped bit within a value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from batchcompute_local.jobs import tables
from batchcompute_local.jobs.states import FINISHED

_MOST_NAMED = 3
_STEPS = 100_000
_KEYS = {"jobs": ("seq",), "descriptions": ("job",), "views": ("job",), "tasks": ("job", "position")}
_KEYS |= {"instances": ("job", "task", "number"), "attempts": ("job", "task", "number", "attempt")}


def find_changed(earlier: Path, later: Path, is_cancelled: Callable[[], bool] = lambda: False) -> str:
    """Return which Finished jobs are not the same in two copies of a database, in words; empty if all are.

    A job that was deleted, or started again after a restore, is left out. Copies of two schemas are not compared. Raises
    sqlite3.Error, also if it was cancelled.
    """
    with closing(sqlite3.connect(f"{later.as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        db.set_progress_handler(is_cancelled, _STEPS)
        db.execute("ATTACH ? AS earlier", (f"{earlier.as_uri()}?mode=ro&immutable=1",))
        versions = {db.execute(f"PRAGMA {name}.user_version").fetchone() for name in ("main", "earlier")}
        if len(versions) > 1:
            return ""
        changed = sorted({row[0] for table in tables.OF_A_JOB for row in db.execute(_select(table))})
    if not changed:
        return ""
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    return f"{', '.join(changed[:_MOST_NAMED])}{more}"


def _select(table: tables.Table) -> str:
    """Return the SQL that selects the ids of Finished jobs with a row of `table` that is changed or missing."""
    keys = _KEYS[table.name]
    same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
    values = [column for column in table.columns if column not in keys]
    differs = " OR ".join(f"old.{column} IS NOT new.{column}" for column in values)
    return (
        f"SELECT before.id FROM earlier.jobs AS before JOIN main.jobs AS after ON after.seq = before.seq"  # noqa: S608  # names of ours, no values
        f" JOIN earlier.{table.name} AS old ON old.{keys[0]} = before.seq LEFT JOIN main.{table.name} AS new ON {same}"
        f" WHERE before.state = {FINISHED:d} AND after.state = {FINISHED:d} AND after.round = before.round"
        f" AND (new.{keys[0]} IS NULL OR {differs})"
    )
