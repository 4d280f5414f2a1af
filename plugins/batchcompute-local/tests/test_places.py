"""What is damaged is put aside before the daemon reads it (damaged files of a real service have tests of their own)."""

from __future__ import annotations

from pathlib import Path

from batchcompute_local.damage import list_damaged
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import Layout
from batchcompute_local.places import mend_places

from tests.support.objects import put, read


def test_a_damaged_database_of_objects(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    store = Store(layout.oss)
    put(store, "plain", b"1", content_type="text/x")
    store.database.close()
    assert layout.objects_database == store.database.path
    assert mend_places(layout) == []
    layout.objects_database.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert "metadata of objects" in " ".join(mend_places(layout))
    assert [path.name.partition(".damaged")[0] for path in list_damaged(tmp_path)] == ["objects.sqlite3"]
    assert read(store, "plain") == b"1"
    put(store, "plain", b"2")
    assert read(store, "plain") == b"2"
    store.database.close()
