"""The CRC64 of an object that has none yet, as one that a program wrote as a file: it is kept until the file changes."""

from __future__ import annotations

import logging
import os
import sqlite3
import time

from batchcompute_local.objects import crc64
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.parts import BLOCK, Stamp
from batchcompute_local.objects.records import Object, Record, derived_etag, forget_one, rows_of, save
from batchcompute_local.objects.store import Store

_SETTLED_SECONDS = 2.0
"""A file that was written to later may be written to again within the same tick of its mtime, which shows no change."""
_log = logging.getLogger(__name__)


def add_block(content: Content, offset: int, crc: int | None) -> tuple[int, int | None]:
    """Read one block from `offset` on; return its size, 0 at the end, and the sum with it. Raises OSError."""
    block = content.read(BLOCK, offset)
    return len(block), crc64.update(crc, block)


def is_unchanged(store: Store, found: Object, content: Content) -> bool:
    """Whether the open content is still what was found. Raises OSError."""
    if not found.path:  # of a bucket elsewhere
        return store.find(found.bucket, found.key) == found
    return Stamp.of(os.fstat(content.handle)) == found.stamp


def keep(store: Store, found: Object, crc: int) -> None:
    """Keep the sum of an object, unless its file was written to just now. A disk that takes no change is no error."""
    if not found.path or time.time_ns() - found.stamp.mtime < _SETTLED_SECONDS * 1e9:
        return
    try:
        with store.locked(found.bucket, found.key):
            _save(store, found, crc)
    except (OSError, sqlite3.Error) as error:
        _log.warning("the CRC64 of oss://%s/%s is not kept: %s", found.bucket, found.key, error)


def _save(store: Store, found: Object, crc: int) -> None:
    there = store.find(found.bucket, found.key)
    if there is None or (there.file, there.stamp) != (found.file, found.stamp):
        return  # the row would be nobody's
    with store.database.change() as db:
        known = False
        for file, stamp, record in rows_of(db, found.bucket, found.key):
            if (file, stamp) == (found.file, found.stamp):
                known = True
            elif not file and record.etag == derived_etag(stamp):
                # of what the file was; another row may be that of a put to come
                forget_one(db, found.bucket, found.key, file, stamp)
        if known:
            db.execute(
                "UPDATE objects SET crc = ? WHERE bucket = ? AND key = ? AND file = ? AND inode = ? AND size = ? AND mtime = ?",
                (str(crc), found.bucket, found.key, found.file, found.stamp.inode, found.stamp.size, found.stamp.mtime),
            )
        elif not found.file:
            save(db, found.bucket, found.key, "", found.stamp, Record(found.etag, crc, found.modified))
