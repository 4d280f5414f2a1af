"""Answers to requests that only read, with a limit on the bytes that wait for clients.

A few threads make them, from what was committed last; who asks for more waits for a thread. A list of jobs is read in pages, one
at a time as the client takes them. Any other large answer is of one moment: it is made at once, and packed until the client
takes it. That of list_tasks is packed while its rows are read.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from batchcompute_local.errors import ServiceError
from batchcompute_local.http.logs import read_piece
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.log_choice import LogChoice
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.service import write_jobs, write_tasks
from batchcompute_local.paths import Layout

T = TypeVar("T")
Run = Callable[[Reading], Any]

_AT_ONCE = 3
_PIECE = 256 << 10
_ESCAPE = "batchcompute.json"
"""Encodes what is not ASCII as JSON does in its strings."""


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101  # for mypy: it is for `encode` only
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPE, _escape)


class Pieces:
    """A body in pieces; `length` is None if it is not known before the end."""

    def __init__(self, pieces: AsyncIterator[bytes], length: int | None = None) -> None:
        self.pieces = pieces
        self.length = length


def dump(value: Any) -> bytes:
    """Return `value` as JSON; ASCII only: the original SDK cannot read anything else (protocol 1.5)."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


class Reads:
    """Makes answers in threads. A wait for a thread ends after `seconds`."""

    def __init__(self, engine: Engine, layout: Layout, seconds: float) -> None:
        self._engine = engine
        self._layout = layout
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_AT_ONCE, "reading")

    async def find(self, run: Callable[[Reading], T]) -> T:
        """Return what `run` returns, over what was committed last. Raises ServiceError."""
        return await self._call(lambda: self._engine.recall(run))

    async def recall(self, run: Run) -> bytes | Pieces:
        """Return what `run` reads of what was committed last. Raises ServiceError."""
        return _as_body(await self._call(lambda: _pack([dump(self._engine.recall(run))])))

    async def explain(self, run: Run) -> bytes | Pieces:
        """Return what `run` reads, which asks why something waits. Raises ServiceError."""
        return _as_body(await self._call(lambda: _pack([dump(self._engine.explain(run))])))

    async def log(self, choose: Callable[[Reading], LogChoice]) -> bytes:
        """Return the piece of a log that `choose` finds. Raises ServiceError."""
        return await self._call(lambda: dump(read_piece(self._layout, self._engine.recall(choose))))

    async def jobs(self, owner: int) -> bytes | Pieces:
        """Return all jobs of `owner`. Each page is of one moment. Raises ServiceError."""
        first, after = await self._page(owner, 0)
        return Pieces(self._pages(owner, first, after)) if after else b"{" + first + b"}"

    async def tasks(self, owner: int, job_id: str) -> bytes | Pieces:
        """Return the tasks of a job, all of one moment. Raises ServiceError."""

        def read(reading: Reading) -> bytes | tuple[list[bytes], int]:
            return _pack(text.encode("ascii") for text in write_tasks(reading, owner, job_id))

        return _as_body(await self._call(lambda: self._engine.recall(read)))

    async def _pages(self, owner: int, page: bytes, after: int) -> AsyncIterator[bytes]:
        yield b"{" + page
        while after:
            page, after = await self._page(owner, after)
            if page:
                yield b"," + page
        yield b"}"

    async def _page(self, owner: int, after: int) -> tuple[bytes, int]:
        def read() -> tuple[bytes, int]:
            text, last = self._engine.recall(lambda reading: write_jobs(reading, owner, after, _PIECE))
            return text.encode("ascii", _ESCAPE), last

        return await self._call(read)

    async def _call(self, make: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, make)
        except TimeoutError:
            message = "The service makes other large answers; send it again later."
            raise ServiceError(503, "ServiceUnavailable", message, retry_after=1) from None
        except sqlite3.Error as error:
            message = f"The service cannot read its state: {error}."
            raise ServiceError(503, "ServiceUnavailable", message, retry_after=1) from error


def _pack(texts: Iterable[bytes]) -> bytes | tuple[list[bytes], int]:
    """Return a small body as it is; a large one packed, piece by piece as its `texts` come, with its length."""
    packed: list[bytes] = []
    left = bytearray()
    for text in texts:
        left += text
        while len(left) > _PIECE:
            packed.append(zlib.compress(left[:_PIECE], 1))
            del left[:_PIECE]
    if not packed:
        return bytes(left)
    return [*packed, zlib.compress(left, 1)], len(packed) * _PIECE + len(left)


def _as_body(packed: bytes | tuple[list[bytes], int]) -> bytes | Pieces:
    return packed if isinstance(packed, bytes) else Pieces(_unpack(packed[0]), packed[1])


async def _unpack(packed: list[bytes]) -> AsyncIterator[bytes]:
    for piece in packed:
        yield zlib.decompress(piece)
