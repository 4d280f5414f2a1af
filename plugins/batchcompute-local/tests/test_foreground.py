"""A service in the foreground whose output nobody takes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from batchcompute_local.client import control
from batchcompute_local.foreground import PatientStream

from tests.support.service import Cloud
from tests.support.waits import wait_for

SERVE = (sys.executable, "-c", "from batchcompute.cli import main; main()", "serve", "--port=0", "--data-dir")


def full_pipe() -> tuple[int, int]:
    """A pipe that takes nothing more, filled with x."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * size)
    os.set_blocking(writer, True)
    return reader, writer


def test_it_answers_though_nobody_reads_its_output(cloud: Cloud) -> None:
    reader, writer = full_pipe()
    with subprocess.Popen([*SERVE, str(cloud.root)], stdout=writer, stderr=writer) as serve:
        try:
            found: dict[str, Any] = wait_for(lambda: control.status(cloud.root), "the service", 10.0)
            assert found["pid"] == serve.pid
            assert cloud.call("GET", "/images")[0] == 200
            serve.terminate()
            assert serve.wait(10) == 0
        finally:
            serve.kill()
            os.close(reader)
            os.close(writer)


def test_what_nobody_takes_is_bounded_and_comes_in_order() -> None:
    reader, writer = full_pipe()
    stream = PatientStream(writer)
    for number in range(3000):
        stream.write(f"{number}\n")
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 3
    with open(reader, "rb") as file:

        def close() -> None:
            wait_for(lambda: not stream._queue.unfinished_tasks, "the last line")
            os.close(writer)

        closing = threading.Thread(target=close)
        closing.start()
        numbers = [int(line) for line in file.read().lstrip(b"x").decode().split()]
        closing.join()
    assert numbers[:1000] == [*range(1000)]
    assert len(numbers) <= 1001  # the one that the thread had taken; there was room for another one when it took it
    assert numbers == sorted(numbers)
