"""list_jobs of 10,000 jobs through the Client, which reads the answer too, against json.dumps of what is in it.

In wall time, since the service is another process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .bench_service_stage import stage
from .harness import Benchmark, Pair

_TIMES = 3
_NUMBERS = [
    f"Num{state}{part}"
    for state in ("Failed", "Finished", "Running", "Stopped", "Total", "Waiting")
    for part in ("Instance", "Task")
]
_TIMES_OF_JOB = ("CreateTime", "StartTime", "EndTime")
_JOB = {
    "Description": "",
    "Name": "bench",
    "OwnerId": 1000,
    "Priority": 1,
    "ResourceId": "job-" + "0" * 32,
    "State": "Terminated",
    "TotalTime": 0,
    **dict.fromkeys(_NUMBERS, 1),
    **dict.fromkeys(_TIMES_OF_JOB, 1_700_000_000),
}
"""As the service answers it."""


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    count = 200 if quick else 10_000
    with stage() as service:
        service.multiply(count)
        jobs = {f"job-{n:032X}": _JOB for n in range(count)}

        def ours() -> float:
            started = time.perf_counter()
            for _ in range(_TIMES):
                assert len(service.client.list_jobs()) == count
            return (time.perf_counter() - started) / _TIMES

        def floor() -> float:
            started = time.perf_counter()
            for _ in range(_TIMES):
                json.dumps(jobs)
            return (time.perf_counter() - started) / _TIMES

        yield Pair(ours, floor)


BENCHMARK = Benchmark(
    "service_list_jobs", "list of 10,000 jobs; wall time", "json.dumps of the same jobs", target=1.2, open=open_pair
)
