"""A service without processes: the engine and the operations over an executor that only records its calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from batchcompute_local.executors.base import Exited, Launch, Recovered, Sink
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.settings import Settings

T = TypeVar("T")


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

    def __init__(
        self, folder: Path, slots: int = 2, executor: FakeExecutor | None = None, images: Sequence[str] = ()
    ) -> None:
        self.path = folder / "state.sqlite3"
        self.slots = slots
        self.settings = Settings()
        self.service = Service()
        self.clock: Callable[[], float] = lambda: 1000.0
        self.capacity: Capacity | None = None
        self.images = images
        self.open(executor or FakeExecutor())

    def open(self, executor: FakeExecutor) -> None:
        self.executor = executor
        seconds = self.settings.retry_seconds
        store = Store(self.path, self.settings.kept_attempts)
        engine = Engine(store, executor, self.slots, lambda: self.clock(), self.capacity, seconds, images=self.images)
        self.engine = engine
        self.engine.recover()

    def crash(self, executor: FakeExecutor) -> None:
        """The daemon is gone, another one comes."""
        self.engine.store.close()
        self.open(executor)

    def do(self, run: Callable[[Turn], T]) -> T:
        """Run in a turn; result or error as a client would see it."""
        future = self.engine.submit(run)
        self.engine.turn()
        return future.result(0)

    def create(self, body: bytes, owner: int = 1) -> str:
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
