"""A bucket elsewhere by fsspec: a folder, and a real S3 store."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.objects.backing import Backing, ElsewhereError, MissingLibraryError, find_missing
from batchcompute_local.objects.content import ContentFile
from batchcompute_local.objects.elsewhere import BucketElsewhere
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.elsewhere import Elsewhere
from tests.support.weed import SECRET, Weed


@pytest.fixture
def backing(far: Elsewhere, tmp_path: Path) -> Backing:
    return Backing(far.bucket, tmp_path / "unsent")


def put(backing: Backing, key: str, content: bytes) -> None:
    backing.put(key, io.BytesIO(content), len(content))


def read(backing: Backing, key: str) -> bytes:
    with ContentFile(backing.open(key)) as file:
        return file.readall()


def test_an_object_from_its_put_to_its_deletion(backing: Backing, far: Elsewhere) -> None:
    assert backing.find("a/b") is None
    with pytest.raises(FileNotFoundError):
        read(backing, "a/b")
    put(backing, "a/b", b"first")
    assert (far.read("a/b"), read(backing, "a/b")) == (b"first", b"first")
    first = backing.find("a/b")
    put(backing, "a/b", b"second")
    second = backing.find("a/b")
    assert first is not None
    assert second is not None
    assert (first.size, second.size) == (5, 6)
    assert first.etag != second.etag
    assert second.modified >= first.modified > 1e9
    content = backing.open("a/b")
    assert [content.read(2, 3), content.read(10, 0), content.read(1, 6)] == [b"on", b"second", b""]
    content.close()
    backing.delete("a/b")
    backing.delete("a/b")
    assert backing.find("a/b") is None
    assert far.stored() == []
    if far.kind == "folder":
        assert os.listdir(far.base) == []  # no empty folder stays


def test_a_large_object_in_parts(backing: Backing, far: Elsewhere) -> None:
    content = os.urandom(1 << 20) * 20 + b"end"
    put(backing, "large", content)
    assert far.read("large") == content
    assert read(backing, "large") == content


def test_keys_come_in_the_order_of_their_bytes(backing: Backing, far: Elsewhere) -> None:
    keys = ["a", "b-/x", "b/", "b/1", "b/2/3", "b0", "\u00e9/\u4e2d"]
    keys.remove("b/")
    for key in keys:
        far.write(key, key.encode())
    ordered = sorted(keys)
    assert [(key, facts.size) for key, facts in backing.walk()] == [(key, len(key.encode())) for key in ordered]
    for prefix in ("b", "b/", "b/1", "b/2/", "nothing", "\u00e9"):
        assert [key for key, _ in backing.walk(prefix)] == [key for key in ordered if key.startswith(prefix)]
    for after in ("a", "b", "b/1", "b/2/3", "b0", "z"):
        assert [key for key, _ in backing.walk("", after)] == [key for key in ordered if key > after]


def test_a_listing_is_never_an_old_one(backing: Backing, far: Elsewhere) -> None:
    far.write("a/1", b"1")
    assert [key for key, _ in backing.walk("a/")] == ["a/1"]
    far.write("a/2", b"2")
    far.write("a/1", b"other")
    assert [(key, facts.size) for key, facts in backing.walk("a/")] == [("a/1", 5), ("a/2", 1)]


def test_an_object_gets_another_key(backing: Backing, far: Elsewhere) -> None:
    far.write("log", b"text")
    backing.move("log", "sub/log.attempt-1")
    assert far.stored() == ["sub/log.attempt-1"]
    with pytest.raises(FileNotFoundError):
        backing.move("log", "other")


def test_what_is_unsent_is_the_object(backing: Backing, far: Elsewhere, tmp_path: Path) -> None:
    far.write("logs/one", b"old")
    unsent = tmp_path / "unsent/far/logs"
    unsent.mkdir(parents=True)
    (unsent / "one").write_bytes(b"newer")
    found = backing.find("logs/one")
    assert found is not None
    assert found.size == 5
    assert read(backing, "logs/one") == b"newer"


def test_readers_see_the_old_object_or_the_new_one(backing: Backing) -> None:
    size = 2 << 20
    put(backing, "k", b"0" * size)
    wrong: list[bytes] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            content = backing.open("k")
            try:
                found = content.read(size, 0)
            except ElsewhereError as error:  # of S3: it was replaced a moment ago, and nothing is mixed
                if "FileExpired" not in str(error):
                    wrong.append(str(error).encode())
                continue
            finally:
                content.close()
            if len(found) != size or len(set(found)) != 1:
                wrong.append(found[:10])

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(5):
        put(backing, "k", b"%d" % number * size)
    ended.set()
    thread.join()
    assert wrong == []


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    gone = tmp_path / "not/mounted"
    backing = Backing(BucketElsewhere("far", f"file://{gone}"), tmp_path)
    message = r"bucket far: there is no folder .*/not/mounted; is it mounted\?"
    with pytest.raises(ElsewhereError, match=message):
        put(backing, "k", b"x")
    with pytest.raises(ElsewhereError, match=message):
        backing.check()
    assert backing.find("k") is None
    assert not gone.exists()


def test_no_link_leads_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("not for you")
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "one").symlink_to(tmp_path / "outside/secret")
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe/fifo")
    backing = Backing(BucketElsewhere("far", f"file://{folder}"), tmp_path / "unsent")
    for key in ("one", "link/secret"):
        assert backing.find(key) is None
        with pytest.raises(FileNotFoundError):
            backing.open(key)
    assert backing.find("pipe/fifo") is None
    with pytest.raises(FileNotFoundError):
        put(backing, "link/new", b"x")
    assert list(backing.walk()) == []


def test_a_prefix_does_not_lead_out_where_paths_are_not_normalised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sftp, whose server gets the path as it is."""
    listed: list[str] = []
    ls = MemoryFileSystem.ls

    def watch(self: Any, path: str, detail: bool = True, **more: Any) -> Any:
        listed.append(path)
        return ls(self, path, detail, **more)

    monkeypatch.setattr(MemoryFileSystem, "ls", watch)
    backing = Backing(BucketElsewhere("far", "memory://base"), tmp_path / "unsent")
    put(backing, "a/b", b"text")
    for prefix in ("../", "../other/x", "a/../../", "a/../", "./", "a//"):
        assert list(backing.walk(prefix)) == []
    assert listed == []
    assert [key for key, _ in backing.walk("a/b")] == ["a/b"]
    assert listed == ["/base/a"]


def test_errors_name_the_bucket_and_no_secret(weed: Weed, tmp_path: Path) -> None:
    wrong = "another-" + SECRET
    options = weed.options(wrong)
    backing = Backing(BucketElsewhere("far", "s3://real", options), tmp_path)
    with pytest.raises(ElsewhereError) as caught:
        backing.find("k")
    text = str(caught.value)
    assert text.startswith("the bucket far at s3://real cannot be used: ")
    assert wrong not in text
    assert wrong not in repr(backing.bucket)
    missing = Backing(BucketElsewhere("far", "s3://there-is-no-such-bucket", weed.options()), tmp_path)
    with pytest.raises((ElsewhereError, FileNotFoundError)):
        missing.check()


def test_a_store_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed (the dependency group buckets)")
    options = {"key": "k", "secret": "some-secret", "endpoint_url": "http://127.0.0.1:9", "retries": 1}
    backing = Backing(BucketElsewhere("far", "s3://b", options), tmp_path)
    with pytest.raises(ElsewhereError, match="the bucket far at s3://b cannot be used: "):
        backing.find("k")


def test_a_missing_library_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    bucket = BucketElsewhere("far", "s3://user:password@b")
    text = find_missing(bucket)
    assert text.startswith("the bucket far is at s3://b and needs s3fs; install it with: ")
    assert "-m pip install" in text
    with pytest.raises(MissingLibraryError, match="needs s3fs"):
        Backing(bucket, tmp_path).find("k")


def test_a_scheme_without_a_library(tmp_path: Path) -> None:
    backing = Backing(BucketElsewhere("far", "nosuch://b"), tmp_path)
    with pytest.raises(ElsewhereError, match="nosuch"):
        backing.find("k")


def test_nothing_imports_the_library_before_it_is_needed() -> None:
    program = (
        "import sys, pathlib\n"
        "import batchcompute_local.daemon, batchcompute_local.settings, batchcompute_local.routing\n"
        "import batchcompute_local.oss.application\n"
        "from batchcompute_local.objects.elsewhere import BucketElsewhere\n"
        "from batchcompute_local.objects.remote import open_objects\n"
        "open_objects(pathlib.Path('/x'), {'far': BucketElsewhere('far', 's3://b')}, pathlib.Path('/y'))\n"
        "print(sorted({'fsspec', 's3fs', 'aiohttp', 'botocore'} & sys.modules.keys()))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
