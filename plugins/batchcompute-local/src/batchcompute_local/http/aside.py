"""Work that may wait for files for ever: in a thread of its own, which holds up neither the event loop nor the end.

No system call on a file can be cancelled, so a thread that waits for ever stays. There are at most 32 of these in a process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
_MOST = 32
_free = threading.BoundedSemaphore(_MOST)


async def do_aside(run: Callable[[], T], seconds: float, name: str) -> T:
    """Return what `run` returns, in a thread with that name. Raises what it raises, and TimeoutError after `seconds`.

    Raises TimeoutError at once if there can be no thread for it, since too many wait already.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        finish: Callable[[], None]
        try:
            finish = _result(answer, run())
        except Exception as error:
            finish = _error(answer, error)
        _free.release()
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(finish)

    if not _free.acquire(blocking=False):
        raise TimeoutError
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:  # the machine has no room for another thread
        _free.release()
        raise TimeoutError from None
    async with asyncio.timeout(seconds):
        return await answer


def _result(answer: asyncio.Future[T], found: T) -> Callable[[], None]:
    return lambda: None if answer.done() else answer.set_result(found)


def _error(answer: asyncio.Future[T], error: Exception) -> Callable[[], None]:
    return lambda: None if answer.done() else answer.set_exception(error)
