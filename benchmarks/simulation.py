"""A job of many instances without a single program: engine and store as they are, over an executor that reports ends at once.

`python -m benchmarks.simulation COUNT` runs one such job, after a small one, in a process of its own, and prints what it took
as JSON: `seconds` (wall) and `cpu` for each instance, the part of the time that is `stored` (what the turns spend in the store,
SQLite and the disk), and the highest memory in `bytes`. `plain COUNT` does the same transitions with SQLite alone.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from subprocess import PIPE, run
from typing import Any

from batchcompute_local.executors.base import Exited, Launch, Recovered, Sink
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.store import Store
from batchcompute_local.settings import Settings

from .bench_service_stage import describe

SLOTS = 250
BATCH = 2 * SLOTS
"""Transitions of a commit: as many instances end as begin."""
_WARM = 1000
_LONGEST_SECONDS = 600.0


class _Simulated:
    """Ends every attempt as soon as it is launched."""

    look_ahead = 0

    def open(self, sink: Sink) -> Recovered:
        self._sink = sink
        return Recovered()

    def start(self, launches: Sequence[Launch]) -> None:
        for launch in launches:
            self._sink(Exited(launch.attempt, code=0, started=100.0, ended=102.0, host="host"))

    def stop(self, attempts: Sequence[str]) -> None:
        raise NotImplementedError

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """Nothing is kept."""

    def forget(self, job: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def _timed(call: Callable[..., None], spent: list[float]) -> Callable[..., None]:
    def timed(*arguments: Any) -> None:
        started = time.perf_counter()
        call(*arguments)
        spent.append(time.perf_counter() - started)

    return timed


def _run_engine(folder: Path, count: int, jobs: int = 1) -> float:
    """Run such a job, or several one after the other; return the median of the seconds that each spent in the store."""
    store, service = Store(folder / "state.sqlite3"), Service()
    spent: list[float] = []
    store.commit = _timed(store.commit, spent)  # type: ignore[method-assign]  # measured
    engine = Engine(store, _Simulated(), SLOTS)
    engine.recover()
    description = describe({"Task": {"InstanceCount": count}}, {})
    plan = read_description(json.dumps(description).encode(), Settings())
    sums = []
    for _ in range(jobs):
        spent.clear()
        job = engine.submit(lambda turn: service.create_job(turn, 1, plan))
        engine.turn()
        while engine.active_jobs:
            engine.turn()
        sums.append(sum(spent))
    found = engine.recall(lambda reading: service.list_jobs(reading, 1))
    assert (len(found), found[job.result(0)["ResourceId"]]["NumFinishedInstance"]) == (jobs, count), found
    engine.close()
    return median(sums)


def commit_seconds(folder: Path, jobs: int) -> float:
    """Return the wall seconds of the two commits of a job of one instance: that of its claim, and that of its end."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        return _run_engine(Path(made), 1, jobs)


def _run_plain(folder: Path, count: int) -> float:
    """Do the transitions of such a job with one UPDATE each, as many to a commit; return the seconds."""
    db = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE instances (number INTEGER PRIMARY KEY, state INTEGER, started REAL, ended REAL, code INTEGER)"
    )
    db.execute("BEGIN")
    db.executemany("INSERT INTO instances VALUES (?, 1, 0, 0, NULL)", ((number,) for number in range(count)))
    db.execute("COMMIT")
    started = time.perf_counter()
    for first in range(0, count + SLOTS, SLOTS):
        ended, begun = range(max(first - SLOTS, 0), min(first, count)), range(first, min(first + SLOTS, count))
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "UPDATE instances SET state = 3, ended = ?, code = ? WHERE number = ?", [(2.0, 0, n) for n in ended]
        )
        db.executemany("UPDATE instances SET state = 2, started = ? WHERE number = ?", [(1.0, n) for n in begun])
        db.execute("COMMIT")
    seconds = time.perf_counter() - started
    db.close()
    return seconds


def _measure(work: Callable[[Path, int], float], count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as made:
        for name, number in (("warm", min(_WARM, count)), ("run", count)):
            folder = Path(made, name)
            folder.mkdir()
            started, cpu = time.perf_counter(), time.process_time()
            stored = work(folder, number)
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    if work is _run_plain:
        seconds = stored  # without the rows that are there before
    status = Path("/proc/self/status").read_text()
    memory = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return {"seconds": seconds / count, "cpu": cpu / count, "stored": stored / seconds, "bytes": memory}


def simulate(count: int, kind: str = "") -> dict[str, float]:
    """Measure one run, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.simulation", *([kind] if kind else []), str(count)]
    done = run(command, stdout=PIPE, check=True, timeout=_LONGEST_SECONDS)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@cache
def simulate_once(count: int, kind: str = "") -> dict[str, float]:
    """Return what the one run of this process took that serves several rows, since it takes long."""
    return simulate(count, kind)


if __name__ == "__main__":
    print(json.dumps(_measure(_run_plain if "plain" in sys.argv else _run_engine, int(sys.argv[-1]))))
