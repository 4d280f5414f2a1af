"""What is known of an object, and its row in the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from batchcompute_local.objects.parts import Stamp

NORMAL, APPENDABLE, MULTIPART, SYMLINK = "Normal", "Appendable", "Multipart", "Symlink"
TARGET = "x-oss-symlink-target"
"""Among the headers of a symlink: the key that it names."""


@dataclass(frozen=True)
class Record:
    """The metadata of an object. `crc` is None if nobody knows it. `headers` are those of its answers, in lower case."""

    etag: str
    crc: int | None
    modified: int
    kind: str = NORMAL
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Object(Record):
    """An object that is there. `path` is its file; `stamp` tells if that is still the same file."""

    bucket: str = ""
    key: str = ""
    path: str = ""
    stamp: Stamp = field(default_factory=lambda: Stamp(0, 0, 0))
    file: str = ""
    """The name of the file of an odd key; empty for a plain one."""
    is_bare: bool = False
    """Whether nothing but its file is known, as of one that a program has written."""

    @classmethod
    def of(cls, record: Record, bucket: str, key: str, path: str, stamp: Stamp, file: str = "") -> Object:
        """Return the object with this metadata."""
        known = {each.name: getattr(record, each.name) for each in fields(Record)}
        return cls(**known, bucket=bucket, key=key, path=path, stamp=stamp, file=file)

    @property
    def has_derived_etag(self) -> bool:
        """Whether a program has written it as a file, so that its ETag says nothing of the content."""
        return self.etag == derived_etag(self.stamp)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return 0 if self.kind == SYMLINK else self.stamp.size

    @property
    def target(self) -> str:
        """The key that a symlink names."""
        return self.headers.get(TARGET, "")


def derived_etag(stamp: Stamp) -> str:
    """Return the ETag of an object that a program has written as a file: of size, mtime and inode."""
    return f"{stamp.size:X}-{stamp.mtime:X}-{stamp.inode:X}"


def save(db: sqlite3.Connection, bucket: str, key: str, file: str, stamp: Stamp, record: Record) -> None:
    """Write the row of one file of an object."""
    values = (
        *(bucket, key, file, stamp.inode, stamp.size, stamp.mtime),
        *(record.etag, None if record.crc is None else str(record.crc), record.kind, record.modified),
        *(json.dumps(dict(record.headers)), json.dumps(dict(record.tags))),
    )
    db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def rows_of(db: sqlite3.Connection, bucket: str, key: str) -> list[tuple[str, Stamp, Record]]:
    """Return the rows of a key: the file of an odd one, the stamp and the metadata."""
    found = db.execute("SELECT * FROM objects WHERE bucket = ? AND key = ?", (bucket, key))
    return [_read(row) for row in found]


def _read(row: tuple[Any, ...]) -> tuple[str, Stamp, Record]:
    _, _, file, inode, size, mtime, etag, crc, kind, modified, headers, tags = row
    record = Record(etag, None if crc is None else int(crc), modified, kind, json.loads(headers), json.loads(tags))
    return file, Stamp(inode, size, mtime), record


def forget(db: sqlite3.Connection, bucket: str, key: str, but: Iterable[tuple[str, Stamp]] = ()) -> list[str]:
    """Remove the rows of a key, all `but` these; return the files of odd keys that nobody needs any more."""
    kept = set(but)
    gone = [(file, stamp) for file, stamp, _ in rows_of(db, bucket, key) if (file, stamp) not in kept]
    return [name for file, stamp in gone for name in forget_one(db, bucket, key, file, stamp)]


def forget_one(db: sqlite3.Connection, bucket: str, key: str, file: str, stamp: Stamp) -> list[str]:
    """Remove one row of a key; return its file, if it is one of an odd key."""
    db.execute(
        "DELETE FROM objects WHERE bucket = ? AND key = ? AND file = ? AND inode = ? AND size = ? AND mtime = ?",
        (bucket, key, file, stamp.inode, stamp.size, stamp.mtime),
    )
    return [file] if file else []
