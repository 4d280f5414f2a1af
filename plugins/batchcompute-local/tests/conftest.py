"""Fixtures of the local service's tests: a data folder of their own, a signed client, a fake executor."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.executors.base import Exited, Launch, Recovered, Sink
from batchcompute_local.http.auth import sign, strings_to_sign
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

PACKAGE = "oss://tests/worker.tar.gz"


def wait_for(condition: Callable[[], Any], what: str = "condition", seconds: float = 30.0) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def pack(files: Mapping[str, str]) -> bytes:
    """A tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def describe(tasks: Mapping[str, Mapping[str, Any]], dependencies: Any = None, **more: Any) -> bytes:
    """The body of a create; each task only says what is special."""
    plain = {"PackageUri": PACKAGE, "ProgramName": "main.py", "ProgramType": "python"}
    dag = {
        "TaskDescMap": {name: plain | dict(task) for name, task in tasks.items()},
        "Dependencies": dependencies or {},
    }
    return json.dumps({"JobName": "test", "Priority": 1, "TaskDag": dag} | more).encode()


class FakeExecutor:
    """Records its calls; the test decides how attempts end."""

    look_ahead = 0

    def __init__(self, recovered: Recovered | None = None) -> None:
        self.recovered = recovered or Recovered()
        self.launched: list[Launch] = []
        self.stopped: list[str] = []
        self.acknowledged: list[str] = []
        self.forgotten: list[str] = []
        self.sink: Sink

    def open(self, sink: Sink) -> Recovered:
        self.sink = sink
        return self.recovered

    def start(self, launches: Sequence[Launch]) -> None:
        self.launched.extend(launches)

    def stop(self, attempts: Sequence[str]) -> None:
        self.stopped.extend(attempts)

    def acknowledge(self, attempts: Sequence[str]) -> None:
        self.acknowledged.extend(attempts)

    def forget(self, job: str) -> None:
        self.forgotten.append(job)

    def close(self) -> None:
        pass

    def order(self) -> list[tuple[str, int]]:
        """Task name and instance of all launches, in order."""
        return [(launch.task.name, launch.number) for launch in self.launched]

    def end(self, attempt: str, code: int = 0) -> None:
        """Report an exit that took 2 seconds."""
        self.sink(Exited(attempt, code=code, started=100.0, ended=102.0, host="h"))


class World:
    """A service over a store file and a fake executor, turned by hand."""

    def __init__(self, folder: Path, slots: int = 2) -> None:
        self.path = folder / "state.sqlite3"
        self.slots = slots
        self.settings = Settings()
        self.service = Service()
        self.clock: Callable[[], float] = lambda: 1000.0
        self.capacity: Capacity | None = None
        self.open(FakeExecutor())

    def open(self, executor: FakeExecutor) -> None:
        self.executor = executor
        self.engine = Engine(Store(self.path), executor, self.slots, lambda: self.clock(), self.capacity)
        self.engine.recover()

    def crash(self, executor: FakeExecutor) -> None:
        """The daemon is gone, another one comes."""
        self.engine.store.close()
        self.open(executor)

    def do(self, run: Callable[[Turn], Any]) -> Any:
        """Run in a turn; result or error as a client would see it."""
        future = self.engine.submit(run)
        self.engine.turn()
        return future.result(0)

    def create(self, body: bytes, owner: int = 1) -> str:
        from batchcompute_local.jobs.descriptions import read_description

        plan = read_description(body, self.settings)
        return str(self.do(lambda turn: self.service.create_job(turn, owner, plan))["ResourceId"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.do(lambda turn: self.service.get_job(turn, 1, job_id))
        return found

    def states(self, job_id: str) -> dict[str, list[int]]:
        """States of all instances by task."""
        tasks = self.do(lambda turn: self.service.list_tasks(turn, 1, job_id))
        return {name: [one["State"] for one in task["InstanceStatusVector"]] for name, task in tasks.items()}

    def end(self, *attempts: str, code: int = 0) -> None:
        for attempt in attempts:
            self.executor.end(attempt, code)
        self.engine.turn()


class Cloud:
    """A real daemon in a data folder of its own, spoken to as an SDK would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.oss = ObjectStore(root / "oss")
        self._connection: http.client.HTTPConnection | None = None

    def settings(self, text: str) -> None:
        self.root.mkdir(mode=0o700, exist_ok=True)
        (self.root / "service.toml").write_text(text)

    def up(self) -> int:
        """Have it run; its pid."""
        control.ensure_running(self.root)
        self.hang_up()
        found = control.status(self.root)
        assert found is not None
        return int(found["pid"])

    def program(self, text: str) -> None:
        self.oss.put(PACKAGE, pack({"main.py": text}))

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        key, secret = control.read_credentials(self.root)
        sent = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Date": formatdate(usegmt=True),
            "x-acs-version": "2015-06-30",
            "x-acs-signature-nonce": uuid.uuid4().hex,
        } | headers
        text = next(strings_to_sign(method, target, {name.lower(): value for name, value in sent.items()}))
        sent.setdefault("Authorization", f"acs {key}:{sign(secret, text)}")
        if self._connection is None:
            self._connection = http.client.HTTPConnection("localhost")
            self._connection.sock = control.connect(self.root)
        self._connection.request(method, target, body, sent)
        response = self._connection.getresponse()
        data = response.read()
        assert data.isascii()
        assert response.headers["request-id"] == response.headers["x-acs-request-id"]
        return response.status, json.loads(data) if data else None

    def create(self, tasks: Mapping[str, Mapping[str, Any]], dependencies: Any = None, **more: Any) -> str:
        status, answer = self.call("POST", "/jobs", describe(tasks, dependencies, **more))
        assert status == 201, answer
        return str(answer["ResourceId"])

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self.call("GET", f"/jobs/{job_id}")
        assert status == 200, answer
        return dict(answer)

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["State"] in ("Terminated", "Failed", "Stopped") else None

        found: dict[str, Any] = wait_for(look, "the end of the job")
        return found

    def log(self, job_id: str, task: str, number: int = 0, stream: str = "stdout") -> str:
        return (self.root / "work" / job_id / f"{stream}.{job_id}.{task}.{number}").read_text()

    def runner_pid(self) -> int | None:
        """The runner of this folder, by its command line."""
        for name in os.listdir("/proc"):
            with suppress(OSError):
                if name.isdigit():
                    words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
                    if os.fsencode(self.root) in words and any(b"batchcompute_local.runner" in word for word in words):
                        return int(name)
        return None

    def down(self) -> None:
        """End everything of this folder."""
        self.hang_up()
        found = control.status(self.root)
        pids = [found["pid"] if found else None, self.runner_pid()]
        pids += [pid for pid, _ in procs.attempts("job-") if _works_in(pid, self.root)]
        for pid in pids:
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(folder))
    except OSError:
        return False


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service with a fake executor and two slots."""
    made = World(tmp_path)
    yield made
    made.engine.store.close()


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A data folder for a real daemon, which is not started yet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    made = Cloud(tmp_path / "data")
    yield made
    made.down()


@pytest.fixture(name="describe")
def _describe() -> Callable[..., bytes]:
    return describe


@pytest.fixture(name="pack")
def _pack() -> Callable[..., bytes]:
    return pack


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., Any]:
    return wait_for


@pytest.fixture(name="fake_executor")
def _fake_executor() -> type[FakeExecutor]:
    return FakeExecutor
