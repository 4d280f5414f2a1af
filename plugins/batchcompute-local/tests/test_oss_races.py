"""What happens between two steps of an operation, made sure of by doing it there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.objects import buckets, listing, store as stores
from batchcompute_local.objects.buckets import NotEmptyError, create_bucket, delete_bucket
from batchcompute_local.objects.parts import Part
from batchcompute_local.objects.records import Record
from batchcompute_local.objects.store import Store

from tests.support.oss import ANN, OWN, OssService


@pytest.fixture
def service(tmp_path: Path) -> Iterator[OssService]:
    service = OssService(tmp_path / "objects")
    assert service.call("PUT", "bucket-one")[0] == 200
    yield service
    service.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "objects")
    yield store
    store.database.close()


def put(store: Store, key: str, content: bytes = b"x", kind: str = "text/x-own") -> None:
    part: Part = store.new_part("bucket-one")
    part.write(content)
    record = Record(part.etag, part.crc, stores.now(), headers={"content-type": kind})
    with store.locked("bucket-one", key):
        store.put("bucket-one", key, part, record)


def test_a_condition_holds_for_the_content_that_is_sent(service: OssService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that is continued must not get the rest of another object."""
    bucket = service.bucket()
    first = bucket.put_object("key", b"first content").etag
    find_open = Store.find_open

    def replace_first(self: Store, *where: str) -> Any:
        bucket.put_object("key", b"other content")
        return find_open(self, *where)

    monkeypatch.setattr(Store, "find_open", replace_first)
    status, code, _, _ = service.call("GET", "bucket-one", "key", h_if_match=f'"{first}"', h_range="bytes=6-12")
    assert (status, code) == (412, "PreconditionFailed")


@pytest.mark.parametrize("key", ["plain", "odd//key"])
def test_a_delete_that_fails_leaves_the_object_whole(store: Store, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is killed there: with its metadata, or gone."""
    store.ensure("bucket-one")
    put(store, key)
    before = store.find("bucket-one", key)
    with monkeypatch.context() as patch:

        def fail(path: Any, **how: Any) -> None:
            raise OSError(5, "the disk fails", str(path))

        patch.setattr(os, "unlink", fail)
        with pytest.raises(OSError, match="the disk fails"):
            store.delete("bucket-one", [key])
    after = store.find("bucket-one", key)
    assert after in (before, None)
    assert after is None or key == "plain"
    store.delete("bucket-one", [key])
    assert store.find("bucket-one", key) is None


def test_a_row_that_a_crash_left_is_no_object_after_a_delete(store: Store) -> None:
    """Of an odd object, beside the file that replaced it."""
    store.ensure("bucket-one")
    put(store, "a/b")
    put(store, "a", b"odd")
    odd = store.find("bucket-one", "a")
    assert odd is not None
    assert odd.file
    os.unlink(store.root / "bucket-one/a/b")
    os.rmdir(store.root / "bucket-one/a")
    (store.root / "bucket-one/a").write_text("by a program")
    store.delete("bucket-one", ["a"])
    assert store.find("bucket-one", "a") is None


def test_of_two_accounts_that_create_a_bucket_one_has_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    find = buckets.find_bucket

    def create_after(*what: Any) -> Any:
        found = find(*what)
        monkeypatch.setattr(buckets, "find_bucket", find)
        assert create_bucket(store, "bucket-x", OWN.owner).owner == OWN.owner
        return found

    monkeypatch.setattr(buckets, "find_bucket", create_after)
    assert create_bucket(store, "bucket-x", ANN.owner).owner == OWN.owner


def test_a_put_during_the_deletion_of_a_bucket_is_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create_bucket(store, "bucket-one", 1000)
    empty = listing.is_empty

    def put_after(*what: Any) -> bool:
        found = empty(*what)
        put(store, "odd//key", b"acknowledged")
        return found

    monkeypatch.setattr(buckets, "is_empty", put_after)
    with pytest.raises(NotEmptyError):
        delete_bucket(store, "bucket-one")
    assert store.find("bucket-one", "odd//key") is not None


def test_nothing_is_removed_in_the_loop_of_the_service(service: OssService, monkeypatch: pytest.MonkeyPatch) -> None:
    """To remove a large file takes a while, and so does a network folder."""
    threads = set()
    discard = Part.discard

    def noting(part: Part) -> None:
        threads.add(threading.current_thread().name)
        discard(part)

    monkeypatch.setattr(Part, "discard", noting)
    wrong = "AAAAAAAAAAAAAAAAAAAAAA=="
    assert service.call("PUT", "bucket-one", "key", b"x", h_content_md5=wrong)[1] == "InvalidDigest"
    assert service.call("POST", "bucket-one", "log", b"x", append="", position="0")[0] == 200
    upload = service.bucket().init_multipart_upload("parts").upload_id
    refused = service.call("PUT", "bucket-one", "parts", b"x", partNumber="1", uploadId=upload, h_content_md5=wrong)
    assert refused[1] == "InvalidDigest"
    assert threads == {"objects"}
