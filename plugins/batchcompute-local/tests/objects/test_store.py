"""Objects as files, and beside them what a file cannot hold."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from batchcompute_local.objects.changes import plain_record
from batchcompute_local.objects.content import ContentFile
from batchcompute_local.objects.parts import Part
from batchcompute_local.objects.records import Record
from batchcompute_local.objects.store import Store, TakenError, now

from tests.support.objects import put, read

MD5_OF_ONE = "F97C5D29941BFB1B2FDAB0874906AB82"


def test_a_plain_object_is_a_file(store: Store) -> None:
    made = put(store, "a/b", b"one", content_type="text/x")
    assert (store.root / "b/a/b").read_bytes() == b"one"
    assert (made.etag, made.size, made.headers) == (MD5_OF_ONE, 3, {"content-type": "text/x"})
    assert store.find("b", "a/b") == made
    assert store.find("b", "a") is None
    assert os.stat(store.root / "b/a/b").st_mode & 0o777 == 0o600


def test_a_file_of_a_program_is_an_object(store: Store) -> None:
    path = store.root / "b/result"
    path.write_bytes(b"by a program")
    found = store.find("b", "result")
    assert found is not None
    facts = path.stat()
    assert found.etag == f"{facts.st_size:X}-{facts.st_mtime_ns:X}-{facts.st_ino:X}"
    assert (found.crc, found.size, found.headers) == (None, 12, {})


def test_sums_are_dropped_when_the_file_changes(store: Store) -> None:
    put(store, "x", b"one", content_type="text/x")
    (store.root / "b/x").write_bytes(b"two")
    found = store.find("b", "x")
    assert found is not None
    assert (found.is_bare, found.crc, found.headers) == (True, None, {})
    put(store, "x", b"one")
    found = store.find("b", "x")
    assert found is not None
    assert found.etag == MD5_OF_ONE


def test_replacing_leaves_one_row(store: Store) -> None:
    for content in (b"1", b"2", b"3"):
        put(store, "x", content)
    with store.database.read() as db:
        assert db.execute("SELECT count(*) FROM objects").fetchone()[0] == 1


@pytest.mark.parametrize("key", ["end/", "a//b", "..", "../../out", "n" * 300, ".part-x", "nul\0"])
def test_an_odd_key(store: Store, key: str) -> None:
    put(store, key, b"one", content_type="text/x")
    put(store, key, b"two", content_type="text/y")
    found = store.find("b", key)
    assert found is not None
    assert (read(store, key), found.headers) == (b"two", {"content-type": "text/y"})
    assert len(os.listdir(store.odd)) == 1
    assert os.listdir(store.root / "b") == []
    store.delete("b", [key])
    assert read(store, key) is None
    assert os.listdir(store.odd) == []


def test_an_object_beside_a_folder_of_its_name(store: Store) -> None:
    put(store, "a", b"file")
    put(store, "a/b", b"below")  # a is a file, so this one is odd
    assert (read(store, "a"), read(store, "a/b")) == (b"file", b"below")
    put(store, "c/d", b"below")
    put(store, "c", b"beside")
    assert (read(store, "c"), read(store, "c/d")) == (b"beside", b"below")
    store.delete("b", ["a", "c/d"])
    put(store, "a/b", b"again")  # now it has a file
    put(store, "c", b"again")
    assert (store.root / "b/a/b").read_bytes() == (store.root / "b/c").read_bytes() == b"again"
    assert os.listdir(store.odd) == []


def test_a_folder_that_is_empty_gives_way(store: Store) -> None:
    (store.root / "b/x").mkdir()
    put(store, "x", b"1")
    assert (store.root / "b/x").is_file()


def test_forbidden_to_overwrite(store: Store) -> None:
    put(store, "x", b"1", forbid=True)
    for key in ("x", "odd//"):
        put(store, key, b"1")
        with pytest.raises(TakenError):
            put(store, key, b"2", forbid=True)
        assert read(store, key) == b"1"
    assert sorted(os.listdir(store.root / "b")) == ["x"]


def test_forbidden_also_if_a_program_is_faster(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    look = store.find

    def late(bucket: str, key: str) -> None:
        assert look(bucket, key) is None
        (store.root / bucket / key).write_bytes(b"of a program")

    monkeypatch.setattr(store, "find", late)
    with pytest.raises(TakenError):
        put(store, "x", b"2", forbid=True)
    monkeypatch.undo()
    found = store.find("b", "x")
    assert found is not None
    assert (read(store, "x"), found.is_bare) == (b"of a program", True)


def test_deleting_removes_empty_folders_not_the_bucket(store: Store) -> None:
    put(store, "a/b/c", b"")
    put(store, "a/d", b"")
    store.delete("b", ["a/b/c", "absent", "a"])
    assert sorted(os.listdir(store.root / "b/a")) == ["d"]
    store.delete("b", ["a/d"])
    assert os.listdir(store.root / "b") == []


def test_links_do_not_lead_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (store.root / "b/link").symlink_to(tmp_path / "secret")
    (store.root / "b/folder").symlink_to(tmp_path)
    assert store.find("b", "link") is None
    assert store.find("b", "folder/secret") is None
    put(store, "folder/new", b"1")
    assert not (tmp_path / "new").exists()
    assert read(store, "folder/new") == b"1"
    put(store, "link", b"2")
    assert (tmp_path / "secret").read_text() == "secret"
    (store.root / "b/inside").symlink_to("link")
    assert read(store, "inside") == b"2"


def test_what_is_not_a_file_is_no_object(store: Store) -> None:
    os.mkfifo(store.root / "b/fifo")
    assert store.find("b", "fifo") is None


def test_a_symlink_is_a_link_for_programs(store: Store) -> None:
    put(store, "dir/target", b"behind")
    store.put_symlink("b", "links/one", "dir/target", Record("", None, now(), headers={"x-oss-meta-a": "b"}))
    assert (store.root / "b/links/one").read_bytes() == b"behind"
    found = store.find("b", "links/one")
    assert found is not None
    assert (found.target, found.kind, found.headers["x-oss-meta-a"]) == ("dir/target", "Symlink", "b")
    assert read(store, "links/one") == b"behind"
    store.put_symlink("b", "dir/target", "odd//", Record("", None, now()))  # in the place of a file
    assert not (store.root / "b/dir/target").exists()
    assert read(store, "dir/target") is None


def test_metadata_of_a_file_of_a_program(store: Store) -> None:
    (store.root / "b/x").write_bytes(b"1")
    found = store.find("b", "x")
    assert found is not None
    store.update(found, Record(found.etag, None, 5, headers={"content-type": "text/y"}))
    again = store.find("b", "x")
    assert again is not None
    assert (again.headers, again.modified, again.etag) == ({"content-type": "text/y"}, 5, found.etag)
    assert plain_record(again).etag == found.etag


def test_a_part_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "x", b"old")

    def fail(self: Part) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Part, "finish", fail)
    with pytest.raises(OSError, match="No space"):
        put(store, "x", b"new")
    assert read(store, "x") == b"old"
    assert os.listdir(store.root / "b") == ["x"]


def test_a_put_is_on_the_disk_before_it_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.root / "b/x").write_bytes(b"old")
    events: list[str] = []
    sync, replace_, save_ = os.fsync, os.replace, store.database.change

    def note_sync(handle: int) -> None:
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        sync(handle)

    def note_replace(source: str, target: str) -> None:
        events.append("rename")
        replace_(source, target)

    def note_change() -> AbstractContextManager[sqlite3.Connection]:
        events.append("row")
        return save_()

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(store.database, "change", note_change)
    put(store, "x", b"new")
    assert events == ["file", "row", "rename", "folder", "row"]
    events.clear()
    store.delete("b", ["x"])
    assert events[-1] == "folder"


@pytest.mark.parametrize("key", ["plain", "odd//"])
def test_readers_see_the_old_object_or_the_new_one(store: Store, key: str) -> None:
    """Content and metadata belong together at each moment, also if many write."""
    put(store, key, b"0" * 1000)
    ended = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not ended.is_set():
            found = store.find_open("b", key)
            if found is None:
                wrong.append("absent")
                break
            with ContentFile(found[1]) as file:
                content = file.readall()
            if hashlib.md5(content).hexdigest().upper() != found[0].etag:
                wrong.append((content[:10], found[0]))

    def write(digit: int) -> None:
        for size in range(1000, 1015):
            put(store, key, b"%d" % digit * size)

    readers = [threading.Thread(target=look) for _ in range(2)]
    writers = [threading.Thread(target=write, args=[digit]) for digit in (1, 2)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    for thread in readers:
        thread.join()
    assert wrong == []
    with store.database.read() as db:
        assert db.execute("SELECT count(*) FROM objects").fetchone()[0] == 1


def test_tags_of_a_link_that_a_program_made(store: Store) -> None:
    (store.root / "b/file").write_bytes(b"by a program")
    (store.root / "b/link").symlink_to("file")
    found = store.find("b", "link")
    assert found is not None
    store.update(found, replace(plain_record(found), tags={"who": "me"}))
    tagged = store.find("b", "link")
    assert tagged is not None
    assert (tagged.tags, tagged.kind, read(store, "link")) == ({"who": "me"}, "Normal", b"by a program")
    (store.root / "b/file").write_bytes(b"by another one")
    changed = store.find("b", "link")
    assert changed is not None
    assert (changed.tags, changed.size) == ({}, 14)
