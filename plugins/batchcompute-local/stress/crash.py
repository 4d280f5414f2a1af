"""Kill the service at random moments under load, and see that nothing it accepted is lost or done twice.

    python plugins/batchcompute-local/stress/crash.py [--kills 100] [--seed N]

Jobs are created, stopped, started again and deleted by three clients while daemon, runner or both are killed with
SIGKILL. Every program holds a lock on a file of its instance, as do the processes that it leaves behind, and appends a
line with the monotonic time when it starts and when it ends. What was on the disk is read right after each kill.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parent))

from batchcompute_local.errors import DaemonError
from evidence import print_evidence
from harness import ServiceHarness, finished_on_disk, recorded_on_disk
from lines import PROGRAM, check_lines
from moved_clock import make_interpreter

from batchcompute import AmbiguousResultError, Client, NotFoundError, StateConflictError
from batchcompute.errors import BatchComputeError

T = TypeVar("T")

SETTINGS = """
slots = 4
leftover_seconds = 0.2
grace_seconds = 0.5
runner_linger_seconds = 5
interpreter = "{interpreter}"
[programs]
python = "{python}"
"""
KINDS = ("good", "good", "bad", "stopped", "restarted", "deleted")


class Load(threading.Thread):
    """One client: makes jobs of all kinds, and knows how each has to end."""

    def __init__(self, seed: int, stop: threading.Event) -> None:
        super().__init__(name=f"client-{seed}")
        self.random = random.Random(seed)
        self.stop = stop
        self.wanted: dict[str, str] = {}
        self.touched: set[str] = set()
        self.unsure: set[str] = set()
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        with Client("local") as self.client:
            while not self.stop.is_set():
                try:
                    self.one(self.random.choice(KINDS))
                except BatchComputeError as error:
                    self.problems.append(f"{type(error).__name__}: {error}")

    def ask(self, call: Callable[..., T], *arguments: Any) -> tuple[T | None, bool]:
        """The answer, and whether the question was asked before: its daemon was killed while it started."""
        again = False
        while True:
            try:
                return call(*arguments), again
            except (DaemonError, AmbiguousResultError):
                self.done["asked again"] += 1
                again = True
            except (StateConflictError, NotFoundError):
                if again and call != self.client.stop_job:
                    return None, again  # the first time had been heard
                raise

    def one(self, kind: str) -> None:
        if len(self.wanted) - self.done["ended"] > 8:
            self.look()
            return
        self.done["created"] += 1
        name = f"{self.name}-{self.done['created']}"
        created, again = self.ask(self.client.create_job, self.describe(name, "3" if kind == "bad" else "0"))
        assert created is not None
        job_id = created.JobId
        if again:
            self.unsure.add(name)
        self.wanted[job_id] = "Failed" if kind == "bad" else "Finished"
        if kind in ("stopped", "restarted", "deleted"):
            self.touched.add(job_id)
            self.end_early(job_id, kind)

    def end_early(self, job_id: str, kind: str) -> None:
        time.sleep(self.random.random() * 0.3)
        try:
            self.ask(self.client.stop_job, job_id)
        except StateConflictError:
            if self.state(job_id) != "Stopped":
                return  # it was quicker
        self.done["stopped"] += 1
        self.wanted[job_id] = "Stopped"
        self.expect(job_id, ("Stopped",))
        if kind == "restarted":
            self.ask(self.client.start_job, job_id)
            self.done["restarted"] += 1
            self.wanted[job_id] = "Finished"
            self.expect(job_id, ("Waiting", "Running", "Finished"))
        elif kind == "deleted":
            self.ask(self.client.delete_job, job_id)
            self.done["deleted"] += 1
            self.wanted[job_id] = "gone"
            self.expect(job_id, ("gone",))

    def expect(self, job_id: str, states: tuple[str, ...]) -> str:
        found = self.state(job_id)
        if found not in states:
            self.problems.append(f"{job_id} is {found}, not {' or '.join(states)}")
        return found

    def state(self, job_id: str) -> str:
        try:
            job, _ = self.ask(self.client.get_job, job_id)
        except NotFoundError:
            return "gone"
        return str(job.State) if job is not None else "gone"

    def look(self) -> None:
        """Wait a little for some of the jobs to end."""
        self.done["ended"] = sum(self.state(job_id) in ("gone", want) for job_id, want in self.wanted.items())
        time.sleep(0.05)

    def describe(self, name: str, code: str) -> dict[str, Any]:
        def task(instances: int, code: str = "0") -> dict[str, Any]:
            child = self.random.choice(("child", "alone", "alone"))
            return {
                "PackageUri": "oss://stress/worker.tar.gz",
                "ProgramName": "main.py",
                "ProgramArguments": f"{self.random.random() * 0.2:.3f} {code} {child}",
                "InstanceCount": instances,
            }

        tasks = {"A": task(3), "B": task(2), "C": task(1, code)}
        dag = {"TaskDescMap": tasks, "Dependencies": {"A": ["C"], "B": ["C"]}}
        return {"JobName": name, "Priority": self.random.randrange(1000), "TaskDag": dag}


def kill_often(
    harness: ServiceHarness, rng: random.Random, kills: int
) -> tuple[Counter[str], dict[str, int], set[str]]:
    """Kill `kills` times. Returns how often what, and the last attempt that a disk said was Finished or recorded."""
    killed: Counter[str] = Counter()
    finished: dict[str, int] = {}
    recorded: set[str] = set()
    while sum(killed.values()) < kills:
        time.sleep(rng.random() * 0.5)
        what = rng.choice(("daemon", "runner", "both"))
        hit = [harness.kill(one) for one in (("daemon", "runner") if what == "both" else (what,))]
        if not all(hit):
            continue
        killed[what] += 1
        recorded |= recorded_on_disk(harness.root)
        finished |= finished_on_disk(harness.root)
    return killed, finished, recorded


def settle(harness: ServiceHarness, loads: list[Load], seconds: float) -> None:
    """Until every job is in the state that it has to end in, or the time is over."""
    deadline = time.monotonic() + seconds
    with Client("local") as client:
        while time.monotonic() < deadline:
            states = {job.JobId: job.State for job in client.list_jobs()}
            if all(states.get(job_id, "gone") == want for load in loads for job_id, want in load.wanted.items()):
                return
            time.sleep(0.1)


def check(
    harness: ServiceHarness, loads: list[Load], finished: dict[str, int], recorded: set[str]
) -> tuple[list[str], Counter[str]]:
    """What is wrong, in words; and the figures."""
    problems = [problem for load in loads for problem in load.problems]
    wanted = {job_id: want for load in loads for job_id, want in load.wanted.items()}
    touched = set().union(*(load.touched for load in loads))
    with Client("local") as client:
        jobs = list(client.list_jobs())
    states = {job.JobId: job.State for job in jobs}
    unsure = set().union(*(load.unsure for load in loads))
    for job_id, want in wanted.items():
        if states.get(job_id, "gone") != want:
            problems.append(f"{job_id} is {states.get(job_id, 'gone')}, not {want}")
    extra = [job for job in jobs if job.JobId not in wanted]
    problems += [f"{job.JobId} was never asked for" for job in extra if job.JobName not in unsure]
    problems += [f"{job.JobId} is {job.State}" for job in extra if job.State not in ("Finished", "Failed")]
    counted = harness.attempts()
    wrong, figures, begun = check_lines(harness.lines())
    problems += wrong
    for name, starts in begun.items():
        last = max(starts, default=0)
        if last > finished.get(name, last):
            problems.append(f"{name} was Finished as attempt {finished[name]} and ran as {last}")
        if name in counted and counted[name] < last:
            problems.append(f"{name} ran as attempt {last}, but {counted[name]} are counted")
        if name.partition(".")[0] not in touched:
            problems += [f"{name} ran again after its record" for n in starts[:-1] if f"{name}.{n}" in recorded]
    figures["records seen"] = len(recorded)
    return problems, figures


def main() -> int:
    """Exit code 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    with tempfile.TemporaryDirectory(prefix="stress-", ignore_cleanup_errors=True) as folder:
        harness = ServiceHarness(
            Path(folder), SETTINGS.format(interpreter=make_interpreter(Path(folder)), python=sys.executable)
        )
        harness.put_program(PROGRAM)
        harness.lines_folder.mkdir()
        began = time.monotonic()
        stop = threading.Event()
        loads = [Load(seed + number, stop) for number in range(3)]
        with Client("local") as client:
            client.list_jobs()  # it is there before it is killed
        for load in loads:
            load.start()
        try:
            killed, finished, recorded = kill_often(harness, random.Random(seed), options.kills)
            stop.set()
            for load in loads:
                load.join()
            settle(harness, loads, 60.0 + options.kills)
            problems, figures = check(harness, loads, finished, recorded)
            if problems:
                print_evidence(harness)
        finally:
            stop.set()
            harness.down()
        done = sum((load.done for load in loads), Counter())
    print(f"seed {seed}, {os.cpu_count()} cores, {time.monotonic() - began:.0f} s")
    print("kills: " + ", ".join(f"{number} of {what}" for what, number in sorted(killed.items())))
    print("jobs: " + ", ".join(f"{done[word]} {word}" for word in ("created", "stopped", "restarted", "deleted")))
    print(
        f"instances: {figures['instances']} begun, {figures['start']} attempts, {figures['run again']} run again,"
        f" {figures['records seen']} exit records seen on the disk"
    )
    for problem in problems[:40]:
        print("WRONG:", problem)
    print("nothing lost, nothing done twice" if not problems else f"{len(problems)} things are wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
