"""The object store: an object is there as a whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from batchcompute_local.storage import ObjectStore

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
