"""The object store: `oss://bucket/key` is the file `<data folder>/oss/bucket/key`. No key leads out of that folder.

Objects under odd keys, which the OSS endpoint has written, are read and deleted here too; what is written here is a file.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from batchcompute.writing import PART
from batchcompute_local.files import NotRegularError, open_regular
from batchcompute_local.objects import crc64
from batchcompute_local.objects.listing import list_odd_keys
from batchcompute_local.objects.notes import is_note
from batchcompute_local.objects.parts import Stamp
from batchcompute_local.objects.store import Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LONGEST_NAME = 255
_LONGEST_KEY = 1023


class UriError(ValueError):
    """The URI is not a usable `oss://bucket/key`; the message says why."""


def split_uri(uri: str) -> tuple[str, str]:
    """Split `oss://bucket/key` into bucket and key. The key may be empty or end in `/`. Raises UriError, also for an odd key."""
    bucket, key = _split(uri)
    _check_parts(uri, key)
    return bucket, key


def _split(uri: str) -> tuple[str, str]:
    scheme, found, rest = uri.partition("://")
    if not found or scheme != "oss":
        raise UriError(f"{uri!r} does not begin with oss://")
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UriError(f"{uri!r} has no usable bucket name")
    if "\0" in key or len(key.encode("utf-8", "surrogatepass")) > _LONGEST_KEY:
        raise UriError(f"the key of {uri[:80]!r} is longer than {_LONGEST_KEY} bytes or has a NUL")
    if not key.isascii() and any("\ud800" <= each <= "\udfff" for each in key):
        raise UriError(f"the key of {uri[:80]!r} is not text: it has half a character")
    return bucket, key


def _check_parts(uri: str, key: str) -> None:
    for part in key.removesuffix("/").split("/") if key else ():
        if part in ("", ".", ".."):
            raise UriError(f"{uri!r} has a part that is empty, '.' or '..'")
        if len(part.encode("utf-8", "surrogatepass")) > _LONGEST_NAME:
            raise UriError(f"{uri[:80]!r} has a part of more than {_LONGEST_NAME} bytes")
        if part.startswith(PART):
            raise UriError(f"{uri!r} has a part that begins with {PART!r}, as only unfinished objects do")


class ObjectStore:
    """The objects of this machine. Raises UriError for a bad URI, FileNotFoundError for a missing object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, uri: str) -> Path:
        """Return the path of an object's file, existing or not. A link is followed inside of the store only."""
        path = self.place(uri)
        if not self._is_inside(path):
            raise UriError(f"{uri!r} leads out of the object store")
        return path

    def place(self, uri: str) -> Path:
        """Return the path of an object, where a program may have put a link: not to be opened but by `open_regular`."""
        bucket, key = split_uri(uri)
        if not key or key.endswith("/"):
            raise UriError(f"{uri!r} names a folder, not an object")
        path = self.root / bucket / key
        if not self._is_inside(path.parent):
            raise UriError(f"{uri!r} leads out of the object store")
        return path

    def _is_inside(self, path: str | os.PathLike[str]) -> bool:
        return os.path.realpath(path).startswith(os.path.realpath(self.root) + os.sep)

    def put(self, uri: str, data: bytes | BinaryIO) -> None:
        """Create or replace an object. Readers see the old one or the new one, never a part.

        Raises UriError if a folder of its path is an object, or its path is a folder.
        """
        path = self.path(uri)
        try:
            handle, name = self._part(path)
        except (FileExistsError, NotADirectoryError):
            self._check_here(uri)
            raise UriError(f"{uri!r}: a folder of its path is an object already") from None
        if path.is_dir():
            os.close(handle)
            os.unlink(name)
            raise UriError(f"{uri!r} is a folder of other objects")
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    shutil.copyfileobj(data, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    def _check_here(self, uri: str) -> None:
        """Raise UriError for a bucket that is elsewhere: a program in a container knows no more of it than that."""
        bucket, _ = _split(uri)
        if is_note(self.root / bucket):
            raise UriError(
                f"{uri!r}: the bucket is elsewhere, and not in {self.root}; reach it over $ALI_DIKU_OSS_HOST"
            )

    @staticmethod
    def _part(path: Path) -> tuple[int, str]:
        while True:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return tempfile.mkstemp(prefix=PART, dir=path.parent)
            except FileNotFoundError:
                continue  # the last object of that folder was removed meanwhile, and the folder with it

    def open(self, uri: str) -> BinaryIO:
        """Open an object for reading. Never waits: a FIFO, for example, is not an object."""
        try:
            handle = open_regular(os.path.realpath(self.path(uri)), os.O_RDONLY)
        except (UriError, FileNotFoundError, NotADirectoryError, IsADirectoryError, NotRegularError) as error:
            self._check_here(uri)
            with self._beside() as beside:
                found = beside.find_open(*_split(uri)) if beside else None
            if found is None and isinstance(error, IsADirectoryError | NotRegularError):
                raise FileNotFoundError(f"{uri} is not an object") from None
            if found is None:
                raise
            handle = found[1].handle
        return os.fdopen(handle, "rb")

    def exists(self, uri: str) -> bool:
        """Check if the object exists."""
        try:
            if self.path(uri).is_file():
                return True
        except UriError:
            if not self._is_beside(uri):
                raise
        return self._is_beside(uri)

    def crc64(self, uri: str) -> int | None:
        """Return the CRC64 of an object, read as a whole. None if it changed meanwhile, or without a library that computes it."""
        with self.open(uri) as file:
            before = Stamp.of(os.fstat(file.fileno()))
            crc = crc64.of_file(file)
            return crc if Stamp.of(os.fstat(file.fileno())) == before else None

    def delete(self, uri: str) -> None:
        """Remove an object, and folders that are empty then. No error if absent."""
        if self._is_beside(uri):
            bucket, key = _split(uri)
            with self._beside() as beside:
                if beside:
                    beside.delete(bucket, [key])
            return
        path = self.path(uri)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def buckets(self) -> Iterator[str]:
        """Yield the names of the buckets, in order."""
        with suppress(FileNotFoundError):
            yield from sorted(
                each.name for each in os.scandir(self.root) if each.is_dir() and _BUCKET.fullmatch(each.name)
            )

    @contextmanager
    def _beside(self) -> Iterator[Store | None]:
        """Give the store with the objects under odd keys; None if nothing was ever written over the endpoint."""
        store = Store(self.root)
        if not store.database.path.exists():
            yield None
            return
        try:
            yield store
        finally:
            store.database.close()

    def _is_beside(self, uri: str) -> bool:
        with self._beside() as beside:
            found = beside.find(*_split(uri)) if beside else None
        return found is not None and bool(found.file)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield URI and size in bytes of all objects whose URI begins with `prefix`, in order of the URI."""
        found = dict(self._list_beside(prefix))
        try:
            bucket, key = split_uri(prefix)
        except UriError:
            if not found:
                raise
        else:
            found |= self._list_files(prefix, bucket, key)
        yield from sorted(found.items())

    def _list_beside(self, prefix: str) -> Iterator[tuple[str, int]]:
        bucket, key = _split(prefix)
        with self._beside() as beside:
            for name in list_odd_keys(beside, bucket, key) if beside else ():
                odd = beside.find(bucket, name) if beside else None
                if odd is not None:
                    yield f"oss://{bucket}/{name}", odd.size

    def _list_files(self, prefix: str, bucket: str, key: str) -> Iterator[tuple[str, int]]:
        base = self.root / bucket
        start = (base / key).parent if not key.endswith("/") and key else base / key
        if start.exists() and start != self.root and not self._is_inside(start):
            raise UriError(f"{prefix!r} leads out of the object store")
        for folder, _, names in os.walk(start):
            for name in names:
                path = os.path.join(folder, name)
                uri = f"oss://{bucket}/{os.path.relpath(path, base)}"
                if not uri.startswith(prefix) or name.startswith(PART):
                    continue
                with suppress(OSError):  # removed meanwhile
                    facts = os.stat(path)
                    if stat.S_ISREG(facts.st_mode) and (not os.path.islink(path) or self._is_inside(path)):
                        yield uri, facts.st_size
