"""Work that may wait for files for ever: in a thread of its own, which holds up neither the event loop nor the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def do_aside(run: Callable[[], T], seconds: float, name: str) -> T:
    """Return what `run` returns, in a thread with that name. Raises what it raises, and TimeoutError after `seconds`."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        finish: Callable[[], None]
        try:
            finish = _result(answer, run())
        except Exception as error:
            finish = _error(answer, error)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(finish)

    threading.Thread(target=work, name=name, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await answer


def _result(answer: asyncio.Future[T], found: T) -> Callable[[], None]:
    return lambda: None if answer.done() else answer.set_result(found)


def _error(answer: asyncio.Future[T], error: Exception) -> Callable[[], None]:
    return lambda: None if answer.done() else answer.set_exception(error)
