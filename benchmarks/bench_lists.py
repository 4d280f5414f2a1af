"""Large lists, every State read, against json.loads of the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
