"""One job of one trivial instance, from before its submission until it is seen to be Finished; in wall time.

The service runs and its package was used before. The floor makes a folder and two files, spawns and waits. Ours is
`create_job` and `wait`, the ways of their requests and answers included.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from .bench_service_stage import floor, stage
from .harness import Benchmark, Comparison, Pair


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    times = 5 if quick else 40
    with stage() as service:
        folder = service.data / "direct"
        folder.mkdir()

        def ours() -> float:
            return statistics.median(service.run({"Task": {}}) for _ in range(times))

        yield Pair(ours, lambda: floor(folder, times, slots=1))


BENCHMARK = Benchmark(
    "service_latency",
    "job of one instance; wall time",
    "a folder, two files, /bin/true spawned and waited for",
    target=0.005,
    open=open_pair,
    rounds=9,
    compare=Comparison.EXTRA,
)
