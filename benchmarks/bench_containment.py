"""One trivial program, from its order until the runner has reported its end: in a cgroup against without; in wall time.

Both sides are real runners, and the program is /bin/true. Once in a row, and once after a second of rest, when the caches
are cold and the cores asleep. Where no cgroup is writable both sides are the same.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from batchcompute_local import unixsocket
from batchcompute_local.containment import AUTO, OFF
from batchcompute_local.paths import Layout
from batchcompute_local.process.spawning import spawn_runner
from batchcompute_local.records import Acknowledge, End, ExitRecord, Order, Start, encode, read_event, read_greeting

from .harness import Benchmark, Comparison, Pair

_TARGET_SECONDS = 0.0003
_REST_SECONDS = 1.0
# what the service gives its programs is as large as this
_ENVIRONMENT = {f"BATCH_COMPUTE_DAG_VARIABLE_{number}": "x" * 30 for number in range(25)}


@contextmanager
def _runner(containment: str) -> Iterator[Callable[[], float]]:
    """Start a runner; yield what runs one program and returns the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        layout = Layout.at(folder)
        pid = spawn_runner(layout, "job-bench", 600.0, containment)
        stack.callback(os.waitpid, pid, 0)
        channel = stack.enter_context(unixsocket.connect(layout.runner_socket, 20.0))
        stack.callback(channel.sendall, encode(End()))
        lines = stack.enter_context(channel.makefile("rb"))
        read_greeting(json.loads(lines.readline()))
        numbers = iter(range(1 << 30))

        def run() -> float:
            attempt = f"job-bench.0.{next(numbers)}.1"
            out, err = (f"{folder}/{stream}" for stream in ("stdout", "stderr"))
            order = Order(attempt, ("/bin/true",), folder, _ENVIRONMENT, out, err, timeout=60.0, grace_seconds=5.0)
            begun = time.perf_counter()
            channel.sendall(encode(Start((order,), 1)))
            while not any(isinstance(event, ExitRecord) for event in map(read_event, json.loads(lines.readline()))):
                pass
            seconds = time.perf_counter() - begun
            channel.sendall(encode(Acknowledge((attempt,))))
            return seconds

        yield run


def _opener(times: int, rest: float) -> Callable[[bool], AbstractContextManager[Pair]]:
    @contextmanager
    def open_pair(quick: bool) -> Iterator[Pair]:
        def side(run: Callable[[], float]) -> Callable[[], float]:
            def measure() -> float:
                seconds = []
                for _ in range(times):
                    time.sleep(rest)
                    seconds.append(run())
                return statistics.median(seconds)

            return measure

        with _runner(AUTO) as contained, _runner(OFF) as plain:
            yield Pair(side(contained), side(plain))

    return open_pair


def _show(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def _benchmark(name: str, unit: str, times: int, rest: float) -> Benchmark:
    return Benchmark(
        name,
        unit,
        "the same without a cgroup",
        target=_TARGET_SECONDS,
        open=_opener(times, rest),
        compare=Comparison.EXTRA,
        show=_show,
    )


IN_A_ROW = _benchmark("containment_row", "program; wall time", 200, 0.0)
ALONE = _benchmark("containment_alone", "program after a second of rest; wall time", 1, _REST_SECONDS)
