"""The logs of Finished jobs in one file, since a small file takes a block of the disk and a folder takes another.

A Finished job never runs again, so its logs no longer change. They move from `work/<job>/` to a database with a row for each
log. Only logs without a redirect path move. The service writes; clients read, also without a service.
"""

from __future__ import annotations

import io
import os
import sqlite3
import stat
import threading
import zlib
from collections.abc import Collection, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from batchcompute_local.files import open_regular
from batchcompute_local.process.attempt_logs import choose_log

_SCHEMA = """
CREATE TABLE IF NOT EXISTS logs (job TEXT NOT NULL, name TEXT NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (job, name))
WITHOUT ROWID
"""
_BUSY_SECONDS = 30.0
_MOST_BYTES = 256 << 10
"""Of the logs of a job that moves; larger ones stay files."""
_MOST_LOGS = 200
"""Of a job that moves. The folder of a larger job stays as it is."""


class KeptLogs:
    """The database at `path`; it is created with its first log. Thread-safe. Raises OSError and sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def pack(self, folders: Iterable[Path]) -> list[str]:
        """Move the logs in these folders of Finished jobs, and remove the folders. Return the jobs whose logs moved.

        A folder with anything but a few small logs stays as it is.
        """
        found = {folder: logs for folder in folders if (logs := _read_logs(folder)) is not None}
        rows = [
            (folder.name, _shorten(name, folder.name), text)
            for folder, logs in found.items()
            for name, text in logs.items()
        ]
        if rows:
            with self._lock, self._connection() as db:  # its commit is on the disk before the files are removed
                db.executemany("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", rows)
        for folder, logs in found.items():
            for name in logs:
                os.unlink(folder / name)
            with suppress(OSError):  # a program that left the job may have added something
                folder.rmdir()
        return [folder.name for folder, logs in found.items() if logs]

    def forget(self, jobs: Collection[str]) -> None:
        """Remove the logs of these jobs."""
        if jobs and self._path.exists():
            with self._lock, self._connection() as db:
                db.executemany("DELETE FROM logs WHERE job = ?", [(job,) for job in jobs])

    def list_jobs(self) -> list[str]:
        """Return the ids of the jobs with logs here."""
        if not self._path.exists():
            return []
        with self._lock:
            return [row[0] for row in self._connection().execute("SELECT DISTINCT job FROM logs")]

    def open(self, job: str, name: str, attempt: int | None, newest: int | None = None) -> BinaryIO | None:
        """Open the log that had the file name `name`; None if it is not here.

        attempt: None for the newest; newest: see `choose_log`. Raises OSError, and LookupError, with the attempts that there are,
        for one without a log.
        """
        if not self._path.exists():
            return None
        try:
            with closing(self._connect("rw")) as db:
                packed = _find(db, job, _shorten(name, job), attempt, newest)
        except sqlite3.Error as error:
            raise OSError(f"{self._path} cannot be read: {error}") from error
        return None if packed is None else io.BytesIO(zlib.decompress(packed) if packed else b"")

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            db = self._connect("rwc")
            os.chmod(self._path, 0o600)
            db.execute("PRAGMA auto_vacuum=FULL")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute(_SCHEMA)
            self._opened = db
        return self._opened

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self._path.as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)


def _find(db: sqlite3.Connection, job: str, name: str, attempt: int | None, newest: int | None) -> bytes | None:
    if attempt is not None:
        there = [row[0] for row in db.execute("SELECT name FROM logs WHERE job = ?", (job,))]
        if not there:
            return None
        name = choose_log(name, there, attempt, newest)
    row = db.execute("SELECT packed FROM logs WHERE job = ? AND name = ?", (job, name)).fetchone()
    return None if row is None else bytes(row[0])


def _read_logs(folder: Path) -> dict[str, bytes] | None:
    """Return the packed logs of a job by file name; None if there is anything else, or too much. Follows no link."""
    paths: list[str] = []
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            facts = entry.stat(follow_symlinks=False)
            total += facts.st_size
            is_log = entry.name.startswith((f"stdout.{folder.name}.", f"stderr.{folder.name}."))
            if not is_log or not stat.S_ISREG(facts.st_mode) or total > _MOST_BYTES or len(paths) == _MOST_LOGS:
                return None
            paths.append(entry.path)
    return {os.path.basename(path): _read_packed(path) for path in paths}


def _read_packed(path: str) -> bytes:
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        text = file.read(_MOST_BYTES)
    return zlib.compress(text) if text else b""


def _shorten(name: str, job: str) -> str:
    """Return a log's name without the id of its job, which has a column of its own."""
    return name.replace(f".{job}.", ".", 1)
