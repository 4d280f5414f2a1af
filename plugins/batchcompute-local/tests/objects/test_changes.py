"""Append and copy."""

from __future__ import annotations

import os

import pytest
from batchcompute_local.objects import crc64
from batchcompute_local.objects.changes import NotAppendableError, PositionError, append, copy
from batchcompute_local.objects.records import Object
from batchcompute_local.objects.store import Store

from tests.support.objects import put, read


def add(store: Store, position: int, content: bytes) -> Object:
    part = store.new_part("b")
    try:
        part.write(content)
        return append(store, "b", "log", position, part, {"content-type": "text/x"}, {})
    finally:
        part.discard()


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
def test_appends(store: Store, size: int) -> None:
    first, second = os.urandom(size), os.urandom(size + 1)
    add(store, 0, first)
    made = add(store, size, second)
    assert read(store, "log") == first + second
    assert (made.crc, made.headers, made.kind) == (
        crc64.update(0, first + second),
        {"content-type": "text/x"},
        "Appendable",
    )
    with pytest.raises(PositionError) as caught:
        add(store, size, b"x")
    assert caught.value.length == 2 * size + 1
    assert os.listdir(store.root / "b") == ["log"]


def test_only_what_appends_made(store: Store) -> None:
    put(store, "log", b"x")
    with pytest.raises(NotAppendableError):
        add(store, 1, b"y")
    (store.root / "b/log").unlink()
    add(store, 0, b"x")
    (store.root / "b/log").write_bytes(b"by a program")
    with pytest.raises(NotAppendableError):
        add(store, 12, b"y")


@pytest.mark.parametrize("known", [True, False])
def test_copies(store: Store, known: bool) -> None:
    content = os.urandom((2 << 20) + 5)
    if known:
        put(store, "from", content)
    else:
        (store.root / "b/from").write_bytes(content)
    opened = store.find_open("b", "from")
    assert opened is not None
    part = store.new_part("b")
    record = copy(*opened, part)
    opened[1].close()
    store.put("b", "to", part, record)
    assert read(store, "to") == content
    assert record.crc == crc64.update(0, content)
