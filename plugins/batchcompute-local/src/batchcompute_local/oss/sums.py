"""The CRC64 of an object that has none yet, computed while a request waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from batchcompute_local.objects.records import Object
from batchcompute_local.objects.sums import add_block, is_unchanged, keep
from batchcompute_local.oss.calls import Call
from batchcompute_local.oss.conditions import check_conditions

T = TypeVar("T")


async def find_with_sum(call: Call) -> Object | None:
    """Return the object with its CRC64; without, if it changed meanwhile; None if absent. Raises OssError of the conditions.

    A thread is taken for a block at a time.
    """
    opened = await call.run(call.store.find_open, call.bucket, call.key)
    if opened is None:
        return None
    found, content = opened
    try:
        check_conditions(call.headers, found)  # again: another object may have taken its place
        crc: int | None = found.crc
        if crc is None:
            crc, offset, size = 0, 0, 1
            while size and crc is not None:
                size, crc = await _wait(call.run(add_block, content, offset, crc))
                offset += size
            if (
                crc is None
                or offset != found.size
                or not await _wait(call.run(is_unchanged, call.store, found, content))
            ):
                return found
            await call.run(keep, call.store, found, crc)
        return replace(found, crc=crc)
    finally:
        await asyncio.shield(call.run(content.close))


async def _wait(reading: Coroutine[Any, Any, T]) -> T:
    """Wait for a thread that reads, also when the request is cancelled: then the file may be closed."""
    task = asyncio.ensure_future(reading)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait([task])
