"""Buckets and whose they are: of the account that made them, or to which `batchcompute local bucket give` gave them.

A folder that a program or a person made, and a bucket elsewhere, belongs to the service's own account.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from batchcompute_local.objects.listing import is_empty, is_folder
from batchcompute_local.objects.names import is_bucket
from batchcompute_local.objects.remote import UnsupportedError
from batchcompute_local.objects.store import Store, now

OWN_OWNER = 1000
"""The OwnerId of the service's own account."""


class NotEmptyError(Exception):
    """The bucket has objects, or uploads that were not completed."""


@dataclass(frozen=True)
class Bucket:
    """A bucket; `created` is in seconds since the epoch."""

    name: str
    owner: int
    created: int


def find_bucket(store: Store, name: str) -> Bucket | None:
    """Return the bucket; None if absent."""
    if not is_bucket(name):
        return None
    with store.database.read() as db:
        row = db.execute("SELECT owner, created FROM buckets WHERE name = ?", (name,)).fetchone()
    if row is not None:
        return Bucket(name, *row)
    if name in store.elsewhere:
        return Bucket(name, OWN_OWNER, 0)
    path = f"{store.root}/{name}"
    return Bucket(name, OWN_OWNER, int(os.lstat(path).st_mtime)) if is_folder(path) else None


def find_owner(store: Store, name: str, asking: int) -> int | None:
    """Return the account that has a bucket; None if there is no such bucket, or `asking` has it anyway.

    For the service's own account it does not look at the folder of the bucket, which may be a network folder.
    """
    with store.database.read() as db:
        row = db.execute("SELECT owner FROM buckets WHERE name = ?", (name,)).fetchone()
    if row is not None:
        return int(row[0])
    if asking == OWN_OWNER:
        return None
    return OWN_OWNER if name in store.elsewhere or is_folder(f"{store.root}/{name}") else None


def find_highest_owner(store: Store) -> int:
    """Return the highest number of an account that has a bucket."""
    with store.database.read() as db:
        return int(db.execute("SELECT max(owner) FROM buckets").fetchone()[0] or OWN_OWNER)


def list_buckets(store: Store) -> list[Bucket]:
    """Return all buckets by name."""
    with store.database.read() as db:
        names = {row[0] for row in db.execute("SELECT name FROM buckets")} | store.elsewhere.keys()
    with suppress(FileNotFoundError), os.scandir(store.root) as entries:
        names |= {entry.name for entry in entries if is_bucket(entry.name) and entry.is_dir(follow_symlinks=False)}
    found = (find_bucket(store, name) for name in sorted(names))
    return [each for each in found if each is not None]


def create_bucket(store: Store, name: str, owner: int) -> Bucket:
    """Create a bucket for an account; return it, or the one that is there already, whoever has it."""
    found = find_bucket(store, name)
    if found is None:
        with store.database.change() as db:  # another account may have it by now
            db.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?, ?)", (name, owner, now()))
        store.ensure(name)
        found = find_bucket(store, name)
        if found is None:
            raise FileNotFoundError(name)
    return found


def give_bucket(store: Store, name: str, owner: int) -> None:
    """Give a bucket to an account."""
    with store.database.change() as db:
        db.execute(
            "INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET owner = excluded.owner",
            (name, owner, now()),
        )


def delete_bucket(store: Store, name: str) -> None:
    """Remove a bucket. Raises NotEmptyError, and UnsupportedError for one that is elsewhere."""
    if name in store.elsewhere:
        raise UnsupportedError("the deletion of the bucket: service.toml names it")
    with store.database.read() as db:
        uploads = db.execute("SELECT 1 FROM uploads WHERE bucket = ? LIMIT 1", (name,)).fetchone()
    if uploads or not is_empty(store, name):
        raise NotEmptyError
    for folder, _, _ in os.walk(store.root / name, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            raise NotEmptyError from None
    try:
        with store.database.change() as db:
            # something may have come meanwhile that has no file in the folder
            odd = db.execute("SELECT 1 FROM objects WHERE bucket = ? AND file != '' LIMIT 1", (name,)).fetchone()
            if odd or db.execute("SELECT 1 FROM uploads WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise NotEmptyError
            db.execute("DELETE FROM buckets WHERE name = ?", (name,))
            db.execute("DELETE FROM objects WHERE bucket = ?", (name,))
    except NotEmptyError:
        store.ensure(name)
        raise
