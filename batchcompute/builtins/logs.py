"""Logs from the service itself, in pieces: an answer is never larger than a piece, whatever the size of the log."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from ..hooks import LogContext, hookimpl
from ..hooks.contexts import ReadPiece
from ..log_pieces import BLOCK
from ..values.details import LogPiece


@hookimpl(trylast=True)
def fetch_log(ctx: LogContext) -> BinaryIO | None:
    """Open a log without a redirect path; one with it is an object. None where the service does not know the question.

    Raises LookupError for an attempt without a log, with the attempts that have one.
    """
    if ctx.redirect_path or ctx.read_piece is None:
        return None
    found = ctx.read_piece(0, 0, "")
    if found is None:
        return None
    if found.missing is not None:
        if ctx.attempt is not None:
            raise LookupError(found.missing)
        return None
    return io.BufferedReader(_Log(ctx.read_piece, found), BLOCK)


class _Log(io.RawIOBase):
    """A log as a file. Its end is where it was in the last answer."""

    def __init__(self, read_piece: ReadPiece, found: LogPiece) -> None:
        self._read_piece = read_piece
        self._file = found.file
        self._size = found.size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._next(BLOCK), b""))

    def _next(self, limit: int) -> bytes:
        if self._at >= self._size:
            return b""
        piece = self._read_piece(self._at, min(limit, BLOCK), self._file)
        if piece is None or piece.missing is not None:  # the job was deleted, or the log is not kept any more
            raise OSError("the log is gone" + (f": {piece.missing}" if piece and piece.missing else ""))
        self._size = piece.size
        self._at += len(piece.data)
        return piece.data
