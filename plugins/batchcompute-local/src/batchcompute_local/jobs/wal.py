"""Look for damage in the write-ahead log of a database. SQLite itself leaves out what follows a damaged frame, in silence.

A process that is killed leaves whole commits and at most the beginning of another one. So where a commit stands behind a
frame that is damaged, something was lost that had been answered. How many frames there were is in the index of the log,
which SQLite updates only after a commit is on the disk. The formats: https://sqlite.org/fileformat2.html#walformat and
https://sqlite.org/walformat.html.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from batchcompute_local.damage import read_whole

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_INDEX = struct.Struct("=12I")
_FRAMES, _SALTS_AT = 4, 32
_COPIED, _COPIED_AT = struct.Struct("=I"), 96
_INDEX_VERSION = 3007000
_MOST_BYTES = 1 << 34
_MAGIC = 0x377F0682
_MASK = 0xFFFFFFFF


def find_torn(database: Path) -> str:
    """Say what is damaged in the log of `database`; "" if nothing is. Nobody may have it open.

    Raises DamageError if the log is no file, and OSError.
    """
    index = _read_index(_read(database, "-shm"))
    content = _read(database, "-wal")
    salts, whole, last = _read_log(content)
    if index is not None:
        index_salts, frames, copied = index
        if not content and frames > copied:
            return f"its write-ahead log with {frames} frames is gone"
        if content and (salts is None or salts == index_salts):
            last = max(last, frames)
    if salts is None and len(content) > _HEADER.size + _FRAME.size:
        return "the head of its write-ahead log is damaged"
    if whole < last:
        return f"frame {whole + 1} of {last} in its write-ahead log is damaged, so what was committed there and after it is lost"
    return ""


def _read(database: Path, end: str) -> bytes:
    try:
        return read_whole(database.with_name(f"{database.name}{end}"), _MOST_BYTES)
    except FileNotFoundError:
        return b""


def _read_log(content: bytes) -> tuple[tuple[int, int] | None, int, int]:
    """Return the salts, None without a head that is whole, the number of whole frames, and that of the last commit."""
    if len(content) < _HEADER.size:
        return None, 0, 0
    magic, _, page, _, salt1, salt2, *check = _HEADER.unpack_from(content)
    order = ">" if magic & 1 else "<"
    sums = _add(content[: _HEADER.size - 8], order, (0, 0))
    if magic & ~1 != _MAGIC or list(sums) != check or not 512 <= page <= 65536:
        return None, 0, 0
    salts = (salt1, salt2)
    starts = range(_HEADER.size, len(content) - page - _FRAME.size + 1, page + _FRAME.size)
    heads = [_FRAME.unpack_from(content, start) for start in starts]
    last = max((number for number, head in enumerate(heads, 1) if head[1] and head[2:4] == salts), default=0)
    for whole, (start, head) in enumerate(zip(starts, heads, strict=True)):
        if whole == last:
            break
        sums = _add(content[start : start + 8], order, sums)
        sums = _add(content[start + _FRAME.size : start + _FRAME.size + page], order, sums)
        if head[2:4] != salts or head[4:] != sums:
            return salts, whole, last
    return salts, last, last


def _read_index(content: bytes) -> tuple[tuple[int, int], int, int] | None:
    """Return the salts, the number of frames, and how many of them are in the database already; None if it is not whole."""
    if len(content) < _COPIED.size + _COPIED_AT or content[: _INDEX.size] != content[_INDEX.size : 2 * _INDEX.size]:
        return None
    values = _INDEX.unpack_from(content)
    order = "<" if sys.byteorder == "little" else ">"
    if values[0] != _INDEX_VERSION or _add(content[: _INDEX.size - 8], order, (0, 0)) != values[-2:]:
        return None
    salts = struct.unpack_from(">2I", content, _SALTS_AT)
    return (salts[0], salts[1]), values[_FRAMES], _COPIED.unpack_from(content, _COPIED_AT)[0]


def _add(content: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
