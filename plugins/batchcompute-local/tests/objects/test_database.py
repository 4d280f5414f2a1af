"""The database beside the objects."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from batchcompute_local.objects.database import Database
from batchcompute_local.objects.store import Store

from tests.support.objects import put, read


def test_it_is_created_with_the_first_change(tmp_path: Path) -> None:
    database = Database(tmp_path / "new/objects.sqlite3")
    with database.read() as db:
        assert db.execute("SELECT count(*) FROM objects").fetchone()[0] == 0
    assert not (tmp_path / "new").exists()
    with database.change() as db:
        db.execute("INSERT INTO buckets VALUES ('a', 1, 2)")
    assert os.stat(database.path).st_mode & 0o777 == 0o600
    database.close()
    with database.read() as db:
        assert db.execute("SELECT * FROM buckets").fetchall() == [("a", 1, 2)]
    database.close()


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "objects.sqlite3")
    with suppress(ValueError), database.change() as db:
        db.execute("INSERT INTO buckets VALUES ('a', 1, 2)")
        raise ValueError
    with database.read() as db:
        assert db.execute("SELECT * FROM buckets").fetchall() == []
    database.close()


def test_objects_on_a_disk_that_is_read_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "odd//", b"1")
    store.database.close()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and Path(path) != store.own)
    assert read(store, "odd//") == b"1"
