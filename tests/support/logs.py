"""Logs that are no files."""

from __future__ import annotations

import io

_SIZE = 1 << 40


class LargeLog(io.RawIOBase):
    """A log of a terabyte that ends with `end`. Fails if somebody reads more than 1 MiB of it."""

    def __init__(self, end: bytes) -> None:
        self._end = end
        self._place = self._read = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._place = offset + (_SIZE if whence == 2 else 0)
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0, "the whole log"
        size = min(size, _SIZE - self._place)
        self._read += size
        assert self._read <= 1 << 20
        self._place += size
        tail = self._place + len(self._end) - _SIZE
        return (b"x" * size + self._end[:tail])[-size:] if tail > 0 and size else b"x" * size
