"""Uploads in parts."""

from __future__ import annotations

import hashlib
import os

import pytest
from batchcompute_local.objects import crc64
from batchcompute_local.objects.multipart import InvalidPartError, NoUploadError, TooSmallError, Upload, Uploads
from batchcompute_local.objects.store import Store, TakenError

from tests.support.objects import put, read

PIECE = 100 << 10


def start(store: Store, key: str, *parts: bytes) -> tuple[Uploads, Upload, list[tuple[int, str]]]:
    uploads = Uploads(store)
    upload = uploads.find("b", key, uploads.start("b", key, {"content-type": "text/x"}, {}))
    for number, content in enumerate(parts, start=1):
        part = uploads.new_part()
        part.write(content)
        uploads.put(upload, number, part)
    return uploads, upload, [(each.number, each.etag) for each in uploads.parts(upload.id)]


@pytest.mark.parametrize("key", ["plain", "odd//"])
def test_an_upload(store: Store, key: str) -> None:
    contents = [os.urandom(PIECE), os.urandom(PIECE + 1), b"last"]
    uploads, upload, parts = start(store, key, *contents)
    assert read(store, key) is None
    made = uploads.complete(upload, parts)
    assert read(store, key) == b"".join(contents)
    assert made.crc == crc64.update(0, b"".join(contents))
    md5 = hashlib.md5(b"".join(hashlib.md5(each).digest() for each in contents)).hexdigest().upper()
    assert (made.etag, made.kind, made.headers) == (f"{md5}-3", "Multipart", {"content-type": "text/x"})
    assert os.listdir(store.own / "parts") == []
    with pytest.raises(NoUploadError):
        uploads.find("b", key, upload.id)


def test_what_cannot_be_completed(store: Store) -> None:
    uploads, upload, parts = start(store, "x", os.urandom(PIECE - 1), b"2")
    with pytest.raises(TooSmallError):
        uploads.complete(upload, parts)
    with pytest.raises(InvalidPartError):
        uploads.complete(upload, [*parts, (3, "0" * 32)])
    with pytest.raises(InvalidPartError):
        uploads.complete(upload, [(1, "0" * 32)])
    with pytest.raises(InvalidPartError):
        uploads.complete(start(store, "empty")[1], None)
    assert len(uploads.complete(upload, parts[:1]).etag) == 34
    with pytest.raises(NoUploadError):
        uploads.put(upload, 1, uploads.new_part())
    with pytest.raises(NoUploadError):
        uploads.find("b", "other", start(store, "x")[1].id)


def test_a_part_again(store: Store) -> None:
    uploads, upload, _ = start(store, "x", b"first")
    part = uploads.new_part()
    part.write(b"second")
    uploads.put(upload, 1, part)
    assert len(os.listdir(store.own / "parts")) == 1
    uploads.complete(upload, None)
    assert read(store, "x") == b"second"


def test_overwriting_is_forbidden(store: Store) -> None:
    put(store, "x", b"there")
    uploads, upload, parts = start(store, "x", b"new")
    with pytest.raises(TakenError):
        uploads.complete(upload, parts, forbid=True)
    assert read(store, "x") == b"there"
    assert uploads.find("b", "x", upload.id) == upload  # it can be aborted, or completed without
    assert os.listdir(store.root / "b") == ["x"]


def test_pages(store: Store) -> None:
    uploads, first, _ = start(store, "a")
    second, third = start(store, "a")[1], start(store, "b/c")[1]
    both = sorted([first, second], key=lambda each: each.id)
    assert uploads.page("b", "", ("", ""), 2) == (both, True)
    assert uploads.page("b", "", ("a", both[1].id), 2) == ([third], False)
    assert uploads.page("b", "b/", ("", ""), 2) == ([third], False)
