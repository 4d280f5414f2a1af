"""A runner without a free descriptor keeps its programs, and takes a daemon later."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

from batchcompute_local.executors.base import Event, Exited, Launch, Recovered, Started
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.settings import Settings

from tests.support.runner import find_runner
from tests.support.waits import wait_for

JOB = f"job-{os.urandom(8).hex()}"


def _open(layout: Layout, events: list[Event]) -> tuple[ProcessExecutor, Recovered]:
    settings = Settings(runner_linger_seconds=0.2, grace_seconds=0.2)
    executor = ProcessExecutor(layout, settings, JOB, lambda job: True)
    return executor, executor.open(events.append)


def test_a_runner_without_a_free_descriptor_keeps_its_programs(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    events: list[Event] = []
    executor, _ = _open(layout, events)
    task = TaskSpec("T", 1, "", "sleep", "command", "60", 60, "img-local", 1, 1, "", "", {})
    launch = Launch(f"{JOB}.0.0.1", JOB, task, 0)
    executor.start([launch])
    wait_for(lambda: any(isinstance(event, Started) for event in events), "the program")
    executor.close()
    runner = wait_for(lambda: find_runner(tmp_path))
    limits = resource.prlimit(runner, resource.RLIMIT_NOFILE)
    resource.prlimit(runner, resource.RLIMIT_NOFILE, (3, limits[1]))
    found: list[tuple[ProcessExecutor, Recovered]] = []
    opening = threading.Thread(target=lambda: found.append(_open(layout, events)))
    opening.start()
    try:
        wait_for(lambda: "no daemon can connect" in layout.log.read_text(), "what the runner says", 10.0)
    finally:
        resource.prlimit(runner, resource.RLIMIT_NOFILE, limits)
        opening.join()
    executor, recovered = found[0]
    assert find_runner(tmp_path) == runner
    assert recovered.live == {launch.attempt}
    executor.stop([launch.attempt])
    wait_for(lambda: any(isinstance(event, Exited) for event in events), "the end of the program")
    executor.acknowledge([launch.attempt])
    executor.close()
    wait_for(lambda: not layout.runner_socket.exists(), "the end of the runner")
