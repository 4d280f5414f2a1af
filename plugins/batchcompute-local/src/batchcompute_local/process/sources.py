"""Where inputs are: files of this machine, or objects of buckets elsewhere, which are downloaded before they are used."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from batchcompute_local.objects.backing import Backing
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.process.patience import access
from batchcompute_local.storage import ObjectStore, split_uri

_BLOCK = 1 << 20
_LOOK_SECONDS = 0.5


class Source(Protocol):
    """A package that is there or may be. Raises OSError."""

    is_near: bool
    """Whether a look at it takes a moment."""
    place: str
    """What is waited for, as `access` wants it."""

    def version(self) -> str:
        """Return what differs between one content and another."""

    def file(self, folder: Path) -> AbstractContextManager[Path]:
        """Give the content as a file of this machine; what has to be downloaded is in `folder` for so long."""


class FileSource:
    """A file of this machine."""

    is_near = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def version(self) -> str:
        """See Source."""
        with access(self.path):
            facts = os.stat(self.path)
        return f"{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}"

    def file(self, folder: Path) -> AbstractContextManager[Path]:
        """See Source."""
        return nullcontext(self.path)


class RemoteSource:
    """An object of a bucket elsewhere."""

    is_near = False

    def __init__(self, backing: Backing, key: str) -> None:
        self._backing, self._key = backing, key
        self.place = f"oss://{backing.bucket.name}/{key}"

    def version(self) -> str:
        """See Source."""
        with access(self.place):
            facts = self._backing.find(self._key)
        if facts is None:
            raise FileNotFoundError(2, os.strerror(2), self.place)
        return f"{facts.size}\0{facts.modified}\0{facts.etag}"

    @contextmanager
    def file(self, folder: Path) -> Iterator[Path]:
        """See Source."""
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=folder) as place:
            path = Path(place, "object")
            download(self._backing, self._key, path)
            yield path


class Sources:
    """Finds the sources of URIs."""

    def __init__(self, store: ObjectStore, buckets: Mapping[str, BucketElsewhere], unsent: Path) -> None:
        self._store = store
        self._elsewhere = {name: Backing(bucket, unsent) for name, bucket in buckets.items()}

    def elsewhere(self, uri: str) -> tuple[Backing, str] | None:
        """Return the bucket and the key of a URI; None for a bucket of this machine. Raises UriError."""
        if not self._elsewhere:
            return None
        bucket, key = split_uri(uri)
        backing = self._elsewhere.get(bucket)
        return None if backing is None else (backing, key)

    def find(self, uri: str) -> Source:
        """Return the source of an object. Raises UriError."""
        found = self.elsewhere(uri)
        if found is not None:
            return RemoteSource(*found)
        with access(self._store.root / uri.removeprefix("oss://")):
            return FileSource(self._store.path(uri))


class OneAtATime:
    """Lets others wait who want to make the same thing. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._making: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        """Those that somebody holds or waits for."""

    @contextmanager
    def __call__(self, name: str, place: str) -> Iterator[None]:
        """Wait for who makes `name`. Raises NoAnswerError if the one before is abandoned while it waits for `place`."""
        with self._lock:
            lock = self._making.setdefault(name, threading.Lock())
        while not lock.acquire(timeout=_LOOK_SECONDS):
            with access(place):
                pass
        try:
            yield
        finally:
            lock.release()


def download(backing: Backing, key: str, path: Path) -> None:
    """Write an object to the new file `path`. Each block is an `access`. Raises OSError."""
    place = f"oss://{backing.bucket.name}/{key}"
    with access(place):
        content = backing.open(key)
    try:
        with open(path, "xb") as file:
            while True:
                with access(place):
                    block = content.read(_BLOCK, file.tell())
                if not block:
                    return
                file.write(block)
    finally:
        content.close()
