"""Threads that wait for the disk."""

from __future__ import annotations

import threading
import time

import pytest
from batchcompute_local.oss import threads
from batchcompute_local.oss.threads import Threads


def test_work_is_done_by_few_threads() -> None:
    pool = Threads(2, "test")
    names = {pool.submit(lambda: threading.current_thread()).result(5) for _ in range(5)}
    assert len(names) <= 2
    assert pool.submit(int, "5").result(5) == 5
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "x").result(5)
    both = threading.Barrier(2, timeout=5)
    together = [pool.submit(both.wait) for _ in range(2)]
    assert sorted(each.result(5) for each in together) == [0, 1]
    pool.shutdown()
    assert all(not thread.is_alive() for thread in pool._threads)


def test_a_thread_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_END_SECONDS", 0.1)
    pool, release = Threads(2, "test"), threading.Event()
    pool.submit(release.wait)
    begun = time.monotonic()
    pool.shutdown()
    assert time.monotonic() - begun < 3
    assert all(thread.daemon for thread in pool._threads)
    release.set()
