"""`batchcompute --help`, from the start of its process to its end, against a process that only imports click."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .harness import Benchmark, Pair, cpu_of_child

ROOT = Path(__file__).parent.parent
OURS = "import sys; from batchcompute.cli import main; sys.argv = ['batchcompute', '--help']; main()"
FLOOR = "import click"


@contextmanager
def open_pair(quick: bool) -> Iterator[Pair]:
    with tempfile.TemporaryDirectory() as home:
        # Compiled modules and the lines of plugins are kept, as they are for a user; the first round makes them.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith(("BATCHCOMPUTE_", "XDG_"))
        }
        environment |= {"HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/pycache"}

        def process(script: str) -> str:
            command = [sys.executable, "-c", script]
            run = subprocess.run(
                command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=60
            )
            return run.stdout

        assert "Commands:" in process(OURS)
        yield Pair(cpu_of_child(lambda: process(OURS)), cpu_of_child(lambda: process(FLOOR)))


BENCHMARK = Benchmark(
    "help",
    "`batchcompute --help`",
    "a process that only imports click",
    target=1.5,
    open=open_pair,
    rounds=31,
)
