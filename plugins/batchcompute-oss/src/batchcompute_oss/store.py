"""The ObjectStore of regions that have an OSS. Bodies are streamed: memory does not grow with the size of an object."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from shutil import copyfileobj
from typing import Any, BinaryIO

from batchcompute.config import Config
from batchcompute.credentials import Credentials
from batchcompute_oss.settings import Settings

_SCHEME = "oss://"
_CHUNK = 1 << 18
_LONGEST_KEY = 1023
_PARTS_FROM = 1 << 30  # a put of OSS takes 5 GiB, and a part that failed is less to send again
_PART = 16 << 20


def split_uri(uri: str) -> tuple[str, str]:
    """Split `oss://bucket/key`; the key may be empty. Raises ValueError."""
    if not uri.startswith(_SCHEME):
        raise ValueError(f"{uri!r} does not begin with {_SCHEME}")
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not bucket:
        raise ValueError(f"{uri!r} has no bucket; an object is {_SCHEME}bucket/key")
    return bucket, key


def _name(uri: str) -> tuple[str, str]:
    bucket, key = split_uri(uri)
    if not key:
        raise ValueError(f"{uri!r} names a bucket, not an object; an object is {_SCHEME}bucket/key")
    if any("\ud800" <= each <= "\udfff" for each in key):
        raise ValueError(f"the key of {uri[:80]!r} is not text: it has half a character")
    if len(key.encode()) > _LONGEST_KEY or key.startswith(("/", "\\")):
        raise ValueError(
            f"the key of {uri[:80]!r} is not usable: 1 to {_LONGEST_KEY} bytes that do not begin with / or \\"
        )
    return bucket, key


class OssStore:
    """The objects of a region. Thread-safe, and safe to use after a fork.

    Raises FileNotFoundError for an absent object or bucket, ValueError for a bad URI, ClientError, TransportError and
    CredentialsError as calls of the Client do.
    """

    def __init__(
        self,
        endpoint: str,
        settings: Settings,
        region: str,
        config: Config,
        find_credentials: Callable[[], Credentials],
    ) -> None:
        self.endpoint = endpoint
        self._how = settings, region, config, find_credentials
        self._client: Any = None
        self._process = 0

    def put(self, uri: str, data: bytes | BinaryIO) -> None:
        """Create or replace an object of any size. An absent bucket is made at a `serve`, not at OSS itself."""
        bucket, key = _name(uri)
        if not isinstance(data, bytes) and (not data.seekable() or data.tell()):
            # OSS wants to know the length before, and the library sends parts of a file from its begin
            with tempfile.TemporaryFile() as whole:
                copyfileobj(data, whole, _CHUNK)
                whole.seek(0)
                self._put(uri, bucket, key, whole)
        else:
            self._put(uri, bucket, key, data)

    def _put(self, uri: str, bucket: str, key: str, data: bytes | BinaryIO) -> None:
        import alibabacloud_oss_v2 as oss

        from batchcompute_oss.library import ask, is_cloud

        client = self._open()
        size = len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END)

        def send() -> None:
            if not isinstance(data, bytes):
                data.seek(0)
            if size <= _PARTS_FROM:
                ask(uri, lambda: client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=data)))
                return
            file = io.BytesIO(data) if isinstance(data, bytes) else data
            uploader = client.uploader(part_size=_PART, parallel_num=1)
            ask(uri, lambda: uploader.upload_from(oss.PutObjectRequest(bucket=bucket, key=key), file))

        try:
            send()
            return
        except FileNotFoundError:
            if is_cloud(self.endpoint):  # names of buckets are global there, and cost money
                raise
        ask(uri, lambda: client.put_bucket(oss.PutBucketRequest(bucket=bucket)))
        send()

    def open(self, uri: str) -> BinaryIO:
        """Open an object for reading from begin to end."""
        import alibabacloud_oss_v2 as oss

        from batchcompute_oss.library import ask

        bucket, key = _name(uri)
        found = ask(uri, lambda: self._open().get_object(oss.GetObjectRequest(bucket=bucket, key=key)))
        return io.BufferedReader(_Body(uri, found.body), _CHUNK)

    def exists(self, uri: str) -> bool:
        """Check if the object exists."""
        import alibabacloud_oss_v2 as oss

        from batchcompute_oss.library import ask

        bucket, key = _name(uri)
        try:
            ask(uri, lambda: self._open().get_object_meta(oss.GetObjectMetaRequest(bucket=bucket, key=key)))
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield URI and size of each object whose URI begins with `prefix`, in order. Nothing if the bucket is absent."""
        import alibabacloud_oss_v2 as oss

        from batchcompute_oss.library import ask

        bucket, key = split_uri(prefix)
        request = oss.ListObjectsV2Request(bucket=bucket, prefix=key, encoding_type="url")
        pages = self._open().list_objects_v2_paginator().iter_page(request)
        while True:
            try:
                page = ask(prefix, lambda: next(pages, None))
            except FileNotFoundError:
                return
            if page is None:
                return
            for one in page.contents or ():
                yield f"{_SCHEME}{bucket}/{one.key}", one.size

    def delete(self, uri: str) -> None:
        """Remove an object. No error if absent."""
        import alibabacloud_oss_v2 as oss

        from batchcompute_oss.library import ask

        bucket, key = _name(uri)
        try:
            ask(uri, lambda: self._open().delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key)))
        except FileNotFoundError:
            return

    def buckets(self) -> Iterator[str]:
        """Yield the names of the account's buckets, in order."""
        import alibabacloud_oss_v2 as oss

        from batchcompute_oss.library import ask

        pages = self._open().list_buckets_paginator().iter_page(oss.ListBucketsRequest())
        while (page := ask(_SCHEME, lambda: next(pages, None))) is not None:
            for one in page.buckets or ():
                yield one.name

    def _open(self) -> Any:
        """Return the library's client; a process that was forked off gets its own connections."""
        if self._client is None or self._process != os.getpid():
            from batchcompute_oss.library import open_client

            self._client = open_client(self.endpoint, *self._how)
            self._process = os.getpid()
        return self._client


class _Body(io.RawIOBase):
    """The body of an answer as a file."""

    def __init__(self, uri: str, body: Any) -> None:
        self._uri, self._body = uri, body
        self._pieces = body.iter_bytes(block_size=_CHUNK)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from batchcompute_oss.library import ask

        while not self._left:
            piece = ask(self._uri, lambda: next(self._pieces, None))
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
