"""Objects in a store, without HTTP."""

from __future__ import annotations

from batchcompute_local.objects.content import ContentFile
from batchcompute_local.objects.records import NORMAL, Object, Record
from batchcompute_local.objects.store import Store, now


def put(store: Store, key: str, content: bytes, forbid: bool = False, **headers: str) -> Object:
    """Put an object into the bucket b."""
    part = store.new_part("b")
    try:
        part.write(content)
        with store.locked("b", key):
            record = Record(
                part.etag, part.crc, now(), NORMAL, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            return store.put("b", key, part, record, forbid)
    finally:
        part.discard()


def read(store: Store, key: str) -> bytes | None:
    """The content of an object of the bucket b; None if absent."""
    found = store.find_open("b", key)
    if found is None:
        return None
    with ContentFile(found[1]) as file:
        return file.readall()
