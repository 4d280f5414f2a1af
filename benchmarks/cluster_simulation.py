"""A job on a cluster that only exists in memory: engine and store as they are, over `SimulatedCluster`.

`python -m benchmarks.cluster_simulation COUNT` runs one such job on ten thousand nodes, after a small one, in a process of its
own, and prints as JSON what it took: `seconds` (wall) and `cpu` for each instance, and the highest memory in `bytes`. With
`faults` machines fail and links break all the time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from subprocess import PIPE, run

from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.store import Store
from batchcompute_local.settings import Settings

from .bench_service_stage import describe
from .simulated_cluster import EXPIRY_SECONDS, SimulatedCluster

NODES, SLOTS = 10_000, 4
_BATCH = 500
"""Things that happen between two turns."""
_WARM = 1000
_LONGEST_SECONDS = 1800.0


class Faults:
    """Takes `at_once` nodes away at a time, half of them by a broken link, for up to twice the time that a lease needs to end."""

    def __init__(self, cluster: SimulatedCluster, at_once: int, seed: int = 0) -> None:
        self.count = 0
        self._cluster = cluster
        self._random = Random(seed)
        self._names = sorted(cluster.nodes)
        for _ in range(at_once):
            self._later()

    def _later(self) -> None:
        node = self._cluster.nodes[self._random.choice(self._names)]
        self._cluster.after(self._random.uniform(0.0, 5.0), node, self._take_away)

    def _take_away(self) -> None:
        cluster, node = self._cluster, self._cluster.nodes[self._random.choice(self._names)]
        if node.answers:
            self.count += 1
            self._random.choice([cluster.cut, cluster.crash])(node)
        cluster.after(self._random.uniform(0.0, 2 * EXPIRY_SECONDS), node, lambda: cluster.mend(node))
        self._later()


class Simulation:
    """A service over a store in `folder`, turned by hand."""

    def __init__(self, folder: Path, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.service = Service()
        self._path = folder / "state.sqlite3"
        self.engine = self._open()

    def _open(self) -> Engine:
        engine = Engine(Store(self._path), self.cluster, 1, lambda: self.cluster.now)
        engine.recover()
        return engine

    def crash(self) -> None:
        """Go on with another service, which knows what the store has."""
        self.engine.close()
        self.engine = self._open()

    def submit(self, count: int) -> str:
        """Submit a job of so many instances; return its id."""
        description = describe({"Task": {"InstanceCount": count}}, {})
        plan = read_description(json.dumps(description).encode(), Settings())
        answer = self.engine.submit(lambda turn: self.service.create_job(turn, 1, plan))
        self.turn()
        return str(answer.result(0)["ResourceId"])

    def turn(self) -> None:
        """Do all there is to do at this moment."""
        self.engine.turn()
        while self.engine._patience() == 0.0 or not self.engine._inbox._queue.empty():
            self.engine.turn()

    def finish(self, batch: int = _BATCH) -> None:
        """Let time pass until no job is left."""
        while self.engine.active_jobs:
            assert self.cluster.advance(batch), "nothing happens any more, and jobs wait"
            self.turn()

    def check(self, job: str, count: int) -> float:
        """Check that the job has ended and each instance was accepted once; return the seconds that the accepted ones took."""
        found = self.engine.recall(lambda reading: self.service.get_job(reading, 1, job))
        assert (found["State"], found["NumFinishedInstance"]) == ("Terminated", count), found
        return float(found["TotalTime"])


def _measure(count: int, nodes: int, with_faults: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as made:
        cluster = SimulatedCluster(nodes, SLOTS)
        simulation = Simulation(Path(made), cluster)
        simulation.turn()
        job = simulation.submit(_WARM)
        simulation.finish()
        simulation.check(job, _WARM)
        faults = Faults(cluster, nodes // 100) if with_faults else None
        started, cpu = time.perf_counter(), time.process_time()
        job = simulation.submit(count)
        simulation.finish()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        simulation.check(job, count)
        simulation.engine.close()
    status = Path("/proc/self/status").read_text()
    memory = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    found = {"seconds": seconds / count, "cpu": cpu / count, "bytes": memory, "begun": cluster.begun - _WARM}
    return found | {"late": cluster.late, "faults": faults.count if faults else 0}


def simulate(count: int, nodes: int = NODES, with_faults: bool = False) -> dict[str, float]:
    """Measure one run, in a process of its own."""
    words = ["faults"] if with_faults else []
    command = [sys.executable, "-m", "benchmarks.cluster_simulation", *words, str(nodes), str(count)]
    done = run(command, stdout=PIPE, check=True, timeout=_LONGEST_SECONDS)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[-1]), int(sys.argv[-2]), "faults" in sys.argv)))
