"""What a benchmark is, how it is measured, and how it is shown.

The machine may be busy and its clock may change while we measure, so: CPU time instead of wall time, one round of
ours and one of the floor in turn, and the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from enum import Enum


class Comparison(Enum):
    """What is put beside the target, of one round of ours and one of the floor."""

    TIMES = "<"
    """How many times the floor's."""
    RATE = ">="
    """Which part of the floor's rate is reached."""
    EXTRA = "< +"
    """What comes on top of the floor's."""

    def of(self, ours: float, floor: float) -> float:
        if self is Comparison.EXTRA:
            return ours - floor
        return floor / ours if self is Comparison.RATE else ours / floor


@dataclass(frozen=True)
class Pair:
    """One round each of ours and of the floor: both answer seconds (of CPU, unless said) for one unit of work."""

    ours: Callable[[], float]
    floor: Callable[[], float]


@dataclass(frozen=True)
class Benchmark:
    """One measurement. `open` (given: whether to be quick) sets the stage and cleans up after it.

    `target` is for what `compare` makes of a round; `peers` are the ratios of others to the same floor, as the
    project's issue names them: they were measured elsewhere. `show` is for the figures of both sides.
    """

    name: str
    unit: str
    floor: str
    target: float
    open: Callable[[bool], AbstractContextManager[Pair]]
    peers: Mapping[str, float] = field(default_factory=dict)
    rounds: int = 15
    quick_rounds: int = 3
    compare: Comparison = Comparison.TIMES
    show: Callable[[float], str] = lambda seconds: shown(seconds)


@dataclass(frozen=True)
class Result:
    """What came out: seconds of CPU per unit, their ratio and its spread."""

    name: str
    unit: str
    ours: float
    floor: float
    ratio: float
    lowest: float
    highest: float
    target: float
    rounds: int
    peers: Mapping[str, float]
    compare: Comparison = Comparison.TIMES
    show: Callable[[float], str] = lambda seconds: shown(seconds)

    @property
    def met(self) -> bool:
        return self.ratio >= self.target if self.compare is Comparison.RATE else self.ratio < self.target

    def as_json(self) -> dict[str, object]:
        values = asdict(self)
        del values["show"]
        return {**values, "compare": self.compare.name.lower(), "met": self.met}


def measure(benchmark: Benchmark, quick: bool) -> Result:
    """Interleaved rounds, A B B A: neither side always goes second."""
    ours: list[float] = []
    floor: list[float] = []
    rounds = benchmark.quick_rounds if quick else benchmark.rounds
    with benchmark.open(quick) as pair:
        pair.ours(), pair.floor()  # caches, connections, compiled modules
        for number in range(rounds):
            sides = [(ours, pair.ours), (floor, pair.floor)]
            for seen, side in sides if number % 2 == 0 else reversed(sides):
                seen.append(side())
    ratios = sorted(map(benchmark.compare.of, ours, floor))
    quarter = len(ratios) // 4
    return Result(
        benchmark.name,
        benchmark.unit,
        statistics.median(ours),
        statistics.median(floor),
        statistics.median(ratios),
        ratios[quarter],
        ratios[-1 - quarter],
        benchmark.target,
        rounds,
        benchmark.peers,
        benchmark.compare,
        benchmark.show,
    )


def cpu_of(work: Callable[[], object], times: int = 1) -> Callable[[], float]:
    """A side of a Pair: CPU seconds (user and system, this process only) of one `work()`, the mean of `times`."""

    def side() -> float:
        gc.collect()
        started = time.process_time()
        for _ in range(times):
            work()
        return (time.process_time() - started) / times

    return side


def cpu_of_child(run: Callable[[], object]) -> Callable[[], float]:
    """A side of a Pair: CPU seconds of the processes that `run` starts and waits for."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def side() -> float:
        before = used()
        run()
        return used() - before

    return side


HEADER = f"{'benchmark':<22} {'ours':>10} {'floor':>10}   {'RATIO':>6} {'(middle half)':<15} {'target':>6}"


def line(result: Result) -> str:
    """A result as one line of the table under HEADER."""

    def compared(value: float) -> str:
        return result.show(value) if result.compare is Comparison.EXTRA else f"{value:.2f}"

    spread = f"({compared(result.lowest)}-{compared(result.highest)})"
    target = result.show(result.target) if result.compare is Comparison.EXTRA else f"{result.target:g}"
    verdict = "ok" if result.met else "MISSED"
    peers = ", ".join(f"{name} {ratio:g}" for name, ratio in result.peers.items())
    return (
        f"{result.name:<22} {result.show(result.ours):>10} {result.show(result.floor):>10}   "
        f"{compared(result.ratio):>6} {spread:<15} {result.compare.value + target:>6}  {verdict:<6}  "
        f"per {result.unit}; peers: {peers or 'none named'}"
    )


def shown(seconds: float) -> str:
    """A time with a unit that fits."""
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
