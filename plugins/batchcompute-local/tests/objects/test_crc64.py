"""CRC-64 and its parts."""

from __future__ import annotations

import pytest
from batchcompute_local.objects import crc64
from hypothesis import given, settings, strategies as st


def test_the_check_value() -> None:
    assert crc64.update(0, b"123456789") == 0x995DC9BBDF1939FA
    assert crc64.update(crc64.update(0, b"1234"), bytearray(b"56789")) == 0x995DC9BBDF1939FA
    assert crc64.update(7, b"") == crc64.update(7, bytearray()) == 7


@given(st.lists(st.binary(max_size=300), max_size=5))
@settings(max_examples=50)
def test_parts_in_a_row(parts: list[bytes]) -> None:
    found = crc64.combine([(crc64.update(0, part), len(part)) for part in parts])
    assert found == crc64.update(0, b"".join(parts))


def test_a_large_part() -> None:
    zeros = bytes(5_000_000)
    assert crc64.combine([(crc64.update(0, b"x"), 1), (crc64.update(0, zeros), len(zeros))]) == crc64.update(
        0, b"x" + zeros
    )


def test_a_machine_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crc64, "_library", lambda: None)
    assert crc64.update(0, b"x") is None
    assert crc64.combine([(0, 0), (None, 5)]) is None
