"""The open content of an object: a file of this machine, or of a bucket elsewhere."""

from __future__ import annotations

import io
import os
from typing import Any


class Content:
    """An open file of this machine; `handle` is its descriptor. Somebody closes it."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on; none at the end. Raises OSError."""
        return os.pread(self.handle, size, offset)

    def close(self) -> None:
        """Close the file."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)


class ContentFile(io.RawIOBase):
    """A content as a file that is read from begin to end."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._offset = 0

    def readable(self) -> bool:
        """See io.IOBase."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """See io.RawIOBase."""
        data = self._content.read(len(buffer), self._offset)
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)

    def close(self) -> None:
        """See io.IOBase."""
        self._content.close()
        super().close()
