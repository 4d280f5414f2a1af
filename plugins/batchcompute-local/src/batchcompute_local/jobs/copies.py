"""Copies of the database: check a database, copy it while the service uses it, list the copies, choose those that stay.

A copy is one file in the folder `copies`, named by the time at which it was made, in UTC.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from calendar import timegm
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.damage import DamageError, open_real
from batchcompute_local.files import fsync_folder
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.comparing import find_changed
from batchcompute_local.jobs.migrations import MIGRATIONS
from batchcompute_local.jobs.wal import find_torn

QUICK_BYTES = 32 << 20
"""A database up to this size is checked whole when the service starts: 2 ms for each MB."""
_FORMAT = "state-%Y-%m-%dT%H%M%SZ.sqlite3"
_NAME = re.compile(r"state-\d{4}-\d\d-\d\dT\d{6}Z\.sqlite3", re.ASCII)
_GENERATOR = re.compile(r"[0-9A-F]{16}", re.ASCII)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PAGES = 256
_PAUSE_SECONDS = 0.002
_BUSY_SECONDS = 10.0
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Copy:
    """A copy: its file, when it was made (epoch seconds), its size, and the numbers of jobs and of active jobs in it."""

    path: Path
    time: int
    size: int
    jobs: int
    active: int


def is_damage(error: sqlite3.Error) -> bool:
    """Check if `error` means that the file is damaged; else it is busy, not readable, or the disk is full."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def check_database(path: Path, most: int | None = QUICK_BYTES) -> None:
    """Check the database at `path`. Raises DamageError, sqlite3.Error if it cannot be opened, and OSError.

    Pages and indexes are checked in a file of at most `most` bytes, in any file for None; the head, version, tables and
    write-ahead log in every file.
    """
    os.close(open_real(path))
    size = os.stat(path).st_size
    if not size:
        raise DamageError("is empty")
    torn = find_torn(path)
    if torn:
        raise DamageError(f"is damaged: {torn}")
    try:
        with closing(connect(path)) as db:
            _check_content(db, most is None or size <= most)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise DamageError(f"is damaged: {error}") from None
        raise


def _check_content(db: sqlite3.Connection, is_whole: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if not 0 < version <= len(MIGRATIONS):
        raise DamageError(
            f"has schema {version}, and this version of the service knows 1 to {len(MIGRATIONS)}: a newer version made it, "
            "or it is damaged"
        )
    for table in tables.ALL if version == len(MIGRATIONS) else ():
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table.name})")}
        if not there.issuperset(table.columns):
            raise DamageError(f"is damaged: its table {table.name} is not whole")
    row = db.execute("SELECT value FROM meta WHERE name = 'generator'").fetchone()
    if row is None or not _GENERATOR.fullmatch(str(row[0])):
        raise DamageError("is damaged: it does not say with what the ids of its jobs begin")
    if is_whole and (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise DamageError(f"is damaged: {' '.join(str(found).split())}")


def connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Open an existing database; it is never created. Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def copy_database(
    source: Path, folder: Path, now: float, is_cancelled: Callable[[], bool] = lambda: False
) -> Path | None:
    """Copy the database `source`, which others may write meanwhile, into `folder`; return the checked copy.

    None if it was cancelled, or if the newest copy is the same. It holds up nobody: a reader of a database in WAL mode keeps
    no writer waiting, and it pauses after each MB. Raises DamageError, sqlite3.Error, OSError.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    part = folder / "new"
    part.unlink(missing_ok=True)

    def go_on(status: int, remaining: int, total: int) -> None:
        if is_cancelled():
            raise _CancelledError
        time.sleep(_PAUSE_SECONDS)

    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(connect(source)) as db, closing(connect(part)) as copy:
            db.execute("PRAGMA query_only=ON")
            db.execute("BEGIN")  # one moment of the database, so that a change of it does not begin the copy anew
            db.execute("SELECT count(*) FROM meta").fetchone()
            db.backup(copy, pages=_PAGES, progress=go_on)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole without others
        check_database(part, most=None)
        newest = next(iter(_paths(folder)), None)
        if newest is not None:
            if _is_same(newest, part):
                return None
            _compare(newest, part, is_cancelled)
        _sync(part)
        target = folder / time.strftime(_FORMAT, time.gmtime(now))
        os.replace(part, target)
        fsync_folder(folder)
        return target
    except _CancelledError:
        return None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _compare(newest: Path, part: Path, is_cancelled: Callable[[], bool]) -> None:
    """Raise DamageError if the Finished jobs of two copies are not the same. A copy that cannot be read is left out."""
    with suppress(sqlite3.DatabaseError):
        if changed := find_changed(newest, part, is_cancelled):
            raise DamageError(
                f"and {newest.name} differ in jobs that are Finished and never change: {changed}. A bit was flipped in one of "
                "both"
            )
    if is_cancelled():
        raise _CancelledError


class _CancelledError(Exception):
    """The service ends."""


def list_copies(folder: Path) -> list[Copy]:
    """Return the copies that can be read, the newest first. A copy that is damaged is left out."""
    found = []
    for path in _paths(folder):
        with suppress(sqlite3.Error, OSError, DamageError):
            with closing(connect(path, "ro&immutable=1")) as db:
                _check_content(db, is_whole=False)
                jobs = db.execute("SELECT count(*) FROM jobs").fetchone()[0]
                active = db.execute(tables.COUNT_ACTIVE).fetchone()[0]
            found.append(Copy(path, _time_of(path), path.stat().st_size, jobs, active))
    return found


def newest_time(folder: Path) -> int:
    """Return when the newest copy was made, in epoch seconds; 0 if there is none."""
    return next((_time_of(path) for path in _paths(folder)), 0)


def choose_superfluous(times: Sequence[tuple[int, int]], hourly: int, daily: int, most_bytes: int) -> list[int]:
    """Return which copies are removed, as positions in `times`: pairs of time and size, the newest first.

    What stays: the newest one, the newest of each of the `hourly` last hours that have one, and of each of the `daily` last
    days; of these as many as fit into `most_bytes`.
    """
    kept, space = [], 0
    hours = list(dict.fromkeys(when // _HOUR for when, _ in times))[:hourly]
    days = list(dict.fromkeys(when // _DAY for when, _ in times))[:daily]
    for position, (when, size) in enumerate(times):
        if when // _HOUR in hours:
            hours.remove(when // _HOUR)
        elif when // _DAY not in days and position:
            continue
        if when // _DAY in days:
            days.remove(when // _DAY)
        if position and space + size > most_bytes:
            break
        space += size
        kept.append(position)
    return [position for position in range(len(times)) if position not in kept]


def remove_superfluous(folder: Path, hourly: int, daily: int, most_bytes: int) -> None:
    """Remove the copies that `choose_superfluous` names. Raises OSError."""
    paths = _paths(folder)
    times = [(_time_of(path), path.stat().st_size) for path in paths]
    for position in choose_superfluous(times, hourly, daily, most_bytes):
        paths[position].unlink(missing_ok=True)


def _paths(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder), reverse=True) if _NAME.fullmatch(name)]
    except OSError:
        return []


def _time_of(path: Path) -> int:
    try:
        return timegm(time.strptime(path.name, _FORMAT))
    except ValueError:  # no such day
        return 0


def _is_same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with open(one, "rb") as left, open(other, "rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
