"""Uploads in parts. Their files lie beside the buckets; only a completed upload is an object."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from batchcompute_local.objects import crc64
from batchcompute_local.objects.parts import Part, new_name, open_part
from batchcompute_local.objects.records import MULTIPART, Object, Record
from batchcompute_local.objects.store import Store, now

SMALLEST_PART = 100 << 10
"""In bytes; the last part may be smaller."""
MOST_PARTS = 10_000


class NoUploadError(Exception):
    """There is no such upload of this key."""


class InvalidPartError(Exception):
    """A part that was named is not there, or has another ETag."""


class TooSmallError(Exception):
    """A part that is not the last one is smaller than SMALLEST_PART."""


@dataclass(frozen=True)
class Upload:
    """An upload that is not completed; `initiated` is in seconds since the epoch."""

    id: str
    bucket: str
    key: str
    initiated: int
    headers: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class UploadedPart:
    """A part of an upload."""

    number: int
    file: str
    size: int
    etag: str
    crc: int | None
    modified: int


class Uploads:
    """The uploads of a store. Thread-safe. Raises OSError and sqlite3.Error."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._folder = store.own / "parts"

    def start(self, bucket: str, key: str, headers: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """Begin an upload; return its id."""
        upload = new_name().upper() + new_name()[:8].upper()
        values = (upload, bucket, key, now(), now(), json.dumps(dict(headers)), json.dumps(dict(tags)))
        with self._database.change() as db:
            db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return upload

    def find(self, bucket: str, key: str, upload: str) -> Upload:
        """Return an upload. Raises NoUploadError."""
        with self._database.read() as db:
            row = db.execute("SELECT * FROM uploads WHERE id = ?", (upload,)).fetchone()
        if row is None or (row[1], row[2]) != (bucket, key):
            raise NoUploadError
        return _read(row)

    def page(self, bucket: str, prefix: str, after: tuple[str, str], limit: int) -> tuple[list[Upload], bool]:
        """Return up to `limit` uploads above (key, id), in that order, and whether more follow."""
        with self._database.read() as db:
            rows = db.execute(
                "SELECT * FROM uploads WHERE bucket = ? AND substr(key, 1, length(?)) = ? AND (key, id) > (?, ?) "
                "ORDER BY key, id LIMIT ?",
                (bucket, prefix, prefix, *after, limit + 1),
            ).fetchall()
        found = [_read(row) for row in rows]
        return found[:limit], len(found) > limit

    def parts(self, upload: str, after: int = 0, limit: int = MOST_PARTS) -> list[UploadedPart]:
        """Return up to `limit` parts with numbers above `after`."""
        with self._database.read() as db:
            rows = db.execute(
                "SELECT number, file, size, etag, crc, modified FROM parts WHERE upload = ? AND number > ? "
                "ORDER BY number LIMIT ?",
                (upload, after, limit),
            ).fetchall()
        return [UploadedPart(n, file, size, etag, _number(crc), at) for n, file, size, etag, crc, at in rows]

    def new_part(self) -> Part:
        """Create an unfinished file for a part."""
        return open_part(str(self._folder), "", lambda: os.makedirs(self._folder, mode=0o700, exist_ok=True))

    def put(self, upload: Upload, number: int, part: Part) -> None:
        """Make a file the part of this number, instead of an earlier one. Raises NoUploadError."""
        part.finish()
        crc = None if part.crc is None else str(part.crc)
        values = (upload.id, number, os.path.basename(part.path), part.size, part.etag, crc, now())
        with self._database.change() as db:
            if db.execute("UPDATE uploads SET changed = ? WHERE id = ?", (now(), upload.id)).rowcount == 0:
                raise NoUploadError
            earlier = db.execute(
                "SELECT file FROM parts WHERE upload = ? AND number = ?", (upload.id, number)
            ).fetchall()
            db.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        self._unlink(row[0] for row in earlier)

    def complete(
        self,
        upload: Upload,
        wanted: Iterable[tuple[int, str]] | None,
        forbid: bool = False,
    ) -> Object:
        """Make the parts one object. wanted: number and ETag of each part in order; None for all.

        Raises InvalidPartError, TooSmallError, NoUploadError, TakenError.
        """
        there = {part.number: part for part in self.parts(upload.id)}
        chosen = list(there.values()) if wanted is None else [_choose(there, *each) for each in wanted]
        if not chosen:
            raise InvalidPartError
        if any(part.size < SMALLEST_PART for part in chosen[:-1]):
            raise TooSmallError
        store = self._store.of(upload.bucket)
        part = store.new_part(upload.bucket)
        try:
            for each in chosen:
                self._add(part, each)
            sums = hashlib.md5(b"".join(bytes.fromhex(each.etag) for each in chosen), usedforsecurity=False)
            etag = f"{sums.hexdigest().upper()}-{len(chosen)}"
            crc = crc64.combine([(each.crc, each.size) for each in chosen])
            record = Record(etag, crc, now(), MULTIPART, upload.headers, upload.tags)
            with store.locked(upload.bucket, upload.key):
                made = store.put(upload.bucket, upload.key, part, record, forbid)
        finally:
            part.discard()
        self.abort(upload)
        return made

    def abort(self, upload: Upload) -> None:
        """Remove an upload and its parts."""
        with self._database.change() as db:
            files = [row[0] for row in db.execute("SELECT file FROM parts WHERE upload = ?", (upload.id,))]
            db.execute("DELETE FROM parts WHERE upload = ?", (upload.id,))
            db.execute("DELETE FROM uploads WHERE id = ?", (upload.id,))
        self._unlink(files)

    def _add(self, part: Part, source: UploadedPart) -> None:
        try:
            handle = os.open(self._folder / source.file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NoUploadError from None  # aborted meanwhile
        try:
            part.take_from(handle, 0, source.size)
        except EOFError:
            raise InvalidPartError from None
        finally:
            os.close(handle)

    def _unlink(self, files: Iterable[str]) -> None:
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(self._folder / file)


def _read(row: tuple[Any, ...]) -> Upload:
    upload, bucket, key, initiated, _, headers, tags = row
    return Upload(upload, bucket, key, initiated, json.loads(headers), json.loads(tags))


def _number(crc: str | None) -> int | None:
    return None if crc is None else int(crc)


def _choose(there: Mapping[int, UploadedPart], number: int, etag: str) -> UploadedPart:
    found = there.get(number)
    if found is None or found.etag.upper() != etag.strip('"').upper():
        raise InvalidPartError
    return found
