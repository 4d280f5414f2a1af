"""A large job of a trivial program on a cluster of four worker processes, against plain Dask on four of its own.

Ours is all that users have: the cluster that the service starts, with TLS, a folder and two logs for each instance, and each
step on the disk. Plain Dask calls the same program, has no TLS, and keeps nothing. One run serves both rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from itertools import cycle
from pathlib import Path

from batchcompute_dask.clusters.starting import end_cluster
from batchcompute_local.client import control
from batchcompute_local.paths import Layout

from .bench_service_stage import PROGRAM, Stage, stage
from .harness import Benchmark, Comparison, Pair
from .plain_dask import Figures, PlainDask, plain_dask

_WORKERS = 4
_COUNT, _QUICK_COUNT, _FIRST_COUNT = int(os.environ.get("BENCH_CLUSTER_INSTANCES", 10_000)), 400, 400
_ROUNDS, _QUICK_ROUNDS = 5, 1
_SETTINGS = f"""\
executor = "dask"
[executors.dask]
cluster = "local"
workers = {_WORKERS}
shared_files = true
[executors.dask.local]
slots = 1
"""


class _Rounds:
    """Both sides, and what each of their rounds needed."""

    def __init__(self, service: Stage, dask: PlainDask, count: int) -> None:
        self._service = service
        self._dask = dask
        self._count = count

    def ours(self) -> Figures:
        """One job; CPU of daemon and bridge."""
        used = _cpu_of_service(self._service)
        took, job = self._service.finish({"Task": {"InstanceCount": self._count}})
        cpu = _cpu_of_service(self._service) - used
        self._service.delete(job)
        return Figures(took / self._count, cpu / self._count)

    def floor(self) -> Figures:
        """One map; CPU of its client."""
        found = self._dask.run(self._count)
        return Figures(found.wall / self._count, found.cpu / self._count)


def _cpu_of_service(service: Stage) -> float:
    """CPU seconds of the daemon and of its bridge until now."""
    pids = [service.daemon]
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            values = (path / "stat").read_text().rpartition(")")[2].split()
            if int(values[1]) == service.daemon and "batchcompute_dask.bridge" in (path / "cmdline").read_text():
                pids.append(int(path.name))
    assert len(pids) == 2, "no bridge"
    found = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(values[11]) + int(values[12]) for values in found) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _both(count: int) -> Iterator[_Rounds]:
    with stage(PROGRAM, _SETTINGS) as service:
        script = service.data / "main.py"
        script.touch()
        try:
            folder = service.data.parent / "plain"
            folder.mkdir()
            with plain_dask(folder, _WORKERS, [PROGRAM, str(script)]) as dask:
                first = _Rounds(service, dask, _FIRST_COUNT)
                first.ours(), first.floor()  # connections, compiled modules, and how long an instance runs
                yield _Rounds(service, dask, count)
        finally:
            _end(service.data)


def _end(data: Path) -> None:
    """End the service, its cluster, and wait for the runners of the nodes."""
    control.stop(data)
    end_cluster(Layout.at(data))
    deadline = time.monotonic() + 20
    while [*data.glob("dask/nodes/*/*/runner.sock")] and time.monotonic() < deadline:
        time.sleep(0.05)


@cache
def _measured(count: int, rounds: int) -> tuple[list[Figures], list[Figures]]:
    """One run serves both rows: rounds of ours and of the floor, A B B A."""
    with _both(count) as both:
        ours: list[Figures] = []
        floor: list[Figures] = []
        for number in range(rounds):
            sides = [(ours, both.ours), (floor, both.floor)]
            for seen, side in sides if number % 2 == 0 else reversed(sides):
                seen.append(side())
    return ours, floor


def _opener(figure: Callable[[Figures], float]) -> Callable[[bool], AbstractContextManager[Pair]]:
    @contextmanager
    def open_pair(quick: bool) -> Iterator[Pair]:
        sides = _measured(_QUICK_COUNT if quick else _COUNT, _QUICK_ROUNDS if quick else _ROUNDS)
        ours, floor = (cycle([side[-1], *side]) for side in sides)  # `measure` leaves the first round out
        yield Pair(lambda: figure(next(ours)), lambda: figure(next(floor)))

    return open_pair


INSTANCES = Benchmark(
    "cluster_instances",
    f"instance of {_COUNT:,} on {_WORKERS} worker processes; wall time",
    "plain Dask: client.map of subprocess.call of the same program, as many worker processes",
    target=1.0,
    open=_opener(lambda figures: figures.wall),
    rounds=_ROUNDS,
    quick_rounds=_QUICK_ROUNDS,
    compare=Comparison.RATE,
)
CPU = Benchmark(
    "cluster_service_cpu",
    f"instance of {_COUNT:,}; daemon and bridge",
    "the process of plain Dask's client in the same rounds",
    target=1e-3,
    open=_opener(lambda figures: figures.cpu),
    rounds=_ROUNDS,
    quick_rounds=_QUICK_ROUNDS,
    compare=Comparison.EXTRA,
)
