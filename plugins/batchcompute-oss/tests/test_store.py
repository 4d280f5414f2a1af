"""The store against a `serve`: what `client.objects` promises, in streams."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import pytest
from batchcompute_oss import parts, store
from batchcompute_oss.store import OssStore, split_uri

from batchcompute import Client
from batchcompute.hooks import ObjectHasher


class Pipe(io.BytesIO):
    """It cannot go back."""

    def seekable(self) -> bool:
        return False

    def seek(self, *how: Any) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


@pytest.mark.parametrize("key", ["plain", "a b/ü%&?#+", "a//b", "with\x01control"])
def test_put_open_exists_list_delete(client: Client, key: str) -> None:
    uri = f"oss://bucket-keys/{key}"
    client.objects.put(uri, b"content")
    assert client.objects.exists(uri)
    with client.objects.open(uri) as file:
        assert (file.read(3), file.read()) == (b"con", b"tent")
    assert list(client.objects.list(uri)) == [(uri, 7)]
    client.objects.delete(uri)
    client.objects.delete(uri)
    assert not client.objects.exists(uri)
    assert list(client.objects.list(uri)) == []


@pytest.mark.parametrize("data", [b"", io.BytesIO(b""), Pipe(b""), Pipe(b"x" * 300_000), io.BytesIO(b"y" * 300_000)])
def test_files_of_all_kinds(client: Client, data: Any) -> None:
    expected = data if isinstance(data, bytes) else data.getvalue()
    client.objects.put("oss://bucket-files/one", data)
    with client.objects.open("oss://bucket-files/one") as file:
        assert file.read() == expected


def test_a_file_is_sent_from_where_it_is_also_after_the_bucket_was_made(client: Client) -> None:
    data = io.BytesIO(b"0123456789")
    data.seek(4)
    client.objects.put("oss://bucket-new-for-a-file/one", data)
    with client.objects.open("oss://bucket-new-for-a-file/one") as file:
        assert file.read() == b"456789"


@pytest.mark.parametrize("kind", [bytes, io.BytesIO, Pipe])
def test_a_large_object_is_sent_in_parts(client: Client, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PARTS_FROM", 300_000)
    monkeypatch.setattr(parts, "_PART", 200_000)
    content = os.urandom(500_000)
    data, begin = kind(content), 0
    if kind is io.BytesIO:
        begin = data.seek(100_000)
    bucket = f"bucket-parts-{kind.__name__.lower()}"
    client.objects.put(f"oss://{bucket}/one", data)  # the bucket is absent
    with client.objects.open(f"oss://{bucket}/one") as file:
        assert file.read() == content[begin:]
    assert list(client.objects.list(f"oss://{bucket}/")) == [(f"oss://{bucket}/one", 500_000 - begin)]


def test_a_list_has_all_pages_in_order(client: Client) -> None:
    objects = client.objects
    for number in range(105):  # a page has 100
        objects.put(f"oss://bucket-many/k{number:03}", b"x")
    found = [uri for uri, _ in objects.list("oss://bucket-many/k")]
    assert found == [f"oss://bucket-many/k{number:03}" for number in range(105)]
    assert isinstance(objects, OssStore)
    assert "bucket-many" in list(objects.buckets())


def test_what_is_absent(client: Client) -> None:
    objects = client.objects
    objects.put("oss://bucket-absent/there", b"")
    with pytest.raises(FileNotFoundError, match="there is no object oss://bucket-absent/none"):
        objects.open("oss://bucket-absent/none")
    with pytest.raises(FileNotFoundError, match=r"there is no bucket oss://no-such-bucket$") as caught:
        objects.open("oss://no-such-bucket/none")
    assert caught.value.__context__ is None, "the library's error has the whole answer"
    assert not objects.exists("oss://no-such-bucket/none")
    assert list(objects.list("oss://no-such-bucket/")) == []
    objects.delete("oss://no-such-bucket/none")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("bucket/key", "does not begin with oss://"),
        ("oss:///key", "has no bucket"),
        ("oss://bucket", "names a bucket, not an object"),
        ("oss://Bad_Name/key", "3 to 63 lower case letters"),
        ("oss://bucket/" + "k" * 1024, "1 to 1023 bytes"),
        ("oss://bucket//key", "do not begin with /"),
        ("oss://bucket/\ud800", "half a character"),
    ],
)
def test_bad_uris_are_value_errors(client: Client, uri: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        client.objects.put(uri, b"")


def test_a_uri_is_split_at_its_first_slash() -> None:
    assert split_uri("oss://bucket/a/b") == ("bucket", "a/b")
    assert split_uri("oss://bucket") == ("bucket", "")


def test_memory_is_flat(client: Client, served: Any) -> None:
    """In a process of its own: a put and a read of 64 MiB need less than half of it beyond what the imports need."""
    script = """
import resource, sys, tempfile
from batchcompute import Client
from batchcompute.hooks import ObjectHasher
store = Client(sys.argv[1], sys.argv[2], sys.stdin.read()).objects
store.put("oss://bucket-large/warm", b"x")
store.open("oss://bucket-large/warm").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with tempfile.TemporaryFile() as file:
    file.truncate(64 << 20)
    store.put("oss://bucket-large/big", file)
size = 0
with store.open("oss://bucket-large/big") as file:
    while piece := file.read(1 << 16):
        size += len(piece)
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, served.url, served.key],
        input=served.secret,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    size, more = map(int, done.stdout.split())
    assert size == 64 << 20
    assert more < 32 << 10, f"{more} KiB"


def test_a_child_has_connections_of_its_own(client: Client) -> None:
    objects = client.objects
    objects.put("oss://bucket-fork/one", b"1")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(write, "wb") as out:
            out.write(objects.open("oss://bucket-fork/one").read())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert answer.read() == b"1"
    os.waitpid(child, 0)
    assert objects.exists("oss://bucket-fork/one")


def test_sums(client: Client) -> None:
    assert isinstance(client.objects, ObjectHasher)
    client.objects.put("oss://bucket-sums/one", b"hello")
    assert client.objects.crc64("oss://bucket-sums/one") == 11177612005948864433
    for absent in ("oss://bucket-sums/none", "oss://bucket-absent/none"):
        with pytest.raises(FileNotFoundError):
            client.objects.crc64(absent)
    with pytest.raises(ValueError, match="names a bucket"):
        client.objects.crc64("oss://bucket-sums/")
