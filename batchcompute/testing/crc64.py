"""CRC-64 as OSS computes it (ECMA-182, reflected), for objects that a replayed session has put. Slow: those are small."""

from __future__ import annotations

_POLYNOMIAL = 0xC96C5795D7870F42
_MASK = (1 << 64) - 1


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = [_entry(value) for value in range(256)]


def crc64(data: bytes) -> int:
    """Return the CRC-64 of `data`."""
    crc = _MASK
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _MASK
