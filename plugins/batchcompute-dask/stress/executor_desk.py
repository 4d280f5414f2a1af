"""The executor driven as the engine drives it, without the rest of a service: attempts are claimed, repeated and accepted."""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from batchcompute_dask.executor import DaskExecutor
from batchcompute_dask.settings import read_options
from batchcompute_local.executors.base import (
    Event,
    Exited,
    Launch,
    Lost,
    Node,
    NodeDown,
    NodeUp,
    Returned,
    Unreachable,
)
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore
from dask_cluster import DaskCluster

from batchcompute import pack
from batchcompute.surroundings import Surroundings

PREFIX = "job-desk"
LINES = """
import os, sys, time
name = os.environ["BATCHCOMPUTE_ATTEMPT"]
out = os.open(os.environ["LINES"] + "/" + name.rpartition(".")[0], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def say(word):
    os.write(out, f"{word} {name} {time.clock_gettime(time.CLOCK_BOOTTIME)}\\n".encode())
say("start")
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end and not os.path.exists(os.environ["LINES"] + ".end"):
    time.sleep(0.05)
    say("alive")
say("end")
"""
"""A program that says in a file of its instance that it lives, for as many seconds as its argument says, or until `Desk.end`."""


class Desk:
    """One service's executor. Events of all kinds are in `events`; `nodes` are those that are up."""

    def __init__(self, root: Path, cluster: DaskCluster, **options: Any) -> None:
        self.layout = Layout.at(root)
        self.layout.create()
        self.layout.oss.mkdir(exist_ok=True)
        self.cluster = cluster
        self.lines = root / "lines"
        self.lines.mkdir()
        self.settings = Settings(grace_seconds=0.5, leftover_seconds=0.5, environment={"LINES": str(self.lines)})
        self.options = {
            "scheduler": cluster.address,
            "insecure": True,
            "shared_files": True,
            "lease_seconds": 5,
            **options,
        }
        self.ahead = 0
        """How many attempts a node is given besides those that have a slot."""
        self.jobs: set[str] = set()
        self.executor: DaskExecutor | None = None
        self.claims: dict[str, str] = {}
        self.accepted: dict[str, Exited] = {}
        """Accepted ends, by instance."""
        self.wanted: dict[str, tuple[TaskSpec, int]] = {}
        self.late: list[Exited] = []
        self.nodes: dict[str, Node] = {}
        self.downs: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.history: list[Event] = []
        self._attempts: Counter[str] = Counter()

    def open(self) -> None:
        """Open it, as a daemon that begins does."""
        self.executor = DaskExecutor(
            self.layout, self.settings, PREFIX, read_options(self.options), lambda job: job in self.jobs
        )
        recovered = self.executor.open(self.events.put, dict(self.claims))
        assert recovered.live == set(self.claims)

    def close(self) -> None:
        """Close it, as a daemon that ends does."""
        if self.executor is not None:
            self.executor.close()
            self.executor = None

    def put_program(self, text: str = LINES, uri: str = "oss://t/p.tar.gz") -> None:
        """Store a package."""
        folder = self.layout.root / "package"
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(text)
        ObjectStore(self.layout.oss).put(uri, pack(folder))

    def task(self, arguments: str = "", count: int = 100_000, uri: str = "oss://t/p.tar.gz", **more: Any) -> TaskSpec:
        """A task of the program."""
        return TaskSpec(
            "T",
            count,
            uri,
            "main.py",
            "python",
            arguments,
            600,
            "img-local",
            1,
            1,
            "",
            "",
            more.pop("environment", {}),
            **more,
        )

    def end(self, is_time: bool = True) -> None:
        """Have all programs end, also those that are yet to begin; or no more."""
        mark = Path(f"{self.lines}.end")
        if is_time:
            mark.touch()
        else:
            mark.unlink()

    def want(self, job: str, task: TaskSpec, numbers: range) -> None:
        """Have these instances run until each of them was accepted."""
        self.jobs.add(job)
        for number in numbers:
            self.wanted[f"{job}.0.{number}"] = task, number

    def turn(self) -> None:
        """Place what is wanted and not claimed, on nodes with free slots; take what happened."""
        assert self.executor is not None
        running = {instance for instance, _, _ in (each.rpartition(".") for each in self.claims)}
        taken = Counter(self.claims.values())
        launches = []
        free = [
            (-count, name) for name, node in self.nodes.items() for count in range(taken[name], node.slots + self.ahead)
        ]
        free.sort()  # the node with the fewest is the last
        for instance, (task, number) in self.wanted.items():
            if not free:
                break
            if instance in running or instance in self.accepted:
                continue
            launches.append(self.launch(instance.partition(".")[0], task, number, free.pop()[1]))
        if launches:
            self.executor.start(launches)
        self.take()

    def launch(self, job: str, task: TaskSpec, number: int, node: str) -> Launch:
        """Claim the next attempt of an instance."""
        instance = f"{job}.0.{number}"
        self._attempts[instance] += 1
        attempt = f"{instance}.{self._attempts[instance]}"
        self.claims[attempt] = node
        return Launch(attempt, job, task, number, Surroundings.of_process(), 1, node)

    def take(self) -> None:
        """Take the events that are there."""
        acknowledged = []
        while True:
            try:
                event = self.events.get(timeout=0.02)
            except queue.Empty:
                break
            self.history.append(event)
            self.seen[type(event).__name__] += 1
            match event:
                case Exited(attempt):
                    acknowledged.append(attempt)
                    if self.claims.pop(attempt, None) is None:
                        self.late.append(event)
                        continue
                    instance = attempt.rpartition(".")[0]
                    assert instance not in self.accepted, f"{instance} is accepted twice: {event}"
                    self.accepted[instance] = event
                case Lost(attempt) | Returned(attempt):
                    self.claims.pop(attempt, None)
                case NodeUp(node):
                    self.nodes[node.name] = node
                    self.downs.pop(node.name, None)
                case NodeDown(name, reason):
                    self.nodes.pop(name, None)
                    self.downs[name] = reason
                case Unreachable():
                    pass
        if acknowledged and self.executor is not None:
            self.executor.acknowledge(acknowledged)

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        """Turn until the condition is true. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.turn()
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s for {what}; {self.describe()}")

    def describe(self) -> str:
        """What is there, for messages."""
        trouble = self.executor.trouble if self.executor is not None else "closed"
        return (
            f"nodes {[*self.nodes]}, down {self.downs}, {len(self.claims)} claims, {len(self.accepted)} of {len(self.wanted)} "
            f"accepted, {dict(self.seen)}, trouble {trouble!r}"
        )

    def bridge_pid(self) -> int | None:
        """The pid of the bridge."""
        bridge = self.executor._bridge if self.executor is not None else None
        return None if bridge is None else bridge.pid

    def check_lines(self) -> list[str]:
        """What is wrong in the lines of the programs: two attempts of an instance at once, or one without an end."""
        problems = []
        for path in self.lines.iterdir():
            spans = spans_of(path)
            for (one, _, end), (two, begin, _) in pairwise(spans):
                if begin < end:
                    problems.append(f"{two} began {end - begin:.2f} s before the last sign of {one}")
            accepted = self.accepted.get(path.name)
            if accepted is not None and accepted.code == 0 and f"end {accepted.attempt} " not in path.read_text():
                problems.append(f"{accepted.attempt} was accepted, and had no end")
        return problems


def spans_of(path: Path) -> list[tuple[str, float, float]]:
    """Attempt, first and last sign of life of each attempt in a file of lines, by the first."""
    found: dict[str, tuple[float, float]] = {}
    for line in path.read_text().splitlines():
        _, name, at = line.split()
        first, _ = found.get(name, (float(at), 0.0))
        found[name] = first, float(at)
    return sorted(((name, *span) for name, span in found.items()), key=lambda each: each[1])
