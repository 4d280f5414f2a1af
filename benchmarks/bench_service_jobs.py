"""Large jobs of a trivial program, against a loop that makes a folder and two files and spawns it; in wall time.

Both have two slots. Ours includes the submission, the wait for the end, and what keeps every step on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .bench_service_stage import LIMIT_BYTES, floor, stage
from .harness import Benchmark, Comparison, Pair

Dag = tuple[Mapping[str, Mapping[str, Any]], Mapping[str, list[str]]]
_QUICK_COUNT = 300
_WIDTH = 100


def one_task(count: int) -> Dag:
    """All in one task."""
    return {"Task": {"InstanceCount": count}}, {}


def fan(count: int) -> Dag:
    """One task, then `count` tasks, then one that waits for all of them."""
    names = [f"Part{n}" for n in range(count)]
    return (
        {name: {} for name in ("Split", *names, "Merge")},
        {"Split": names, **{name: ["Merge"] for name in names}},
    )


def graph(count: int) -> Dag:
    """Layers of 100 tasks; each task waits for two of the layer before."""
    followers = {}
    for n in range(count - _WIDTH):
        layer, place = divmod(n, _WIDTH)
        after = [(layer + 1) * _WIDTH + (place + step) % _WIDTH for step in (0, 1)]
        followers[f"Task{n}"] = [f"Task{number}" for number in after if number < count]
    return {f"Task{n}": {} for n in range(count)}, followers


def _opener(shape: Callable[[int], Dag], count: int) -> Callable[[bool], AbstractContextManager[Pair]]:
    @contextmanager
    def open_pair(quick: bool) -> Iterator[Pair]:
        number = min(count, _QUICK_COUNT) if quick else count
        tasks, dependencies = shape(number)
        with stage() as service:
            yield Pair(lambda: service.run(tasks, dependencies), lambda: floor(service.data, number))

    return open_pair


def _benchmark(name: str, shape: Callable[[int], Dag], count: int, rounds: int) -> Benchmark:
    return Benchmark(
        name,
        f"instance of {count}; wall time",
        "a loop that keeps two /bin/true running, each with a folder and two files",
        target=0.6 if shape is one_task else 0.35,
        open=_opener(shape, count),
        peers={"make": 0.86, "parsl": 0.43, "Ray": 0.37, "Dask": 0.34, "luigi": 0.06, "Slurm": 0.003},
        rounds=rounds,
        quick_rounds=1,
        compare=Comparison.RATE,
    )


INSTANCES = _benchmark("service_instances", one_task, 10_000, 3)
FAN = _benchmark("service_fan", fan, 500, 9)
GRAPH = _benchmark("service_graph", graph, 5_000, 3)


@contextmanager
def _open_memory(quick: bool) -> Iterator[Pair]:
    count = _QUICK_COUNT if quick else 5_000
    with stage() as service:

        def highest() -> float:
            for shape in (graph, one_task):
                service.run(*shape(count))
            return service.memory("VmHWM")

        yield Pair(highest, lambda: LIMIT_BYTES)


MEMORY = Benchmark(
    "service_memory",
    "daemon, its most while it runs such jobs",
    "the limit",
    target=1.0,
    open=_open_memory,
    rounds=1,
    quick_rounds=1,
    show=lambda size: f"{size / 1e6:.0f} MB",
)
