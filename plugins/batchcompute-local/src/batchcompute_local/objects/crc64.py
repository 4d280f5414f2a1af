"""CRC-64 as OSS computes it (ECMA-182, reflected; `xz` uses the same), by liblzma, which Python's own lzma module needs."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Iterable
from functools import cache
from typing import BinaryIO

_POLYNOMIAL = 0xC96C5795D7870F42
_BLOCK = 1 << 20
_KNOWN = (b"123456789", 0x995DC9BBDF1939FA)


def update(crc: int | None, data: bytes | bytearray) -> int | None:
    """Return the CRC of what `crc` is of, followed by `data`; 0 is the CRC of nothing. None if it cannot be computed here."""
    function = _library()
    if crc is None or function is None:
        return None
    if isinstance(data, bytes):
        return function(data, len(data), crc)
    size = len(data)
    return function((ctypes.c_char * size).from_buffer(data), size, crc) if size else crc


def of_file(file: BinaryIO) -> int | None:
    """Return the CRC of a file from where it is to its end, block by block. None as `update`. Raises OSError."""
    crc: int | None = update(0, b"")
    while crc is not None and (block := file.read(_BLOCK)):
        crc = update(crc, block)
    return crc


def combine(parts: Iterable[tuple[int | None, int]]) -> int | None:
    """Return the CRC of several pieces in a row; each has its CRC and its size. None if one of them has none."""
    whole = 0
    for crc, size in parts:
        if crc is None:
            return None
        whole = _shift(whole, size) ^ crc
    return whole


def _shift(crc: int, size: int) -> int:
    """Return `crc` as it is after `size` zero bytes, without its complements: a product of matrices over GF(2)."""
    power, left = 0, size
    while left and crc:
        if left & 1:
            crc = _times(_zeros(power), crc)
        left >>= 1
        power += 1
    return crc


@cache
def _zeros(power: int) -> tuple[int, ...]:
    """Return the matrix that stands for 2**power zero bytes."""
    if power == 0:
        bit = (_POLYNOMIAL, *(1 << row for row in range(63)))
        for _ in range(3):
            bit = _square(bit)
        return bit
    return _square(_zeros(power - 1))


def _square(matrix: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(_times(matrix, row) for row in matrix)


def _times(matrix: tuple[int, ...], vector: int) -> int:
    total = 0
    for row in matrix:
        if not vector:
            break
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


@cache
def _library() -> Callable[..., int] | None:
    for name in ("liblzma.so.5", ctypes.util.find_library("lzma"), _own_module()):
        try:
            function = ctypes.CDLL(name).lzma_crc64 if name else None
        except (OSError, AttributeError):
            continue
        if function is None:
            continue
        function.restype = ctypes.c_uint64
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
        if function(_KNOWN[0], len(_KNOWN[0]), 0) == _KNOWN[1]:
            return function
    return None


def _own_module() -> str | None:
    """Return the file of Python's lzma module, which may have the library in it."""
    try:
        import _lzma
    except ImportError:
        return None
    return getattr(_lzma, "__file__", None)
