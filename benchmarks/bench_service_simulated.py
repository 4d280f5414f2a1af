"""The engine and the store alone: a job of a million instances, none of which has a program. See `simulation`.

The rate, in wall time, against SQLite that does one plain UPDATE for each transition, as many to a commit; then what each
instance of a larger job costs, in time and in memory, against those of a job of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median

from .harness import Benchmark, Comparison, Pair
from .simulation import BATCH, simulate, simulate_once

_MANY, _SOME, _FEW = 1_000_000, 100_000, 1_000
_QUICK = 10_000
_TIMES = 5


def _opener(
    ours: Callable[[int], float], floor: Callable[[int], float], count: int
) -> Callable[[bool], AbstractContextManager[Pair]]:
    @contextmanager
    def open_pair(quick: bool) -> Iterator[Pair]:
        number = min(count, _QUICK) if quick else count
        yield Pair(lambda: ours(number), lambda: floor(number))

    return open_pair


def _seconds(count: int) -> float:
    return simulate_once(count)["seconds"]


def _bytes(count: int) -> float:
    return simulate_once(count)["bytes"]


def _few_seconds(_: int) -> float:
    return median(simulate(_FEW)["seconds"] for _ in range(_TIMES))


TRANSITIONS = Benchmark(
    "service_transitions",
    f"instance of {_MANY:,}, two transitions each, {BATCH} to a commit; wall time",
    "one plain UPDATE of SQLite for each transition, as many to a commit",
    target=0.2,
    open=_opener(_seconds, lambda count: simulate_once(count, "plain")["seconds"], _MANY),
    rounds=1,
    quick_rounds=1,
    compare=Comparison.RATE,
)


def _growth(name: str, count: int) -> Benchmark:
    return Benchmark(
        name,
        f"instance of {count:,}, simulated; wall time",
        f"the same of a job of {_FEW:,}",
        target=1.2,
        open=_opener(_seconds, _few_seconds, count),
        rounds=3,
        quick_rounds=1,
    )


GROWTH_100K = _growth("service_growth_100k", _SOME)
GROWTH_1M = _growth("service_growth_1m", _MANY)
MEMORY = Benchmark(
    "service_growth_memory",
    f"process at its most, {_MANY:,} instances simulated",
    f"the same with {_FEW:,}",
    target=1.2,
    open=_opener(_bytes, lambda _: simulate_once(_FEW)["bytes"], _MANY),
    rounds=1,
    quick_rounds=1,
    show=lambda size: f"{size / 1e6:.0f} MB",
)
