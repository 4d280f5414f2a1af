"""The ObjectStore of regions that have an OSS. Bodies are streamed: memory does not grow with the size of an object."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from shutil import copyfileobj
from typing import TYPE_CHECKING, Any, BinaryIO

from batchcompute.config import Config
from batchcompute.credentials import Credentials
from batchcompute_oss.settings import Settings

if TYPE_CHECKING:
    from batchcompute_oss.calls import Calls, FindPolicy

_SCHEME = "oss://"
_CHUNK = 1 << 18
_LONGEST_KEY = 1023
_PARTS_FROM = 1 << 30  # a put of OSS takes 5 GiB, and a part that failed is less to send again


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
        find_policy: FindPolicy,
    ) -> None:
        self.endpoint = endpoint
        self._how = settings, region, config, find_credentials
        self._find_policy = find_policy
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

        from batchcompute_oss.library import is_cloud
        from batchcompute_oss.parts import put_parts

        client, calls = self._open(), self._calls()
        size = len(data) if isinstance(data, bytes) else data.seek(0, os.SEEK_END)

        def put_once() -> Any:
            if not isinstance(data, bytes):
                data.seek(0)
            return client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=data))

        def put() -> None:
            if size <= _PARTS_FROM:
                calls.do("put_object", uri, put_once, size)
            else:
                put_parts(
                    client, calls, uri, (bucket, key), io.BytesIO(data) if isinstance(data, bytes) else data, size
                )

        try:
            put()
            return
        except FileNotFoundError:
            if is_cloud(self.endpoint):  # names of buckets are global there, and cost money
                raise
        calls.do("put_bucket", uri, lambda: client.put_bucket(oss.PutBucketRequest(bucket=bucket)))
        put()

    def open(self, uri: str) -> BinaryIO:
        """Open an object for reading from begin to end."""
        import alibabacloud_oss_v2 as oss

        bucket, key = _name(uri)
        client = self._open()
        found = self._calls().do(
            "get_object", uri, lambda: client.get_object(oss.GetObjectRequest(bucket=bucket, key=key))
        )
        return io.BufferedReader(_Body(uri, found.body, found.hash_crc64), _CHUNK)

    def exists(self, uri: str) -> bool:
        """Check if the object exists."""
        import alibabacloud_oss_v2 as oss

        bucket, key = _name(uri)
        try:
            request = oss.GetObjectMetaRequest(bucket=bucket, key=key)
            self._calls().do("get_object_meta", uri, lambda: self._open().get_object_meta(request))
        except FileNotFoundError:
            return False
        return True

    def crc64(self, uri: str) -> int | None:
        """Return the CRC64 of an object. A `serve` computes it if need be; None if the object changed meanwhile."""
        import alibabacloud_oss_v2 as oss

        bucket, key = _name(uri)
        request = oss.HeadObjectRequest(bucket=bucket, key=key, headers={"x-oss-checksum-mode": "ENABLED"})
        found = self._calls().do("head_object", uri, lambda: self._open().head_object(request)).hash_crc64
        return None if found is None else int(found)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield URI and size of each object whose URI begins with `prefix`, in order. Nothing if the bucket is absent."""
        import alibabacloud_oss_v2 as oss

        bucket, key = split_uri(prefix)
        request = oss.ListObjectsV2Request(bucket=bucket, prefix=key, encoding_type="url")
        while True:
            try:
                page = self._calls().do("list_objects", prefix, lambda: self._open().list_objects_v2(request))
            except FileNotFoundError:
                return
            for one in page.contents or ():
                yield f"{_SCHEME}{bucket}/{one.key}", one.size
            if not page.is_truncated:
                return
            request.continuation_token = page.next_continuation_token

    def delete(self, uri: str) -> None:
        """Remove an object. No error if absent."""
        import alibabacloud_oss_v2 as oss

        bucket, key = _name(uri)
        try:
            request = oss.DeleteObjectRequest(bucket=bucket, key=key)
            self._calls().do("delete_object", uri, lambda: self._open().delete_object(request))
        except FileNotFoundError:
            return

    def buckets(self) -> Iterator[str]:
        """Yield the names of the account's buckets, in order."""
        import alibabacloud_oss_v2 as oss

        request = oss.ListBucketsRequest()
        while True:
            page = self._calls().do("list_buckets", _SCHEME, lambda: self._open().list_buckets(request))
            for one in page.buckets or ():
                yield one.name
            if not page.is_truncated:
                return
            request.marker = page.next_marker

    def _calls(self) -> Calls:
        from batchcompute_oss.calls import Calls

        _, region, config, _ = self._how
        return Calls(self.endpoint, region, config, self._find_policy)

    def _open(self) -> Any:
        """Return the library's client; a process that was forked off gets its own connections."""
        if self._client is None or self._process != os.getpid():
            from batchcompute_oss.library import open_client

            self._client = open_client(self.endpoint, *self._how)
            self._process = os.getpid()
        return self._client


class _Body(io.RawIOBase):
    """The body of an answer as a file. Raises ResponseLostError at its end if its CRC64 is not the one that was named."""

    def __init__(self, uri: str, body: Any, crc64: str | None) -> None:
        from alibabacloud_oss_v2.crc import Crc64

        self._uri, self._body, self._expected = uri, body, crc64
        self._sum = Crc64(0)
        self._pieces = body.iter_bytes(block_size=_CHUNK)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from batchcompute_oss.library import ask, damaged

        while not self._left:
            piece = ask(self._uri, lambda: next(self._pieces, None))
            if piece is None:
                if self._expected not in (None, str(self._sum.sum64())):
                    raise damaged(self._uri)
                return 0
            self._sum.update(piece)
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()
