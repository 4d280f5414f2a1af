"""One get_job over a connection that is kept open, against bare urllib3 with the same signature."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from batchcompute import Client

from .bare import Bare
from .harness import Benchmark, Pair, cpu_of
from .loopback import server


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    times = 50 if quick else 100
    with server() as port:
        url = f"http://127.0.0.1:{port}"
        bare = Bare(url, "testid", "testsecret")
        with Client(url, "testid", "testsecret") as client:
            assert client.get_job("job-1").State == bare.get_job("job-1")["State"]
            yield Pair(
                cpu_of(lambda: client.get_job("job-1").State, times),
                cpu_of(lambda: bare.get_job("job-1")["State"], times),
            )


BENCHMARK = Benchmark(
    "get_job",
    "get_job",
    "urllib3.PoolManager.request with the same signature, json.loads",
    target=0.6,
    open=open_pair,
    peers={"original SDK": 1.0, "botocore": 3.0, "azure-core": 3.4},
    rounds=101,
)
