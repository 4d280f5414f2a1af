"""A recorded session of 1,000 exchanges, replayed: ours against vcrpy by itself, which looks through all of them for each."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchcompute import Client
from batchcompute.testing import replay
from batchcompute.testing.cassette import BASE, Exchange, write_cassette
from batchcompute.wire import Response

from . import bodies
from .bare import Bare
from .harness import Benchmark, Pair, cpu_of
from .stub import HEADERS


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    import vcr

    logging.getLogger("vcr").setLevel(logging.WARNING)
    count = 50 if quick else 1_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.yaml"
        write_cassette(
            path,
            [
                Exchange("GET", f"/jobs/job-{number}", Response(200, HEADERS, bodies.dumps(bodies.job(number))))
                for number in range(count)
            ],
        )

        def ours() -> None:
            with replay.use_cassette(path, "replay") as plugin, Client("cn-qingdao", plugins=[plugin]) as client:
                for number in range(count):
                    assert client.get_job(f"job-{number}").Priority == number % 1001

        def theirs() -> None:
            with vcr.use_cassette(str(path), record_mode="none"):
                bare = Bare(BASE, "testid", "testsecret")
                for number in range(count):
                    assert bare.get_job(f"job-{number}")["Priority"] == number % 1001

        yield Pair(cpu_of(ours), cpu_of(theirs))


BENCHMARK = Benchmark(
    "replay",
    "session of 1,000 get_job, from the file to the last answer",
    "vcrpy's use_cassette and bare urllib3, with the same file",
    target=0.05,
    open=open_pair,
    rounds=2,
    quick_rounds=1,
)
