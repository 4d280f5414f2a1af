"""Logs in pieces: from a byte on, and the last lines, of files that can seek and of streams that cannot."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, strategies as st

from batchcompute import log_pieces
from batchcompute.log_pieces import find_tail, read, read_end, skip
from tests.support.logs import LargeLog


class Stream(io.BytesIO):
    """A stream that gives a byte or two at once, as a socket may."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("seek")

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, 2))


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r"])).map(b"".join), st.integers(0, 8), st.integers(1, 5))
def test_the_last_lines(text: bytes, lines: int, block: int) -> None:
    whole = text.split(b"\n")
    whole = [line + b"\n" for line in whole[:-1]] + ([whole[-1]] if whole[-1] else [])
    right = len(b"".join(whole[: max(0, len(whole) - lines)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_pieces, "BLOCK", block)
        assert find_tail(io.BytesIO(text), lines) == right
        assert find_tail(Stream(text), lines) == right


@pytest.mark.parametrize("kind", [io.BytesIO, Stream])
def test_a_part(kind: type[io.BytesIO]) -> None:
    log = kind(b"0123456789")
    skip(log, 3)
    assert read(log, 4) == b"3456"
    assert read(log, 0) == b""
    assert read(log, 9) == b"789"
    skip(log, 99)
    assert read(log, 5) == b""


@pytest.mark.parametrize("kind", [io.BytesIO, Stream])
def test_the_end(kind: type[io.BytesIO]) -> None:
    assert read_end(kind(b"0123456789"), 4) == b"6789"
    assert read_end(kind(b"0123456789"), 40) == b"0123456789"
    assert read_end(kind(b""), 4) == b""


def test_the_end_of_a_large_log_costs_no_memory() -> None:
    assert read_end(LargeLog(b"end"), 4000) == b"x" * 3997 + b"end"  # type: ignore[arg-type]  # it has what a log needs
