"""Keys in the order of their bytes, page by page."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from batchcompute_local.objects.listing import list_keys, list_page, measure
from batchcompute_local.objects.store import Store
from hypothesis import given, settings, strategies as st

from tests.support.objects import put

NAMES = st.sampled_from(["a", "b", "a-", "a.", "é", "B", "", "..", "a\0"])
KEYS = st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda key: key and not key.startswith("/"))


@given(
    st.sets(KEYS, max_size=12),
    st.sampled_from(["", "a", "a/", "é", "a/b"]),
    st.sampled_from(["", "/", "a"]),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_pages_are_what_a_sorted_list_gives(keys: set[str], prefix: str, delimiter: str, limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.ensure("b")
        for key in keys:
            if key.isprintable() and "" not in key.split("/") and ".." not in key.split("/"):
                path = store.root / "b" / key
                if not path.exists() and all(not each.is_file() for each in path.parents):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"")
                    continue
            put(store, key, b"")
        wanted = []
        for key in sorted(each for each in keys if each.startswith(prefix)):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = key if cut < 0 else key[: cut + len(delimiter)]
            if entry not in wanted:
                wanted.append(entry)
        found: list[str] = []
        after = ""
        while True:
            page = list_page(store, "b", prefix, delimiter, after, limit)
            entries = sorted([each.key for each in page.objects] + page.prefixes)
            assert len(entries) <= limit
            found += entries
            if not page.next:
                break
            after = page.next
        store.database.close()
        assert found == wanted


def test_what_is_not_listed(store: Store) -> None:
    put(store, "there", b"12")
    (store.root / "b/.part-x").write_bytes(b"")
    (store.root / "b/empty").mkdir()
    os.mkfifo(store.root / "b/fifo")
    os.symlink("/etc/passwd", store.root / "b/out")
    Path(os.fsdecode(os.fsencode(store.root / "b") + b"/\xff")).write_bytes(b"")
    assert [each.key for each in list_page(store, "b", "", "", "", 10).objects] == ["there"]
    assert measure(store, "b") == (1, 2)


def test_a_page_does_not_read_the_folders_before_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b", "c"):
        put(store, f"{folder}/x", b"")
    seen: list[str] = []
    scan = os.scandir

    def note(path: str) -> object:
        seen.append(os.path.basename(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", note)
    assert list(list_keys(store, "b", "", after="b/x")) == ["c/x"]
    assert "a" not in seen
