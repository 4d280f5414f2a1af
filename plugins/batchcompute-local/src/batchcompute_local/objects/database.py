"""The database beside the objects: owners of buckets, metadata, odd keys, and uploads in parts.

A row of `objects` belongs to one file. A plain object is found by its path, and its row by inode, size and mtime of the file;
a row of an earlier file is nobody's. The row of an object with an odd key has the name of its file, and is what makes it an
object. Thread-safe; several processes may use it at once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, owner INTEGER NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, file TEXT NOT NULL,
    inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    etag TEXT NOT NULL, crc TEXT, kind TEXT NOT NULL, modified INTEGER NOT NULL,
    headers TEXT NOT NULL, tags TEXT NOT NULL,
    PRIMARY KEY (bucket, key, file, inode, size, mtime)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS odd ON objects (bucket, key) WHERE file != '';
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, initiated INTEGER NOT NULL, changed INTEGER NOT NULL,
    headers TEXT NOT NULL, tags TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_key ON uploads (bucket, key, id);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, crc TEXT,
    modified INTEGER NOT NULL, PRIMARY KEY (upload, number)
) WITHOUT ROWID;
"""
_BUSY_SECONDS = 30.0
_CLOSE_SECONDS = 5.0


class Database:
    """The database at `path`. It is created with the first change; until then it is empty. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._empty: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file. A thread that waits for a network folder which hangs keeps it open."""
        if not self._lock.acquire(timeout=_CLOSE_SECONDS):
            return
        try:
            for one in (self._opened, self._empty):
                if one is not None:
                    one.close()
            self._opened = self._empty = None
        finally:
            self._lock.release()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for reading. What is not there yet is an empty database."""
        with self._lock:
            if self._opened is None and not os.path.exists(self.path):
                if self._empty is None:  # kept: to make the tables takes half a millisecond
                    self._empty = sqlite3.connect(":memory:", check_same_thread=False)
                    self._empty.executescript(_SCHEMA)
                yield self._empty
                return
            yield self._connection()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for a change; it is on the disk when the block has ended."""
        with self._lock:
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None and self.path.exists() and not os.access(self.path.parent, os.W_OK):
            uri = f"{self.path.as_uri()}?mode=ro&immutable=1"  # objects on a disk that is read only
            self._opened = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        if self._opened is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
            os.close(handle)
            db = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None, cached_statements=256
            )
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
            self._opened = db
        return self._opened
