"""Submitting a graph of 1,000 tasks, each of them validated, against compact json.dumps of the same plain dict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from batchcompute import JobDescription

from . import bodies
from .harness import Benchmark, Pair, cpu_of
from .stub import Stub, client_of


@contextmanager
def open_pair(quick: bool, from_dict: bool) -> Iterator[Pair]:
    plain = bodies.description(200 if quick else 1_000)
    stub = Stub(b'{"ResourceId":"job-1"}', status=201)
    client = client_of(stub)
    described = plain if from_dict else JobDescription(plain)

    def floor() -> bytes:
        return json.dumps(plain, separators=(",", ":")).encode("ascii")

    assert client.create_job(described).JobId == "job-1"
    assert json.loads(stub.sent) == plain
    yield Pair(cpu_of(lambda: client.create_job(described)), cpu_of(floor, times=10))


FROM_DESCRIPTION = Benchmark(
    "create_job",
    "create_job of a JobDescription with 1,000 tasks, every one validated",
    "compact json.dumps of the same plain dict",
    target=2.0,
    open=lambda quick: open_pair(quick, from_dict=False),
    peers={"original SDK (validates no task)": 56.0},
)
FROM_DICT = Benchmark(
    "create_job_from_dict",
    "the same from a plain dict, so with every property checked and copied",
    FROM_DESCRIPTION.floor,
    target=3.0,
    open=lambda quick: open_pair(quick, from_dict=True),
    peers=FROM_DESCRIPTION.peers,
)
