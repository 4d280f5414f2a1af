"""Kill the parts of a cluster at random under load, and see that each instance is accepted once and no two attempts overlap.

    python plugins/batchcompute-dask/stress/cluster.py [--kills 50] [--instances 1000] [--partitions 10] [--seed N]

A real service, a scheduler and four worker processes. Every program holds a lock on a file of its instance, and appends a line
when it starts and when it ends. Workers, scheduler, service, bridge and runners are killed with SIGKILL and started again.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "batchcompute-local" / "stress"))
sys.path.insert(0, str(Path(__file__).parent))

from batchcompute_local.client import control
from batchcompute_local.errors import DaemonError
from dask_cluster import DaskCluster
from harness import ServiceHarness, finished_on_disk
from lines import PROGRAM, check_lines
from networks import NetworkRefusedError, Networks

from batchcompute import AmbiguousResultError, Client
from batchcompute.errors import BatchComputeError

NODES = ("a", "b", "c", "d")
PARTS = ("worker", "worker", "scheduler", "service", "runner", "bridge", "suspend")
_MOST_SECONDS = 900.0
_LOAD_SECONDS = 30.0


class Rounds:
    """The service, the cluster, and what was done to them."""

    def __init__(self, folder: Path, rng: random.Random, lease: float, networks: Networks | None) -> None:
        self.rng = rng
        self.networks = networks
        self.cluster = DaskCluster(folder / "cluster", 2, networks)
        self.harness = ServiceHarness(
            folder,
            'executor = "dask"\n[executors.dask]\n'
            f'scheduler = "{self.cluster.address}"\ninsecure = true\nshared_files = true\nlease_seconds = {lease:g}\n',
        )
        self.done: Counter[str] = Counter()

    def up(self) -> None:
        """Start everything."""
        self.harness.put_program(PROGRAM)
        self.harness.lines_folder.mkdir(parents=True)
        self.cluster.up(*NODES)
        control.ensure_running(self.harness.root)

    def down(self) -> None:
        """End everything."""
        self.harness.down()
        self.cluster.down()

    def one(self, part: str) -> None:
        """One round: something is killed, stopped or cut off, and is there again after a while."""
        getattr(self, f"_{part}")()
        self.done[part] += 1

    def wait_for_programs(self) -> int:
        """Wait a while until programs run that a fault can hit; return how many."""
        deadline = time.monotonic() + _LOAD_SECONDS
        while (found := len(self.cluster.programs())) < len(NODES) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _worker(self) -> None:
        name = self.rng.choice(NODES)
        self.cluster.kill(name)
        self._wait()
        self.cluster.start_worker(name)

    def _scheduler(self) -> None:
        self.cluster.kill("scheduler")
        self._wait()
        self.cluster.start_scheduler()

    def _service(self) -> None:
        self.harness.kill("daemon")
        self._wait()
        control.ensure_running(self.harness.root)

    def _bridge(self) -> None:
        for pid in find_bridges(self.harness):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _runner(self) -> None:
        found = [*self.cluster.runners()]
        if found:
            with suppress(ProcessLookupError):
                os.kill(self.rng.choice(found), signal.SIGKILL)

    def _suspend(self) -> None:
        name = self.rng.choice(NODES)
        self.cluster.signal(name, signal.SIGSTOP)
        self._wait()
        self.cluster.signal(name, signal.SIGCONT)

    def _partition(self) -> None:
        assert self.networks is not None
        name = self.rng.choice(NODES)
        self.networks.pull(name)
        self._wait()
        self.networks.plug(name)

    def _wait(self) -> None:
        # now and then longer than the lease, so that attempts run elsewhere
        time.sleep(self.rng.random() * (20 if self.rng.random() < 0.15 else 2))


def find_bridges(harness: ServiceHarness) -> list[int]:
    """The bridges of the service, which are children of its daemon."""
    daemons = set(harness.pids("daemon"))
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and b"batchcompute_dask.bridge" in Path("/proc", name, "cmdline").read_bytes():
                parent = int(Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()[1])
                if parent in daemons:
                    found.append(int(name))
    return found


def ask(question: Callable[[Client], object]) -> object:
    """The answer of a service that may be killed meanwhile."""
    while True:
        try:
            with Client("local") as client:
                return question(client)
        except (DaemonError, AmbiguousResultError, BatchComputeError, OSError):
            time.sleep(0.2)


def submit(instances: int, seconds: float) -> str:
    """Create the job with the load."""
    task = {
        "PackageUri": "oss://stress/worker.tar.gz",
        "ProgramName": "main.py",
        "ProgramArguments": f"{seconds} 0 alone",
        "InstanceCount": instances,
    }
    with Client("local") as client:
        return str(client.create_job({"JobName": "load", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": task}}}).JobId)


def state_of(job: str) -> tuple[str, int]:
    """State and number of Finished instances of the job."""
    found = ask(lambda client: client.get_job(job))
    return str(found.State), int(found.NumFinishedInstance)  # type: ignore[attr-defined]  # a JobResponse


def check(rounds: Rounds, job: str, instances: int) -> tuple[list[str], Counter[str]]:
    """What is wrong, in words; and the figures."""
    state, finished = state_of(job)
    problems, figures, begun = check_lines(rounds.harness.lines())
    if (state, finished) != ("Finished", instances):
        problems.append(f"the job is {state} with {finished} Finished instances of {instances}")
    accepted = finished_on_disk(rounds.harness.root)
    if len(accepted) != instances:
        problems.append(f"{len(accepted)} instances are accepted on the disk, not {instances}")
    for instance, attempt in accepted.items():
        path = rounds.harness.lines_folder / instance
        if f"end {instance}.{attempt} " not in (path.read_text() if path.exists() else ""):
            problems.append(f"{instance} is accepted with attempt {attempt}, which has no end")
        if begun.get(instance, [attempt])[-1] != attempt:
            problems.append(f"{instance} is accepted with attempt {attempt}, but {begun[instance][-1]} began after it")
    return problems, figures


def run(folder: Path, options: argparse.Namespace, rng: random.Random) -> int:
    """Exit code 0 if nothing is wrong."""
    parts = [rng.choice(PARTS) for _ in range(options.kills)]
    networks = None
    if options.partitions:
        try:
            networks = Networks(NODES)
            parts += ["partition"] * options.partitions
            rng.shuffle(parts)
        except NetworkRefusedError as error:
            print(f"no partitions: {error}")
    try:
        return go(Rounds(folder, rng, options.lease, networks), parts, options.instances, options.seconds)
    finally:
        if networks is not None:
            networks.close()


def go(rounds: Rounds, parts: list[str], instances: int, seconds: float) -> int:
    """Do these rounds under load. Exit code 0 if nothing is wrong."""
    began = time.monotonic()
    try:
        rounds.up()
        job = submit(instances, seconds)
        problems: list[str] = []
        hit = 0
        for count, part in enumerate(parts, 1):
            hit += rounds.wait_for_programs()
            time.sleep(rounds.rng.random())
            rounds.one(part)
            if state_of(job)[0] not in ("Waiting", "Running"):
                problems.append(f"the load was over after {count} rounds; let it last longer (--seconds)")
                break
        print(
            f"{hit / len(parts):.1f} programs ran at a fault, {state_of(job)[1]} instances were Finished after the last one"
        )
        deadline = time.monotonic() + _MOST_SECONDS
        while state_of(job)[0] in ("Waiting", "Running") and time.monotonic() < deadline:
            time.sleep(0.5)
        found, figures = check(rounds, job, instances)
        problems += found
    finally:
        rounds.down()
    print(f"{os.cpu_count()} cores, {time.monotonic() - began:.0f} s")
    print("rounds: " + ", ".join(f"{number} of {what}" for what, number in sorted(rounds.done.items())))
    print(
        f"instances: {figures['instances']}, attempts that began: {figures['start']}, run again: {figures['run again']}"
    )
    for problem in problems[:40]:
        print("WRONG:", problem)
    print("each accepted once, none lost, no overlap" if not problems else f"{len(problems)} things are wrong")
    return 1 if problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--partitions", type=int, default=10)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--lease", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        return run(Path(folder), options, random.Random(seed))


if __name__ == "__main__":
    sys.exit(main())
