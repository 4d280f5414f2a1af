"""Fresh processes: to the first answer, against one that does the same with bare urllib3; and to an import of the package."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .harness import Benchmark, Comparison, Pair, cpu_of_child
from .loopback import server

ROOT = Path(__file__).parent.parent

OURS = """\
import sys
from batchcompute import Client
with Client(sys.argv[1], "testid", "testsecret") as client:
    print(client.get_job("job-1").State)
"""
BARE = """\
import sys
from benchmarks.bare import Bare
print(Bare(sys.argv[1], "testid", "testsecret").get_job("job-1")["State"])
"""


@contextmanager
def open_import(quick: bool) -> Iterator[Pair]:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def process(script: str) -> None:
            subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True, timeout=60)

        yield Pair(cpu_of_child(lambda: process("import batchcompute")), cpu_of_child(lambda: process("pass")))


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    with server() as port, tempfile.TemporaryDirectory() as cache:
        # Compiled modules are kept, as they are where a package is installed, whatever the shell says about it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache

        def process(script: str) -> None:
            command = [sys.executable, "-W", "ignore", "-c", script, f"http://127.0.0.1:{port}"]
            run = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=60)
            assert run.stdout == b"Running\n", run.stdout

        yield Pair(cpu_of_child(lambda: process(OURS)), cpu_of_child(lambda: process(BARE)))


BENCHMARK = Benchmark(
    "start",
    "process, from its start to the first answer",
    "a process that does the same with bare urllib3",
    target=1.15,
    open=open_pair,
    peers={"eager imports of all four libraries": 1.6, "boto3": 3.4},
    rounds=31,
)
IMPORT = Benchmark(
    "import",
    "process that imports batchcompute",
    "a process that does nothing",
    target=0.003,
    open=open_import,
    rounds=41,
    compare=Comparison.EXTRA,
)
