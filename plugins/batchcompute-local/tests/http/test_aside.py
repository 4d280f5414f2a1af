"""Work in threads of its own that may wait for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest
from batchcompute_local.http import aside
from batchcompute_local.http.aside import do_aside

_LONG = 30.0


def test_it_returns_and_raises_what_the_work_does() -> None:
    assert asyncio.run(do_aside(lambda: 5, _LONG, "work")) == 5
    with pytest.raises(ZeroDivisionError):
        asyncio.run(do_aside(lambda: 1 // 0, _LONG, "work"))


def test_work_that_hangs_takes_no_more_threads_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "_free", threading.BoundedSemaphore(2))
    begun, answers = threading.Semaphore(0), threading.Event()

    def hang() -> bool:
        begun.release()
        return answers.wait(_LONG)

    async def run() -> None:
        hung = [asyncio.create_task(do_aside(hang, _LONG, "hang")) for _ in range(2)]
        await asyncio.to_thread(lambda: [begun.acquire() for _ in hung])
        with pytest.raises(TimeoutError):
            await do_aside(hang, _LONG, "hang")
        assert not begun.acquire(blocking=False)  # it was not begun
        answers.set()
        assert await asyncio.gather(*hung) == [True, True]
        assert await do_aside(lambda: 5, _LONG, "work") == 5

    asyncio.run(run())


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    free = threading.BoundedSemaphore(1)
    monkeypatch.setattr(aside, "_free", free)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(TimeoutError):
        asyncio.run(do_aside(lambda: 5, _LONG, "work"))
    assert free.acquire(blocking=False)
