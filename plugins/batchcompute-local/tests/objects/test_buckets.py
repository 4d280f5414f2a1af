"""Buckets and their owners."""

from __future__ import annotations

import shutil

import pytest
from batchcompute_local.objects.buckets import (
    NotEmptyError,
    create_bucket,
    delete_bucket,
    find_bucket,
    find_owner,
    give_bucket,
    list_buckets,
)
from batchcompute_local.objects.multipart import Uploads
from batchcompute_local.objects.store import Store

from tests.support.objects import put


def test_a_folder_belongs_to_the_own_account(store: Store) -> None:
    assert find_owner(store, "b", 1001) == 1000
    assert find_owner(store, "absent", 1001) is None
    assert find_owner(store, "b", 1000) is None
    give_bucket(store, "b", 1001)
    assert find_owner(store, "b", 1000) == 1001
    assert [each.name for each in list_buckets(store)] == ["b"]


def test_a_bucket_belongs_to_who_made_it(store: Store) -> None:
    assert create_bucket(store, "new", 1001).owner == 1001
    assert create_bucket(store, "new", 1002).owner == 1001
    shutil.rmtree(store.root / "new")  # by hand
    found = find_bucket(store, "new")
    assert found is not None
    assert found.owner == 1001


def test_only_an_empty_bucket_is_deleted(store: Store) -> None:
    put(store, "odd//", b"")
    with pytest.raises(NotEmptyError):
        delete_bucket(store, "b")
    store.delete("b", ["odd//"])
    uploads = Uploads(store)
    upload = uploads.find("b", "x", uploads.start("b", "x", {}, {}))
    with pytest.raises(NotEmptyError):
        delete_bucket(store, "b")
    uploads.abort(upload)
    (store.root / "b/x/y").mkdir(parents=True)
    (store.root / "b/.part-of-a-program").write_bytes(b"")
    with pytest.raises(NotEmptyError):
        delete_bucket(store, "b")
    (store.root / "b/.part-of-a-program").unlink()
    delete_bucket(store, "b")
    assert list_buckets(store) == []
