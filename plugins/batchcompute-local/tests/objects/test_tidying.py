"""What killed processes left goes when it is old."""

from __future__ import annotations

import os
import time

from batchcompute_local.objects.multipart import Uploads
from batchcompute_local.objects.store import Store
from batchcompute_local.objects.tidying import PART_SECONDS, UPLOAD_SECONDS, tidy

from tests.support.objects import put, read


def test_old_files_go_and_objects_stay(store: Store) -> None:
    put(store, "plain", b"1")
    put(store, "odd//", b"2")
    store.new_part("b").close()
    (store.odd / "lost").write_bytes(b"")
    uploads = Uploads(store)
    upload = uploads.find("b", "x", uploads.start("b", "x", {}, {}))
    part = uploads.new_part()
    uploads.put(upload, 1, part)
    uploads.new_part().close()
    assert tidy(store) == 0
    assert tidy(store, time.time() + PART_SECONDS + 60) == 3
    assert os.listdir(store.root / "b") == ["plain"]
    assert len(os.listdir(store.own / "parts")) == len(os.listdir(store.odd)) == 1
    assert tidy(store, time.time() + UPLOAD_SECONDS + 60) == 1
    assert os.listdir(store.own / "parts") == []
    assert (read(store, "plain"), read(store, "odd//")) == (b"1", b"2")


def test_files_of_odd_keys_stay_while_a_damaged_database_is_kept(store: Store) -> None:
    put(store, "odd//", b"2")
    store.database.close()
    store.database.path.rename(store.database.path.with_name("objects.sqlite3.damaged-2026-01-01T000000Z"))
    assert tidy(store, time.time() + UPLOAD_SECONDS + 60) == 0
    assert len(os.listdir(store.odd)) == 1
