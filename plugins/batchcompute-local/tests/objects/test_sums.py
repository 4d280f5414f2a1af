"""The CRC64 of files that programs wrote."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from batchcompute_local.objects import crc64, sums
from batchcompute_local.objects.changes import copy, plain_record
from batchcompute_local.objects.records import Object, Record, derived_etag, rows_of, save
from batchcompute_local.objects.store import Store
from batchcompute_local.objects.sums import add_block, is_unchanged, keep
from batchcompute_local.oss.metadata import full_headers

from tests.support.objects import put

CONTENT = b"by a program"
SUM = crc64.update(0, CONTENT)


def write(path: Path, content: bytes = CONTENT, age: int = 10) -> None:
    """Write a file, as it was some seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then = time.time_ns() - age * 10**9
    os.utime(path, ns=(then, then))


def found(store: Store, key: str) -> Object:
    one = store.find("b", key)
    assert one is not None
    return one


def summed(store: Store, key: str) -> Object:
    """Keep the sum of an object, as a HEAD does; return what is there then."""
    opened = store.find_open("b", key)
    assert opened is not None
    one, content = opened
    try:
        size, crc = add_block(content, 0, 0)
        assert (size, is_unchanged(store, one, content)) == (one.size, True)
        assert crc is not None
        keep(store, one, crc)
    finally:
        content.close()
    return found(store, key)


def count(store: Store, key: str) -> int:
    with store.database.read() as db:
        return len(rows_of(db, "b", key))


def test_a_sum_is_kept_until_the_file_changes(store: Store) -> None:
    path = store.root / "b/file"
    write(path)
    before = found(store, "file")
    assert before.crc is None
    after = summed(store, "file")
    assert (after.crc, after.etag, after.modified) == (SUM, before.etag, before.modified)
    write(path, b"by another!!", 20)
    changed = found(store, "file")
    assert (changed.size, changed.crc) == (after.size, None)
    assert summed(store, "file").crc == crc64.update(0, b"by another!!")
    assert count(store, "file") == 1, "the row of what the file was is gone"


def test_a_file_that_was_written_just_now_keeps_none(store: Store) -> None:
    write(store.root / "b/file", age=0)
    assert summed(store, "file").crc is None
    assert count(store, "file") == 0


def test_a_file_that_changes_while_it_is_read(store: Store) -> None:
    path = store.root / "b/file"
    write(path)
    opened = store.find_open("b", "file")
    assert opened is not None
    one, content = opened
    try:
        _, crc = add_block(content, 0, 0)
        with path.open("ab") as file:
            file.write(b", longer")
        assert not is_unchanged(store, one, content)
        assert crc is not None
        keep(store, one, crc)
    finally:
        content.close()
    assert (found(store, "file").crc, count(store, "file")) == (None, 0), "of what is no longer there nothing is kept"


def test_tags_and_the_row_of_a_put_to_come_stay(store: Store) -> None:
    write(store.root / "b/file")
    one = found(store, "file")
    store.update(one, Record(one.etag, None, one.modified, tags={"who": "me"}))
    coming = put(store, "other", b"content")
    with store.database.change() as db:
        save(db, "b", "file", "", coming.stamp, plain_record(coming))
    after = summed(store, "file")
    assert (after.crc, after.tags) == (SUM, {"who": "me"})
    assert count(store, "file") == 2


def test_an_object_under_an_odd_key_without_a_sum(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_SETTLED_SECONDS", 0.0)
    put(store, "a//b", CONTENT)
    one = found(store, "a//b")
    store.update(one, Record(one.etag, None, one.modified))
    after = summed(store, "a//b")
    assert (after.crc, after.etag, count(store, "a//b")) == (SUM, one.etag, 1)


def test_a_link_that_a_program_made(store: Store) -> None:
    write(store.root / "b/file")
    (store.root / "b/link").symlink_to("file")
    assert summed(store, "link").crc == SUM
    write(store.root / "b/file", b"by another!!", 20)
    assert found(store, "link").crc is None


def test_a_copy_of_a_summed_file_has_an_md5(store: Store) -> None:
    write(store.root / "b/file")
    summed(store, "file")
    opened = store.find_open("b", "file")
    assert opened is not None
    part = store.new_part("b")
    record = copy(*opened, part)
    opened[1].close()
    part.discard()
    assert (record.etag, record.crc) == (hashlib.md5(CONTENT).hexdigest().upper(), SUM)


def test_a_derived_etag_of_32_characters_is_no_md5(store: Store) -> None:
    path = store.root / "b/file"
    write(path)
    stamp = found(store, "file").stamp
    length = 32 - len(derived_etag(stamp)) + len(f"{stamp.size:X}")
    with path.open("r+b") as file:  # without content on the disk
        file.truncate(16 ** (length - 1))
    os.utime(path, ns=(stamp.mtime, stamp.mtime))
    one = found(store, "file")
    assert len(one.etag) == 32
    keep(store, one, 1)
    assert (found(store, "file").crc, "Content-MD5" in full_headers(found(store, "file"), "Normal")) == (1, False)


def test_a_disk_that_takes_no_change(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    write(store.root / "b/file")
    store.own.write_text("no folder")
    one = found(store, "file")
    keep(store, one, 1)
    assert "the CRC64 of oss://b/file is not kept" in caplog.text
