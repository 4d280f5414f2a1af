"""What users of plain Dask would write: `client.map` of `subprocess.call` on worker processes. The peer of the executor `dask`.

Scheduler, workers and client are processes of their own, so that the client's CPU can be seen.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

_START_SECONDS = 60.0
_CLIENT = """\
import json, subprocess, sys, time
from distributed import Client
client = Client(sys.argv[1])
client.wait_for_workers(int(sys.argv[2]))
argv = json.loads(sys.argv[3])
print("ready", flush=True)
for line in sys.stdin:
    began, used = time.perf_counter(), time.process_time()
    codes = client.gather(client.map(subprocess.call, [argv] * int(line), pure=False))
    assert not any(codes)
    print(json.dumps([time.perf_counter() - began, time.process_time() - used]), flush=True)
"""


class Figures(NamedTuple):
    """Seconds for all instances of a run: of the clock on the wall, and CPU seconds of what hands them out and hears of them."""

    wall: float
    cpu: float


class PlainDask:
    """A running cluster with a client, which runs `argv` as often as it is asked."""

    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions = questions
        self._answers = answers

    def run(self, count: int) -> Figures:
        """Run the program so many times."""
        self._questions.write(f"{count}\n")
        self._questions.flush()
        return Figures(*json.loads(self._answers.readline()))


@contextmanager
def plain_dask(folder: Path, workers: int, argv: list[str]) -> Iterator[PlainDask]:
    """A scheduler and worker processes of one thread each; nothing of it is left afterwards."""
    with ExitStack() as stack:

        def start(name: str, *words: str, talks: bool = False) -> subprocess.Popen[str]:
            log = stack.enter_context(open(folder / f"{name}.log", "w"))
            pipe = subprocess.PIPE if talks else None
            made = subprocess.Popen(
                [sys.executable, *words],
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                text=True,
                cwd=folder,
            )
            stack.callback(_end, made)
            return made

        cli = "distributed.cli.dask_"
        options = ("--host", "127.0.0.1", "--no-dashboard")
        start("scheduler", "-m", f"{cli}scheduler", *options, "--port", "0")
        address = _find_address(folder / "scheduler.log")
        for number in range(workers):
            start(f"worker-{number}", "-m", f"{cli}worker", address, *options, "--nthreads", "1", "--no-nanny")
        client = start("client", "-c", _CLIENT, address, str(workers), json.dumps(argv), talks=True)
        assert client.stdin is not None
        assert client.stdout is not None
        with client.stdin, client.stdout:
            if not client.stdout.readline():
                raise RuntimeError((folder / "client.log").read_text())
            yield PlainDask(client.stdin, client.stdout)


def _find_address(log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(r"tcp://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise RuntimeError(log.read_text())


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
