"""Processes beside the service: clients that work under faults, a burst of clients, one that dies while it starts the
service, and the machine's scheduling gaps. `faults.py` starts them.

    fault_clients.py load NAME SEED FOLDER | crowd FOLDER | tick FOLDER
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fault_calls import HANG_SECONDS, Measured
from moved_clock import MovedClock

from batchcompute import Client
from batchcompute.errors import BatchComputeError, ClockSkewWarning

CROWD, EACH, THREADS = 40, 25, 5
CROWD_TIMEOUT = 20.0
_MOST_ACTIVE, _MOST_KEPT = 5, 15


class Load(Measured):
    """A client that creates, stops, restarts, deletes and reads jobs, and knows in which states each may end."""

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        super().__init__(_open(folder / f"calls-{name}"), _open(folder / "hangs"))
        self.name = name
        self.random = random.Random(seed)
        self.folder = folder
        self.ends: dict[str, set[str]] = {}
        """By job id, the states in which it may end; several after a call of which nobody knows whether it was done."""
        self.own_end: dict[str, str] = {}
        self.active: list[str] = []
        self.ended: list[str] = []
        self.names: dict[str, str] = {}
        """By the name of a job, its id, `maybe` if it may have been accepted, or `no`."""
        self.problems: list[str] = []

    def run(self) -> None:
        while not (self.folder / "stop").exists():
            roll = self.random.random()
            if roll < 0.03:
                self.client.close()
                self.fresh()  # as a script that begins
            if roll < 0.3 and len(self.active) < _MOST_ACTIVE:
                self.create()
            elif roll < 0.45 and self.active:
                self.touch(self.random.choice(self.active))
            elif len(self.ended) > _MOST_KEPT:
                self.change(self.client.delete_job, self.ended.pop(0), "gone")
            else:
                self.read()
            time.sleep(self.random.random() * 0.03)
        known = {"ends": {job: sorted(ends) for job, ends in self.ends.items()}, "names": self.names}
        (self.folder / f"jobs-{self.name}").write_text(json.dumps(known | {"problems": self.problems}))

    def do(self, kind: str, call: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
        """A call that hangs ends this process, with its stack in the file for that."""
        # a full service asks for a second of patience, so a read has more than that
        timeout = self.random.choice((2.0, 3.0, 5.0) if kind == "read" else (1.0, 2.0, 5.0))
        faulthandler.dump_traceback_later(timeout + HANG_SECONDS, exit=True, file=self.hangs)
        try:
            return self.call(kind, call, *arguments, timeout=timeout)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def read(self) -> None:
        client, jobs = self.client, self.active or self.ended
        one = (client.get_job, client.get_job, client.get_job, client.list_tasks, client.get_job_description)
        call: Callable[..., Any] = self.random.choice((client.list_jobs, client.list_images, *(one if jobs else ())))
        if call not in one:
            answer, outcome = self.do("read", call)
            if outcome == "done" and call == client.list_jobs:
                for job_id in self.ends.keys() - {str(job.JobId) for job in answer}:
                    self.miss(job_id)
            return
        job_id = self.random.choice(jobs)
        answer, outcome = self.do("read", call, job_id)
        if outcome == "absent":
            self.miss(job_id)
        elif outcome == "done" and call == client.get_job and {answer.State} == self.ends[job_id]:
            self.leave(job_id)
            self.ended.append(job_id)

    def miss(self, job_id: str) -> None:
        self.leave(job_id)
        if "gone" not in self.ends[job_id]:
            self.problems.append(f"lost: {job_id} is not there any more, it may end as {self.ends[job_id]}")
            self.ends[job_id] = {"gone"}

    def leave(self, job_id: str) -> None:
        for jobs in (self.active, self.ended):
            if job_id in jobs:
                jobs.remove(job_id)

    def create(self) -> None:
        name, bad = f"{self.name}-{len(self.names)}", self.random.random() < 0.2
        answer, outcome = self.do("change", self.client.create_job, self.describe(name, "3" if bad else "0"))
        self.names[name] = str(answer.JobId) if outcome == "done" else "maybe" if outcome == "unsure" else "no"
        if outcome == "done":
            self.own_end[answer.JobId] = "Failed" if bad else "Finished"
            self.ends[answer.JobId] = {self.own_end[answer.JobId]}
            self.active.append(answer.JobId)

    def touch(self, job_id: str) -> None:
        if self.change(self.client.stop_job, job_id, "Stopped") != "done":
            return
        roll = self.random.random()
        if roll < 0.5:
            self.change(self.client.start_job, job_id, self.own_end[job_id])
        elif roll < 0.75:
            self.change(self.client.delete_job, job_id, "gone")

    def change(self, call: Callable[..., Any], job_id: str, end: str) -> str:
        _, outcome = self.do("change", call, job_id)
        if outcome == "done":
            self.ends[job_id] = {end}
        elif outcome == "unsure":
            self.ends[job_id].add(end)
        elif outcome == "absent":
            self.miss(job_id)
        if outcome == "unsure" or self.ends[job_id] == {"gone"}:
            self.leave(job_id)
        return outcome

    def describe(self, name: str, code: str) -> dict[str, Any]:
        def task(instances: int, code: str = "0") -> dict[str, Any]:
            child = self.random.choice(("child", "alone", "alone"))
            return {
                "PackageUri": "oss://stress/worker.tar.gz",
                "ProgramName": "main.py",
                "ProgramArguments": f"{self.random.random() * 0.2:.3f} {code} {child}",
                "InstanceCount": instances,
            }

        dag = {"TaskDescMap": {"A": task(2), "B": task(1, code)}, "Dependencies": {"A": ["B"]}}
        return {"JobName": name, "Priority": self.random.randrange(1000), "TaskDag": dag}


class Crowd:
    """Forks clients that were made before, so that their calls begin at once. A line of stdin says what to do."""

    def __init__(self, folder: Path) -> None:
        self.output = _open(folder / "calls-crowd")
        self.hangs = _open(folder / "hangs")
        with Client("local") as client:
            client.list_images()  # it imports what all clients need

    def run(self) -> None:
        for line in sys.stdin:
            word, _, value = line.strip().partition(" ")
            failed = self.burst() if word == "burst" else self.die_after(float(value))
            sys.stdout.write(f"{failed}\n")
            sys.stdout.flush()

    def burst(self) -> int:
        """1,000 connections from 40 processes, all of them open until the last one has its answer. Returns how many hung."""
        clients = [Measured(self.output, self.hangs) for _ in range(EACH)]
        begin, ready, over = os.pipe(), os.pipe(), os.pipe()
        pids = []
        for _ in range(CROWD):
            if (pid := os.fork()) == 0:
                for _, end in (begin, over):
                    os.close(end)
                self.be_many(clients, begin[0], ready[1], over[0])
                os._exit(0)
            pids.append(pid)
        os.close(begin[1])
        os.close(ready[1])
        answered = 0
        while (
            answered < CROWD
            and select.select([ready[0]], [], [], EACH // THREADS * CROWD_TIMEOUT + 2 * HANG_SECONDS)[0]
        ):
            answered += len(os.read(ready[0], CROWD))
        os.close(over[1])
        failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
        for end in (begin[0], ready[0], over[0]):
            os.close(end)
        return failed

    def be_many(self, clients: list[Measured], begin: int, ready: int, over: int) -> None:
        os.nice(19)  # else it is measured how a machine with two cores shares them among so many
        os.read(begin, 1)  # until its other end is closed
        faulthandler.dump_traceback_later(EACH // THREADS * CROWD_TIMEOUT + HANG_SECONDS, exit=True, file=self.hangs)

        def ask(some: list[Measured]) -> None:
            for one in some:
                one.call("crowd", one.client.list_images, timeout=CROWD_TIMEOUT)

        threads = [threading.Thread(target=ask, args=(clients[first::THREADS],)) for first in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.write(ready, b"1")
        os.read(over, 1)

    def die_after(self, seconds: float) -> int:
        """A client that is killed so many seconds after its call began."""
        client = Client("local")
        if (pid := os.fork()) == 0:
            with suppress(BatchComputeError):
                client.list_images(timeout=CROWD_TIMEOUT)
            os._exit(0)
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return 0


def tick(folder: Path) -> None:
    """Write down when this process was not scheduled for 50 ms and more, until the file `stop` is there."""
    output = _open(folder / "gaps")
    before = time.monotonic()
    while not (folder / "stop").exists():
        time.sleep(0.01)
        now = time.monotonic()
        if now - before > 0.05:
            os.write(output, f"{before} {now}\n".encode())
        before = now


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def main() -> None:
    warnings.simplefilter("ignore", ClockSkewWarning)
    what, *arguments = sys.argv[1:]
    folder = Path(arguments[-1])
    if what != "tick":
        MovedClock(folder / "clock").use()  # the clock of a machine is that of all its processes
    if what == "load":
        Load(arguments[0], int(arguments[1]), folder).run()
    elif what == "crowd":
        Crowd(folder).run()
    else:
        tick(folder)


if __name__ == "__main__":
    main()
