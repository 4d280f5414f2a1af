"""The objects of all buckets: those of this machine are files, those of buckets elsewhere are reached by fsspec."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO

from batchcompute_local.objects import crc64
from batchcompute_local.objects.backing import Backing
from batchcompute_local.objects.content import ContentFile
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.storage import ObjectStore, UriError, split_uri

_BLOCK = 1 << 20


class AllObjects:
    """The objects below the folder `root` and those of buckets elsewhere, as one `ObjectStore` of the SDK.

    Raises UriError for a bad URI, FileNotFoundError for a missing object, ElsewhereError for a bucket that cannot be used.
    """

    def __init__(self, root: Path, buckets: Mapping[str, BucketElsewhere], unsent: Path) -> None:
        self._here = ObjectStore(root)
        self._elsewhere = {name: ElsewhereStore(Backing(each, unsent)) for name, each in buckets.items()}

    def put(self, uri: str, data: bytes | BinaryIO) -> None:
        """See ObjectStore."""
        self._of(uri).put(uri, data)

    def open(self, uri: str) -> BinaryIO:
        """See ObjectStore."""
        return self._of(uri).open(uri)

    def exists(self, uri: str) -> bool:
        """See ObjectStore."""
        return self._of(uri).exists(uri)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See ObjectStore."""
        return self._of(prefix).list(prefix)

    def delete(self, uri: str) -> None:
        """See ObjectStore."""
        self._of(uri).delete(uri)

    def crc64(self, uri: str) -> int | None:
        """See ObjectStore."""
        return self._of(uri).crc64(uri)

    def buckets(self) -> Iterator[str]:
        """Yield the names of the buckets, in order."""
        yield from sorted({*self._here.buckets(), *self._elsewhere})

    def _of(self, uri: str) -> ObjectStore | ElsewhereStore:
        bucket = uri.removeprefix("oss://").partition("/")[0] if uri.startswith("oss://") else ""
        return self._elsewhere.get(bucket, self._here)


class ElsewhereStore:
    """The objects of one bucket elsewhere, by `oss://bucket/key`. Errors are those of AllObjects."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    def put(self, uri: str, data: bytes | BinaryIO) -> None:
        """See ObjectStore."""
        key = _key(uri)
        if isinstance(data, bytes):
            self._backing.put(key, io.BytesIO(data), len(data))
        elif data.seekable():
            begin = data.tell()
            size = data.seek(0, os.SEEK_END) - begin
            data.seek(begin)
            self._backing.put(key, data, size)
        else:
            with tempfile.TemporaryFile() as whole:  # a put to an object store has to know the size
                copyfileobj(data, whole, _BLOCK)
                size = whole.tell()
                whole.seek(0)
                self._backing.put(key, whole, size)

    def open(self, uri: str) -> BinaryIO:
        """See ObjectStore."""
        key = _key(uri)
        if self._backing.find(key) is None:  # else a library says it at the first read
            raise FileNotFoundError(f"{uri} does not exist")
        return io.BufferedReader(ContentFile(self._backing.open(key)), _BLOCK)

    def exists(self, uri: str) -> bool:
        """See ObjectStore."""
        return self._backing.find(_key(uri)) is not None

    def crc64(self, uri: str) -> int | None:
        """See ObjectStore; the object is downloaded for it."""
        key = _key(uri)
        before = self._backing.find(key)
        with self.open(uri) as file:
            crc = crc64.of_file(file)
        return crc if self._backing.find(key) == before else None

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See ObjectStore."""
        bucket, key = split_uri(prefix)
        for each, facts in self._backing.walk(key):
            yield f"oss://{bucket}/{each}", facts.size

    def delete(self, uri: str) -> None:
        """See ObjectStore."""
        self._backing.delete(_key(uri))


def _key(uri: str) -> str:
    _, key = split_uri(uri)
    if not key or key.endswith("/"):
        raise UriError(f"{uri!r} names a folder, not an object")
    return key
