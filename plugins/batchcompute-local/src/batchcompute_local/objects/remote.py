"""The objects of a bucket elsewhere, as the store of this machine has those of the others.

Bodies are written to a file of this machine first and sent as a whole, so that what is half received is no object. What the
store elsewhere cannot do is refused by an UnsupportedError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from batchcompute_local.objects.backing import Backing
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.objects.facts import Facts
from batchcompute_local.objects.names import has_file
from batchcompute_local.objects.parts import Part, Stamp, open_part
from batchcompute_local.objects.records import Object, Record
from batchcompute_local.objects.store import Store

_KEPT_NOT = frozenset({"content-type"})
"""A header that clients send by themselves, and that is not kept."""


class UnsupportedError(Exception):
    """A bucket elsewhere cannot do this; the message says what."""


class RemoteStore(Store):
    """The objects of one bucket elsewhere. `store` has the owners and uploads of all buckets."""

    def __init__(self, store: Store, backing: Backing) -> None:
        super().__init__(store.root)
        self.database = store.database
        self.elsewhere = store.elsewhere
        self.backing = backing
        self._store = store

    def of(self, bucket: str) -> Store:
        """See Store."""
        return self._store.of(bucket)

    def find(self, bucket: str, key: str) -> Object | None:
        """See Store."""
        facts = self.backing.find(key) if has_file(key) else None
        return None if facts is None else _object(bucket, key, facts)

    def walk(self, bucket: str, prefix: str, after: str = "") -> Iterator[tuple[str, Object | None]]:
        """See Store."""
        for key, facts in self.backing.walk(prefix, after):
            yield key, _object(bucket, key, facts)

    def open(self, found: Object) -> Content | None:
        """See Store."""
        try:
            return self.backing.open(found.key)
        except FileNotFoundError:
            return None

    def ensure(self, bucket: str) -> None:
        """Do nothing: the bucket is where its URL says."""

    def new_part(self, bucket: str) -> Part:
        """Create an unfinished file on this machine."""
        folder = self.own / "parts"
        return open_part(str(folder), "", lambda: os.makedirs(folder, mode=0o700, exist_ok=True))

    def put(self, bucket: str, key: str, part: Part, record: Record, forbid: bool = False) -> Object:
        """See Store. Raises UnsupportedError."""
        self.check_put(key, record.headers, record.tags, forbid)
        part.finish()
        with open(part.path, "rb") as file:
            self.backing.put(key, file, part.size)
        found = self.find(bucket, key)
        if found is None:
            raise FileNotFoundError(f"oss://{bucket}/{key} was removed at once")
        return found

    def check_put(self, key: str, headers: Mapping[str, str], tags: Mapping[str, str], forbid: bool) -> None:
        """See Store."""
        if not has_file(key):
            raise UnsupportedError("a key with an empty part, '.' or '..', or a part that is too long")
        if forbid:
            raise UnsupportedError("x-oss-forbid-overwrite")
        if lost := sorted(headers.keys() - _KEPT_NOT):
            raise UnsupportedError(f"the header {lost[0]}")
        if tags:
            raise UnsupportedError("tags")

    def put_symlink(self, bucket: str, key: str, target: str, record: Record, forbid: bool = False) -> Object:
        """Raise UnsupportedError."""
        raise UnsupportedError("a symlink")

    def update(self, found: Object, record: Record) -> None:
        """Raise UnsupportedError."""
        raise UnsupportedError("a change of metadata or tags")

    def check_append(self) -> None:
        """Raise UnsupportedError."""
        raise UnsupportedError("an append")

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """See Store."""
        for key in sorted(set(keys)):
            if has_file(key):
                self.backing.delete(key)


def open_objects(root: Path, buckets: Mapping[str, BucketElsewhere], unsent: Path) -> Store:
    """Return the store of all objects: those of the folder `root`, and those of buckets elsewhere. Imports no library."""
    store = Store(root)
    store.elsewhere.update({name: RemoteStore(store, Backing(each, unsent)) for name, each in buckets.items()})
    return store


def _object(bucket: str, key: str, facts: Facts) -> Object:
    record = Record(facts.etag, None, facts.modified)
    return replace(Object.of(record, bucket, key, "", Stamp(0, facts.size, facts.modified)), is_bare=True)
