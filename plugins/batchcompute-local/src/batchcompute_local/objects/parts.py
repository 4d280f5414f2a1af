"""An unfinished file: written in pieces with its MD5 and CRC, and on the disk before anybody sees it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from batchcompute_local.objects import crc64
from batchcompute_local.objects.content import Content

BLOCK = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """What tells one file from another and from itself after a change."""

    inode: int
    size: int
    mtime: int

    @classmethod
    def of(cls, facts: os.stat_result) -> Stamp:
        """Return the stamp of a file; mtime is in nanoseconds."""
        return cls(facts.st_ino, facts.st_size, facts.st_mtime_ns)


class Part:
    """A new file at `path`, mode 0600. Somebody closes it, by `finish` or `discard`. Not thread-safe. Raises OSError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.crc: int | None = 0
        self._etag = ""

    @property
    def md5(self) -> bytes:
        """The MD5 of what was written."""
        return self._md5.digest()

    @property
    def etag(self) -> str:
        """The ETag: the MD5 in upper case, unless another one was given."""
        return self._etag or self._md5.hexdigest().upper()

    def write(self, data: bytes | bytearray) -> None:
        """Add `data`."""
        self._md5.update(data)
        self.crc = crc64.update(self.crc, data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]

    def read_from(self, content: Content, offset: int, size: int) -> None:
        """Add `size` bytes of an open object from `offset` on, and compute their sums. Raises EOFError if there are fewer."""
        while size:
            block = content.read(min(size, BLOCK), offset)
            if not block:
                raise EOFError
            self.write(block)
            offset, size = offset + len(block), size - len(block)

    def take_from(self, handle: int, offset: int, size: int) -> None:
        """Add `size` bytes of an open file from `offset` on, by the kernel. `sum_up` has to follow. Raises EOFError."""
        while size:
            copied = _copy(handle, self._handle, min(size, 64 * BLOCK), offset)
            if not copied:
                raise EOFError
            offset, size, self.size = offset + copied, size - copied, self.size + copied

    def sum_up(self, etag: str, crc: int | None) -> None:
        """Set the sums of what `take_from` has copied."""
        self._etag, self.crc = etag, crc

    def finish(self) -> Stamp:
        """Have the content on the disk; return the stamp. The file is closed."""
        os.fsync(self._handle)
        stamp = Stamp.of(os.fstat(self._handle))
        self.close()
        return stamp

    def close(self) -> None:
        """Close the file."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def discard(self) -> None:
        """Close and remove the file. Nothing happens to one that has another name by now."""
        self.close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)


def _copy(source: int, target: int, size: int, offset: int) -> int:
    try:
        return os.copy_file_range(source, target, size, offset_src=offset)
    except OSError:  # between two file systems, or on one without it
        return os.write(target, os.pread(source, min(size, BLOCK), offset))


def new_name() -> str:
    """Return a name that no file has."""
    return secrets.token_hex(12)


def open_part(folder: str, prefix: str, ensure: Callable[[], None]) -> Part:
    """Create a part in `folder`. `ensure` creates the folder, should it have been removed meanwhile."""
    while True:
        try:
            return Part(f"{folder}/{prefix}{new_name()}")
        except FileNotFoundError:
            ensure()
