"""The model of protocol 2.3 against a real daemon with real programs, while daemon and runner are killed."""

from __future__ import annotations

import math
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control
from reference_model import ALLOWED, F, Model, R, S, W, X, expected_view, new_model, tasks_of

from tests.support.descriptions import describe
from tests.support.service import Cloud
from tests.support.waits import wait_for

STEPS = int(os.environ.get("STATEFUL_DAEMON_STEPS", "60"))
PROGRAM = """
import os, sys, time
from pathlib import Path
name = os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/end." + os.environ["BATCHCOMPUTE_ATTEMPT"].rpartition(".")[0]
while True:
    try:
        code = Path(name).read_text()
        if code == "flaky":  # an attempt that was lost after this line never fails
            code = os.path.exists(name + ".seen") and "0" or "3"
            Path(name + ".seen").touch()
        sys.exit(int(code))
    except (FileNotFoundError, ValueError):
        time.sleep(0.005)
"""
GRAPHS: list[tuple[list[int], set[tuple[int, int]]]] = [
    ([1], set()),
    ([2, 1], {(0, 1)}),
    ([1, 2, 1], {(0, 2), (1, 2)}),
    ([1, 1, 1], {(0, 1), (1, 2)}),
]


class Walk:
    """Steps taken at random; after each the service comes to stand where the model does."""

    def __init__(self, cloud: Cloud, rng: random.Random) -> None:
        self.cloud, self.random = cloud, rng
        self.jobs: dict[str, Model] = {}

    def step(self) -> str:
        what = self.random.choice(["create", *ALLOWED, *ALLOWED, "end", "end", "end", "end", "kill", "kill"])
        if what == "create" or not self.jobs:
            return self.create()
        return self.kill() if what == "kill" else self.end() if what == "end" else self.act(what)

    def create(self) -> str:
        graph, priority = self.random.choice(GRAPHS), self.random.randrange(1000)
        retries, goes_on = [self.random.choice((0, 0, 1, 2)) for _ in graph[0]], self.random.random() < 0.5
        body = describe(*tasks_of(*graph, retries=retries), Priority=priority, JobFailOnInstanceFail=not goes_on)
        status, answer = self.cloud.call("POST", "/jobs", body)
        assert status == 201, answer
        self.jobs[answer["ResourceId"]] = new_model(1, priority, *graph, retries=retries, goes_on=goes_on)
        return "create"

    def act(self, action: str) -> str:
        job_id = self.random.choice(list(self.jobs))
        job, value = self.jobs[job_id], self.random.randrange(1000)
        if action == "start":  # what failed shall go on this time; what is Finished does not look any more
            for path in (self.cloud.root / "oss/tests").glob(f"end.{job_id}.*"):
                path.unlink()
        method, target, body = {
            "stop": ("PUT", f"/jobs/{job_id}?Action=Stop", b""),
            "start": ("PUT", f"/jobs/{job_id}?Action=Start", b""),
            "delete": ("DELETE", f"/jobs/{job_id}", b""),
            "priority": ("PUT", f"/jobs/{job_id}/Priority", str(value).encode()),
        }[action]
        status, answer = self.cloud.call(method, target, body)
        if job.state not in ALLOWED[action]:
            assert (status, answer["Code"]) == (409, "StateConflict")
            return f"{action} refused"
        assert status == 200, answer
        if action == "delete":
            del self.jobs[job_id]
        elif action == "priority":
            job.priority = value
        else:
            (job.stop if action == "stop" else job.start)()
        return action

    def end(self) -> str:
        running = [
            (i, n, k) for i, j in self.jobs.items() for n, t in enumerate(j.states) for k, s in enumerate(t) if s == R
        ]
        if not running:
            return self.create()
        job_id, n, k = self.random.choice(running)
        job = self.jobs[job_id]
        code = self.random.choice(("0", "0", "0", "3", "flaky" if job.spent[n][k] < job.retries[n] else "0"))
        name = self.cloud.root / "oss/tests" / f"end.{job_id}.{n}.{k}"
        part = Path(f"{name}.part")
        part.write_text(code)
        part.rename(name)
        job.ended(n, k, code == "0", 0.0)
        while job.states[n][k] == W:  # the retry finds the same file
            job.started(n, k)
            job.ended(n, k, code != "3", 0.0)
        return f"end with {code}"

    def kill(self) -> str:
        found, runner = control.status(self.cloud.root), self.cloud.runner_pid()
        what = self.random.choice(("daemon", "runner", "both"))
        if what != "runner" and found:
            os.kill(int(found["pid"]), signal.SIGKILL)
        if what != "daemon" and runner:
            os.kill(runner, signal.SIGKILL)
        self.cloud.up()
        return f"kill {what}"

    def settle(self) -> None:
        """What may start does; then the service has to say the same."""
        for job in self.jobs.values():
            while due := list(job.may_start(math.inf)):
                for n, k in due:
                    job.started(n, k)
        wait_for(lambda: self.view() == self.wanted(), "the service to stand where the model does")

    def view(self) -> dict[str, Any]:
        _, jobs = self.cloud.call("GET", "/jobs")
        seen = {}
        for job_id, job in jobs.items():
            _, tasks = self.cloud.call("GET", f"/jobs/{job_id}/tasks")
            states = [[one["State"] for one in task["InstanceStatusVector"]] for task in tasks.values()]
            seen[job_id] = states, {name: job[name] for name in _WORDS}, bool(job["EndTime"])
        return seen

    def wanted(self) -> dict[str, Any]:
        views = {job_id: expected_view(job) for job_id, job in self.jobs.items()}
        return {
            job_id: (job.states, {name: views[job_id][name] for name in _WORDS}, job.state in (F, X, S))
            for job_id, job in self.jobs.items()
        }


_WORDS = [name for name in expected_view(new_model(1, 1, [1], set())) if name not in ("TotalTime", "OwnerId")]


def test_no_divergence_from_a_real_daemon(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.settings("slots = 200\ngrace_seconds = 0.5\nretry_seconds = 0.05\n")
    cloud.up()
    cloud.program(PROGRAM)
    seed = int.from_bytes(os.urandom(4))
    walk = Walk(cloud, random.Random(seed))
    taken: list[str] = []
    try:
        for _ in range(STEPS):
            taken.append(walk.step())
            walk.settle()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, {taken}: {walk.view()} is not {walk.wanted()}") from error
    with capsys.disabled():
        print(
            f"\n{len(taken)} steps with a real daemon, {sum('kill' in step for step in taken)} of them kills: no divergence"
        )
