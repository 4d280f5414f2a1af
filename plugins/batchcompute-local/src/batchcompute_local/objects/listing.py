"""Keys in order, of files and of odd keys, without a list of all: a page costs what it shows."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from batchcompute.writing import PART
from batchcompute_local.objects.records import Object
from batchcompute_local.objects.remote import RemoteStore
from batchcompute_local.objects.store import Store

_LAST = "\U0010ffff"
_ODD_PAGE = 500


@dataclass(frozen=True)
class Page:
    """A page of a listing. `next` is the last entry if more follow, else empty."""

    objects: list[Object]
    prefixes: list[str]
    next: str


def list_page(store: Store, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """Return up to `limit` objects and common prefixes above `after`, in the order of their bytes."""
    objects: list[Object] = []
    prefixes: list[str] = []
    last, truncated = after, False
    keys = walk(store, bucket, prefix, after)
    while (one := next(keys, None)) is not None:
        key, found = one
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if cut < 0 else key[: cut + len(delimiter)]
        if entry <= after and cut >= 0:  # its prefix was on an earlier page
            keys = walk(store, bucket, prefix, entry + _LAST)
            continue
        if len(objects) + len(prefixes) == limit:
            truncated = True
            break
        if cut < 0:
            found = found or store.find(bucket, key)
            if found is None:
                continue
            objects.append(found)
        else:
            prefixes.append(entry)
            keys = walk(store, bucket, prefix, entry + _LAST)
        last = entry
    return Page(objects, prefixes, last if truncated else "")


def walk(store: Store, bucket: str, prefix: str, after: str = "") -> Iterator[tuple[str, Object | None]]:
    """Yield keys as `list_keys` does, with the objects of a bucket elsewhere, whose listing has them anyway."""
    if isinstance(store, RemoteStore):
        yield from store.walk(bucket, prefix, after)
    else:
        for key in list_keys(store, bucket, prefix, after):
            yield key, None


def list_keys(store: Store, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
    """Yield the keys that begin with `prefix` and are above `after`, each once, in the order of their bytes."""
    before = None
    for key in heapq.merge(
        _file_keys(f"{store.root}/{bucket}", "", prefix, after), list_odd_keys(store, bucket, prefix, after)
    ):
        if key != before:
            yield key
        before = key


def is_empty(store: Store, bucket: str) -> bool:
    """Return whether a bucket has no object."""
    return next(walk(store, bucket, ""), None) is None


def _file_keys(folder: str, base: str, prefix: str, after: str) -> Iterator[str]:
    for key in _entries(folder, base):
        is_folder = key.endswith("/")
        if is_folder:
            below = key.startswith(prefix) or prefix.startswith(key)
            if below and (key > after or after.startswith(key)):
                yield from _file_keys(f"{folder}/{key[len(base) : -1]}", key, prefix, after)
        elif key > after and key.startswith(prefix):
            yield key


def _entries(folder: str, base: str) -> list[str]:
    """Return the keys of the files of a folder, and its folders with a '/' at the end, in order."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if not name.isascii() and any("\udc80" <= each <= "\udcff" for each in name):
                    continue  # it is not UTF-8, as every key is
                if entry.is_dir(follow_symlinks=False):
                    found.append(f"{base}{name}/")
                elif not name.startswith(PART) and (entry.is_symlink() or _is_regular(entry)):
                    found.append(base + name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def list_odd_keys(store: Store, bucket: str, prefix: str, after: str = "") -> Iterator[str]:
    """Yield the odd keys that begin with `prefix` and are above `after`, in order."""
    while True:
        with store.database.read() as db:
            rows = db.execute(
                "SELECT key FROM objects WHERE bucket = ? AND file != '' AND key > ? AND key >= ? AND key < ? "
                "ORDER BY key LIMIT ?",
                (bucket, after, prefix, prefix + _LAST, _ODD_PAGE),
            ).fetchall()
        for (key,) in rows:
            yield key
        if len(rows) < _ODD_PAGE:
            return
        after = rows[-1][0]


def measure(store: Store, bucket: str) -> tuple[int, int]:
    """Return how many objects a bucket has, and their bytes."""
    count = size = 0
    for key, found in walk(store, bucket, ""):
        found = found or store.find(bucket, key)
        if found is not None:
            count, size = count + 1, size + found.size
    return count, size


def is_folder(path: str) -> bool:
    """Return whether there is a folder at `path`, not a link."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
