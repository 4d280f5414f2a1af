"""A million instances on ten thousand nodes that only exist in memory, with the real engine and store. See `cluster_simulation`.

What an instance costs there, against one of a job of a thousand on as many nodes: CPU time, with that of the simulator. And the
highest memory of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from statistics import median

from .cluster_simulation import NODES, simulate
from .harness import Benchmark, Pair

_MANY, _FEW = 1_000_000, 1_000
_QUICK = 10_000
_QUICK_NODES = 100
_TIMES = 5
_LIMIT_BYTES = 300e6


@cache
def _once(count: int, nodes: int) -> dict[str, float]:
    """One run serves both rows, since it takes long."""
    return simulate(count, nodes)


def _size(quick: bool) -> tuple[int, int]:
    return (_QUICK, _QUICK_NODES) if quick else (_MANY, NODES)


@contextmanager
def _open_growth(quick: bool) -> Iterator[Pair]:
    count, nodes = _size(quick)
    yield Pair(
        lambda: _once(count, nodes)["cpu"],
        lambda: median(simulate(_FEW, nodes)["cpu"] for _ in range(_TIMES)),
    )


@contextmanager
def _open_memory(quick: bool) -> Iterator[Pair]:
    count, nodes = _size(quick)
    yield Pair(lambda: _once(count, nodes)["bytes"], lambda: _LIMIT_BYTES)


GROWTH = Benchmark(
    "cluster_growth_1m",
    f"instance of {_MANY:,} on {NODES:,} nodes, simulated",
    f"the same of a job of {_FEW:,}",
    target=1.2,
    open=_open_growth,
    rounds=3,
    quick_rounds=1,
)
MEMORY = Benchmark(
    "cluster_memory",
    f"process at its most, {_MANY:,} instances on {NODES:,} nodes simulated",
    "the limit",
    target=1.0,
    open=_open_memory,
    rounds=1,
    quick_rounds=1,
    show=lambda size: f"{size / 1e6:.0f} MB",
)
