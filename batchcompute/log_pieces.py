"""Read logs of any size in pieces: from a byte on, or the last lines."""

from __future__ import annotations

from collections import deque
from typing import BinaryIO

BLOCK = 1 << 18
"""Bytes of a piece."""


def skip(log: BinaryIO, start: int) -> None:
    """Leave out `start` bytes of a log that was just opened."""
    if start and log.seekable():
        log.seek(start)
        return
    while start > 0 and (piece := log.read(min(start, BLOCK))):
        start -= len(piece)


def read(log: BinaryIO, limit: int | None) -> bytes:
    """Read at most `limit` bytes, None for all. A short answer is the end, also of a log that gives less than asked for."""
    if limit is None:
        return log.read()
    pieces: list[bytes] = []
    while limit > 0 and (piece := log.read(limit)):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def read_end(log: BinaryIO, limit: int) -> bytes:
    """Read the last `limit` bytes of a log of any size."""
    if log.seekable():
        log.seek(max(0, log.seek(0, 2) - limit))
        return read(log, limit)  # what is written meanwhile is left out
    end = b""
    while piece := log.read(BLOCK):
        end = (end + piece)[-limit:]
    return end


def find_tail(log: BinaryIO, lines: int) -> int:
    """Return where the last `lines` lines of a log begin, in bytes. A last line without an end counts."""
    return _find_backwards(log, lines) if log.seekable() else _find_forwards(log, lines)


def _find_backwards(log: BinaryIO, lines: int) -> int:
    end = size = log.seek(0, 2)
    while end:
        begin = max(0, end - BLOCK)
        log.seek(begin)
        piece = read(log, end - begin)
        if end == size and not piece.endswith(b"\n"):
            lines -= 1
            if lines < 0:
                return size
        place = len(piece)
        while (place := piece.rfind(b"\n", 0, place)) >= 0:
            lines -= 1
            if lines < 0:
                return begin + place + 1
        end = begin
    return 0


def _find_forwards(log: BinaryIO, lines: int) -> int:
    begins = deque([0], lines + 1)
    end = 0
    while piece := log.read(BLOCK):
        place = -1
        while (place := piece.find(b"\n", place + 1)) >= 0:
            begins.append(end + place + 1)
        end += len(piece)
    if begins[-1] != end:
        begins.append(end)
    return begins[0]
