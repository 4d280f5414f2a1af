"""Append and copy: a new file with what an object is to have, which then takes its place as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from batchcompute_local.objects import crc64
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.parts import Part
from batchcompute_local.objects.records import APPENDABLE, Object, Record
from batchcompute_local.objects.store import Store, now


class PositionError(Exception):
    """An append is not at the end of the object; `length` is its size."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the object has {length} bytes")
        self.length = length


class NotAppendableError(Exception):
    """The object was not made by an append."""


def append(
    store: Store, bucket: str, key: str, position: int, added: Part, headers: Mapping[str, str], tags: Mapping[str, str]
) -> Object:
    """Add a part to an object that appends have made, or create it. `headers` and `tags` count for a new one only.

    The whole object is written anew, so that nobody sees half of it, through whatever door. Raises PositionError,
    NotAppendableError. The caller holds the lock of the key, and discards the part.
    """
    found = store.find(bucket, key)
    if found is not None and found.kind != APPENDABLE:
        raise NotAppendableError
    length = 0 if found is None else found.size
    if position != length:
        raise PositionError(length)
    if found is None:
        return store.put(
            bucket, key, added, Record(added.etag, added.crc, now(), APPENDABLE, dict(headers), dict(tags))
        )
    content = store.open(found)
    if content is None:
        raise PositionError(length)
    part = store.new_part(bucket)
    try:
        part.take_from(content.handle, 0, length)
        _take_part(part, added)
        crc = crc64.combine([(found.crc, length), (added.crc, added.size)])
        record = Record(added.etag, crc, now(), APPENDABLE, found.headers, found.tags)
        return store.put(bucket, key, part, record)
    finally:
        content.close()
        part.discard()


def copy(source: Object, content: Content, part: Part) -> Record:
    """Copy an open object into a part; return the metadata of the copy, as it is. Raises EOFError."""
    if source.crc is None or source.has_derived_etag:
        part.read_from(content, 0, source.size)
        return replace(plain_record(source), etag=part.etag, crc=part.crc, modified=now())
    part.take_from(content.handle, 0, source.size)
    part.sum_up(source.etag, source.crc)
    return replace(plain_record(source), modified=now())


def plain_record(found: Record) -> Record:
    """Return the metadata alone."""
    return Record(found.etag, found.crc, found.modified, found.kind, found.headers, found.tags)


def _take_part(part: Part, added: Part) -> None:
    handle = os.open(added.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        part.take_from(handle, 0, added.size)
    finally:
        os.close(handle)
