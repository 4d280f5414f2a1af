"""One job of one trivial instance, from before its submission until `wait` has returned; in wall time.

The service runs and its package was used before. The floor makes a folder and two files, spawns and waits, and does the two
commits that such a job waits for, on the same disk. Twice: with a Python that prints, as a user's shortest program does, and with
/bin/true, which is over before anybody has turned round.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from .bench_service_stage import PROGRAM, floor, stage
from .harness import Benchmark, Comparison, Pair
from .simulation import commit_seconds


def _opener(program: str) -> Callable[[bool], AbstractContextManager[Pair]]:
    @contextmanager
    def open_pair(quick: bool) -> Iterator[Pair]:
        times = 5 if quick else 40
        with stage(program) as service:
            folder = service.data / "direct"
            folder.mkdir()

            def ours() -> float:
                return statistics.median(service.run({"Task": {}}) for _ in range(times))

            def theirs() -> float:
                return floor(folder, times, slots=1, program=program) + commit_seconds(folder, times)

            yield Pair(ours, theirs)

    return open_pair


def _latency(name: str, program: str, called: str) -> Benchmark:
    return Benchmark(
        name,
        "job of one instance; wall time",
        f"a folder, two files, {called} spawned and waited for, and the two commits",
        target=0.002,
        open=_opener(program),
        rounds=9,
        compare=Comparison.EXTRA,
    )


PYTHON = _latency("service_latency", sys.executable, "a Python that prints")
TRUE = _latency("service_latency_true", PROGRAM, PROGRAM)
