"""Calls per second of 16 threads that share one Client, against 16 that share one pool of urllib3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from batchcompute import Client, Config, TransportConfig

from .bare import Bare
from .harness import Benchmark, Comparison, Pair
from .loopback import server

THREADS = 16


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    calls = 10 if quick else 60
    config = Config(transport=TransportConfig(pool_size=THREADS))
    with server() as port, ThreadPoolExecutor(THREADS) as threads:
        url = f"http://127.0.0.1:{port}"
        bare = Bare(url, "testid", "testsecret", pool_size=THREADS)

        def side(call: Callable[[str], object]) -> Callable[[], float]:
            def work(number: int) -> None:
                for _ in range(calls):
                    call(f"job-{number}")

            def run() -> float:
                started = time.perf_counter()
                list(threads.map(work, range(THREADS)))
                return (time.perf_counter() - started) / (calls * THREADS)

            return run

        with Client(url, "testid", "testsecret", config=config) as client:
            yield Pair(side(client.get_job), side(bare.get_job))


BENCHMARK = Benchmark(
    "threads",
    "get_job, 16 threads at once; wall time, so calls per second",
    "the same with one urllib3.PoolManager of 16 connections",
    target=1.3,
    open=open_pair,
    rounds=31,
    compare=Comparison.RATE,
)
