"""Objects and logs of a session: what is read is recorded as GET and HEAD of `oss://` and `log://` URIs.

What is put or deleted is not recorded: in replay it happens in memory, and is seen by later reads.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable
from typing import BinaryIO, Protocol
from urllib.parse import quote

from ..hooks import BucketLister, LogContext, ObjectHasher, ObjectStore
from ..wire import Response
from .cassette import Answer
from .crc64 import crc64
from .tape import Tape


class _Keep(Protocol):
    def __call__(self, method: str, target: str, answer: Answer, /) -> None: ...


def _success(data: bytes = b"") -> Response:
    return Response(200, {}, data)


_BUCKETS = "oss://?buckets"
_MISSING = Response(404, {}, b"")


def _hashing(uri: str) -> str:
    return f"{uri}?crc64"


def _listing(prefix: str) -> str:
    return f"{prefix}?list"


class RecordedObjects:
    """An ObjectStore whose reads are recorded."""

    def __init__(self, inner: ObjectStore, keep: _Keep) -> None:
        self._inner = inner
        self._keep = keep

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def put(self, uri: str, data: bytes | BinaryIO) -> None:
        self._inner.put(uri, data)

    def open(self, uri: str) -> BinaryIO:
        try:
            with self._inner.open(uri) as file:
                data = file.read()
        except FileNotFoundError:
            self._keep("GET", uri, _MISSING)
            raise
        self._keep("GET", uri, _success(data))
        return io.BytesIO(data)

    def exists(self, uri: str) -> bool:
        there = self._inner.exists(uri)
        self._keep("HEAD", uri, _success() if there else _MISSING)
        return there

    def list(self, prefix: str) -> Iterable[tuple[str, int]]:
        found = list(self._inner.list(prefix))
        self._keep("GET", _listing(prefix), _success(json.dumps(found).encode("ascii")))
        return found

    def delete(self, uri: str) -> None:
        self._inner.delete(uri)


class RecordedBuckets(RecordedObjects):
    """A BucketLister whose reads are recorded."""

    def __init__(self, inner: BucketLister, keep: _Keep) -> None:
        super().__init__(inner, keep)
        self._lister = inner

    def buckets(self) -> Iterable[str]:
        found = list(self._lister.buckets())
        self._keep("GET", _BUCKETS, _success(json.dumps(found).encode("ascii")))
        return found


class RecordedHashes(RecordedObjects):
    """An ObjectHasher whose reads are recorded."""

    def __init__(self, inner: ObjectHasher, keep: _Keep) -> None:
        super().__init__(inner, keep)
        self._hasher = inner

    def crc64(self, uri: str) -> int | None:
        try:
            found = self._hasher.crc64(uri)
        except FileNotFoundError:
            self._keep("GET", _hashing(uri), _MISSING)
            raise
        self._keep("GET", _hashing(uri), _success(json.dumps(found).encode("ascii")))
        return found


class RecordedBucketsAndHashes(RecordedBuckets, RecordedHashes):
    """A BucketLister and ObjectHasher whose reads are recorded."""


class ReplayedObjects:
    """An ObjectStore in memory, over what was read when the session was recorded. Thread-safe."""

    def __init__(self, tape: Callable[[], Tape]) -> None:
        self._tape = tape
        self._written: dict[str, bytes | None] = {}
        self._lock = threading.Lock()

    def put(self, uri: str, data: bytes | BinaryIO) -> None:
        content = data if isinstance(data, bytes) else data.read()
        with self._lock:
            self._written[uri] = content

    def open(self, uri: str) -> BinaryIO:
        content = self._written[uri] if uri in self._written else _body_of(self._tape(), uri)
        if content is None:
            raise FileNotFoundError(f"there is no object {uri}")
        return io.BytesIO(content)

    def exists(self, uri: str) -> bool:
        if uri in self._written:
            return self._written[uri] is not None
        answer, _ = self._tape().play("HEAD", uri)
        return isinstance(answer, Response) and answer.status == 200

    def list(self, prefix: str) -> Iterable[tuple[str, int]]:
        return [(uri, size) for uri, size in json.loads(_body_of(self._tape(), _listing(prefix)) or b"[]")]

    def buckets(self) -> Iterable[str]:
        return [str(name) for name in json.loads(_body_of(self._tape(), _BUCKETS) or b"[]")]

    def crc64(self, uri: str) -> int | None:
        if uri in self._written:
            with self.open(uri) as file:
                return crc64(file.read())
        found = _body_of(self._tape(), _hashing(uri))
        if found is None:
            raise FileNotFoundError(f"there is no object {uri}")
        sum_: int | None = json.loads(found)
        return sum_

    def delete(self, uri: str) -> None:
        with self._lock:
            self._written[uri] = None


def record_objects(store: ObjectStore, keep: _Keep) -> RecordedObjects:
    """Return the store; what is read from it is recorded."""
    if isinstance(store, RecordedObjects):
        return store
    # by what the store has: on Python 3.11 isinstance sees what __getattr__ finds too, which would not be recorded
    if isinstance(store, BucketLister):
        return (
            RecordedBucketsAndHashes(store, keep) if isinstance(store, ObjectHasher) else RecordedBuckets(store, keep)
        )
    return RecordedHashes(store, keep) if isinstance(store, ObjectHasher) else RecordedObjects(store, keep)


def log_uri(ctx: LogContext) -> str:
    """Return the URI that a log is recorded under."""
    parts = [ctx.job_id, ctx.task_name, str(ctx.instance_id), ctx.stream]
    if ctx.attempt is not None:
        parts.append(str(ctx.attempt))
    return "log://" + "/".join(quote(part, safe="") for part in parts)


def recorded_log(log: BinaryIO | None, uri: str, keep: _Keep) -> BinaryIO | None:
    """Return the log, read and recorded."""
    if log is None:
        keep("GET", uri, _MISSING)
        return None
    with log:
        data = log.read()
    keep("GET", uri, _success(data))
    return io.BytesIO(data)


def replayed_log(tape: Tape, uri: str) -> BinaryIO | None:
    """Return the recorded log, None where the region had none. Raises UnrecordedRequestError."""
    data = _body_of(tape, uri)
    return None if data is None else io.BytesIO(data)


def _body_of(tape: Tape, uri: str) -> bytes | None:
    answer, _ = tape.play("GET", uri)
    return answer.body if isinstance(answer, Response) and answer.status == 200 else None
