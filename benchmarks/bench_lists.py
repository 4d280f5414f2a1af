"""Large lists, every State read, against json.loads of the same bytes: the time, and the memory that is kept then."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import bodies
from .harness import Benchmark, Pair, cpu_of
from .stub import Stub, client_of


@contextmanager
def open_jobs(quick: bool) -> Iterator[Pair]:
    body = bodies.jobs(1_000 if quick else 10_000)
    client = client_of(Stub(body))

    def ours() -> int:
        return sum(job.State == "Finished" for job in client.list_jobs())

    assert ours() == body.count(b'"Terminated"')
    yield Pair(cpu_of(ours), cpu_of(lambda: json.loads(body)))


@contextmanager
def open_tasks(quick: bool) -> Iterator[Pair]:
    body = bodies.tasks(1, 1_000 if quick else 100_000)
    client = client_of(Stub(body))

    def ours() -> int:
        tasks = client.list_tasks("job-1")
        return sum(instance.State == "Finished" for task in tasks for instance in task.InstanceList)

    assert ours() == body.count(b'"State":3,')
    yield Pair(cpu_of(ours), cpu_of(lambda: json.loads(body)))


@contextmanager
def open_memory(quick: bool, of_tasks: bool) -> Iterator[Pair]:
    body = bodies.tasks(1, 1_000 if quick else 100_000) if of_tasks else bodies.jobs(1_000 if quick else 10_000)
    stub = Stub(b"")
    client = client_of(stub)

    def kept(make: Callable[[], object]) -> Callable[[], float]:
        def side() -> float:
            gc.collect()
            tracemalloc.start()
            try:
                result = make()
                gc.collect()
                size = tracemalloc.get_traced_memory()[0]
                del result
                return float(size)
            finally:
                tracemalloc.stop()

        return side

    def ours() -> object:
        stub.answer(bytes(bytearray(body)))  # as it comes from a connection
        jobs = [] if of_tasks else client.list_jobs()
        tasks = client.list_tasks("job-1") if of_tasks else []
        stub.answer(b"")
        assert all(job.State for job in jobs)
        assert all(instance.State for task in tasks for instance in task.InstanceList)
        return jobs, tasks

    yield Pair(kept(ours), kept(lambda: json.loads(body)))


def megabytes(size: float) -> str:
    return f"{size / 1e6:.2f} MB"


LIST_JOBS = Benchmark(
    "list_jobs",
    "list of 10,000 jobs, every State read",
    "json.loads of the same bytes",
    target=0.5,
    open=open_jobs,
    peers={"original SDK": 6.3},
)
LIST_TASKS = Benchmark(
    "list_tasks",
    "list of 1 task with 100,000 instances, every State read",
    "json.loads of the same bytes",
    target=0.5,
    open=open_tasks,
    peers={"original SDK": 22.0},
)
LIST_JOBS_MEMORY = Benchmark(
    "list_jobs_memory",
    "list of 10,000 jobs, kept after every State was read; memory",
    "the dicts that json.loads makes",
    target=0.7,
    open=lambda quick: open_memory(quick, of_tasks=False),
    rounds=1,
    quick_rounds=1,
    show=megabytes,
)
LIST_TASKS_MEMORY = Benchmark(
    "list_tasks_memory",
    "list of 1 task with 100,000 instances, likewise",
    LIST_JOBS_MEMORY.floor,
    target=0.7,
    open=lambda quick: open_memory(quick, of_tasks=True),
    rounds=1,
    quick_rounds=1,
    show=megabytes,
)
