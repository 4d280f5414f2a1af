"""The object store: an object is there as a whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from batchcompute_local.objects.store import Store
from batchcompute_local.storage import ObjectStore, UriError

from tests.support.objects import put

PUT = """
import io, sys, time
from pathlib import Path
from batchcompute_local.storage import ObjectStore

class Slow(io.RawIOBase):
    place = 0

    def read(self, size=-1):
        self.place += 1
        if self.place == 3:
            print("half", flush=True)
            time.sleep(60)
        return b"x" * 1000000

ObjectStore(Path(sys.argv[1])).put("oss://mine/result", Slow())
"""


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_put_that_is_killed_leaves_what_was_there(tmp_path: Path, old: bytes | None) -> None:
    store = ObjectStore(tmp_path / "oss")
    if old is not None:
        store.put("oss://mine/result", old)
    with subprocess.Popen([sys.executable, "-c", PUT, store.root], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert list(store.list("oss://mine/")) == ([] if old is None else [("oss://mine/result", 3)])
    if old is not None:
        with store.open("oss://mine/result") as file:
            assert file.read() == old


def test_a_program_that_writes_a_part_is_not_seen(tmp_path: Path) -> None:
    """What docs, demo and `write_whole` do."""
    store = ObjectStore(tmp_path / "oss")
    (store.root / "mine").mkdir(parents=True)
    part = store.root / "mine" / ".part-1"
    part.write_text("half")
    assert list(store.list("oss://mine/")) == []
    part.replace(store.root / "mine" / "result")
    assert list(store.list("oss://mine/")) == [("oss://mine/result", 4)]


def test_buckets(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "oss")
    assert list(store.buckets()) == []
    store.put("oss://theirs/a", b"1")
    store.put("oss://mine/a/b", b"1")
    (tmp_path / "oss/.trash").mkdir()
    (tmp_path / "oss/file").touch()
    assert list(store.buckets()) == ["mine", "theirs"]


@pytest.mark.parametrize("key", ["a//b", "end/", "../up", "x" * 300, "folder"])
def test_what_the_endpoint_wrote_under_an_odd_key(tmp_path: Path, key: str) -> None:
    beside = Store(tmp_path / "oss")
    beside.ensure("b")
    put(beside, "folder/plain", b"1")
    put(beside, key, b"odd")
    beside.database.close()
    store, uri = ObjectStore(tmp_path / "oss"), f"oss://b/{key}"
    with store.open(uri) as file:
        assert file.read() == b"odd"
    assert store.exists(uri)
    assert dict(store.list("oss://b/")) == {"oss://b/folder/plain": 1, uri: 3}
    assert (uri, 3) in list(store.list(uri))
    store.delete(uri)
    assert dict(store.list("oss://b/")) == {"oss://b/folder/plain": 1}
    with store.open("oss://b/folder/plain") as file:
        assert file.read() == b"1"
    with pytest.raises((FileNotFoundError, UriError)):
        store.open(uri)
