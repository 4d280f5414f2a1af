"""What killed processes left: unfinished files and uploads that nobody completes. They go when they are old."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batchcompute_local.damage import MARK
from batchcompute_local.objects.multipart import Upload, Uploads
from batchcompute_local.objects.names import OWN_PART, is_bucket
from batchcompute_local.objects.store import Store

PART_SECONDS = 24 * 3600.0
"""An unfinished file goes when it was not written to for so long."""
UPLOAD_SECONDS = 7 * 24 * 3600.0
"""An upload goes when it got no part for so long."""


def tidy(store: Store, clock: float | None = None) -> int:
    """Remove what is old; return how much that was. Reads the folders of the buckets, not those below."""
    moment = time.time() if clock is None else clock
    uploads = Uploads(store)
    count = 0
    for upload in _old_uploads(store, moment - UPLOAD_SECONDS):
        uploads.abort(upload)
        count += 1
    for path in _unnamed_files(store):
        with suppress(OSError):
            if os.lstat(path).st_mtime < moment - PART_SECONDS:
                os.unlink(path)
                count += 1
    return count


def _list(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _old_uploads(store: Store, before: float) -> list[Upload]:
    with store.database.read() as db:
        rows = db.execute("SELECT id, bucket, key, initiated FROM uploads WHERE changed < ?", (before,)).fetchall()
    return [Upload(upload, bucket, key, at, {}, {}) for upload, bucket, key, at in rows]


def _unnamed_files(store: Store) -> Iterator[Path]:
    """Yield the unfinished files of buckets, and the files beside them that no row names."""
    with suppress(FileNotFoundError):
        for bucket in filter(is_bucket, os.listdir(store.root)):
            with suppress(OSError):
                yield from (
                    store.root / bucket / name for name in os.listdir(store.root / bucket) if name.startswith(OWN_PART)
                )
    if any(MARK in path.name for path in _list(store.own)):  # the rows of a damaged database may name them
        return
    for folder, query in (("odd", "SELECT file FROM objects WHERE file != ''"), ("parts", "SELECT file FROM parts")):
        with suppress(FileNotFoundError):
            there = os.listdir(store.own / folder)  # first: a row comes after its file
            with store.database.read() as db:
                named = {row[0] for row in db.execute(query)}
            yield from (store.own / folder / name for name in there if name not in named)
