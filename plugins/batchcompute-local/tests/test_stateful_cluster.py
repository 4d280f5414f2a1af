"""Random histories of a cluster: nodes fail, links break, reports come late, the service restarts. A model counts along.

`SimulatedCluster` knows what really runs. It refuses two attempts of an instance at once, and an attempt that is started before
the final event of the one before. Here it is checked beside that that each instance is accepted once, and none is lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from benchmarks.cluster_simulation import Faults, Simulation
from benchmarks.simulated_cluster import SimulatedCluster

picks = st.integers(0, 1 << 16)
W, R, F, X, S = 1, 2, 3, 4, 5


class Machine(RuleBasedStateMachine):
    """Three nodes with two slots each."""

    make_folder: ClassVar[Callable[[], Path]]

    def __init__(self) -> None:
        super().__init__()
        self.cluster = SimulatedCluster(3, 2)
        self.cluster.look_ahead = 4
        self.simulation = Simulation(type(self).make_folder(), self.cluster)
        self.simulation.turn()
        self.jobs: dict[str, int] = {}
        self.accepted: dict[tuple[str, int], tuple[Any, ...]] = {}

    def teardown(self) -> None:
        """Everything is mended: then all jobs that are wanted end, each instance accepted once."""
        self.mend_all()
        self.simulation.finish(3)
        for job, number in self.jobs.items():
            if self.ask("get_job", job)["State"] not in ("Stopped", "Failed"):
                self.simulation.check(job, number)
        assert not self.simulation.engine.busy
        assert self.simulation.engine.store.claims() == {}
        self.agrees()
        self.simulation.engine.close()

    def ask(self, operation: str, *arguments: Any) -> Any:
        found = self.simulation.engine.submit(
            lambda turn: getattr(self.simulation.service, operation)(turn, 1, *arguments)
        )
        self.simulation.turn()
        return found.result(0)

    def node(self, pick: int) -> Any:
        return list(self.cluster.nodes.values())[pick % len(self.cluster.nodes)]

    # -- what users do

    @precondition(lambda self: len(self.jobs) < 6)
    @rule(number=st.integers(1, 12))
    def create(self, number: int) -> None:
        self.jobs[self.simulation.submit(number)] = number

    @precondition(lambda self: self.jobs)
    @rule(pick=picks)
    def stop_or_start(self, pick: int) -> None:
        job = list(self.jobs)[pick % len(self.jobs)]
        state = self.ask("get_job", job)["State"]
        if state in ("Waiting", "Running"):
            self.ask("stop_job", job)
        elif state in ("Stopped", "Failed"):
            self.ask("start_job", job)

    @precondition(lambda self: self.jobs)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        job = list(self.jobs)[pick % len(self.jobs)]
        if self.ask("get_job", job)["State"] not in ("Waiting", "Running"):
            self.ask("delete_job", job)
            del self.jobs[job]
            self.accepted = {key: seen for key, seen in self.accepted.items() if key[0] != job}

    # -- what machines, links and the service do

    @rule(seconds=st.sampled_from([0.3, 1.0, 6.0, 31.0, 46.0]))
    def wait(self, seconds: float) -> None:
        until = self.cluster.now + seconds
        while self.cluster.advance(2, until):
            self.simulation.turn()
        self.cluster.now = until
        self.simulation.turn()

    @rule(pick=picks, is_cut=st.booleans())
    def take_away(self, pick: int, is_cut: bool) -> None:
        (self.cluster.cut if is_cut else self.cluster.crash)(self.node(pick))
        self.simulation.turn()

    @rule(pick=picks)
    def mend(self, pick: int) -> None:
        self.cluster.mend(self.node(pick))
        self.simulation.turn()

    def mend_all(self) -> None:
        for node in self.cluster.nodes.values():
            self.cluster.mend(node)
        self.simulation.turn()

    @rule(pick=picks)
    def give_back(self, pick: int) -> None:
        self.cluster.give_back(self.node(pick))
        self.simulation.turn()

    @rule(is_up_to_date=st.booleans())
    def restart_the_service(self, is_up_to_date: bool) -> None:
        """Also while reports wait that it has not taken up."""
        if not is_up_to_date:
            self.cluster.advance(3, self.cluster.now + 5.0)
        self.simulation.crash()

    # -- what must hold after every step

    @invariant()
    def agrees(self) -> None:
        """What was accepted stays as it is: state, attempt, times and code of each instance that is Finished."""
        for job in self.jobs:
            details = self.ask("list_tasks", job)["Task"]["InstanceStatusVector"]
            for one in details:
                key = job, one["InstanceId"]
                seen = tuple(one[name] for name in ("State", "WorkerStartTime", "WorkerEndTime", "EndTime"))
                if key in self.accepted:
                    assert seen == self.accepted[key], f"{key} was accepted twice"
                elif one["State"] == F:
                    self.accepted[key] = seen
                assert one["State"] not in (R, F) or one["Node"] in self.cluster.nodes
        for name, node in self.cluster.nodes.items():
            assert len(node.running) <= node.slots, name


def test_no_overlap_nothing_accepted_twice_and_nothing_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()

    def make_folder() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    monkeypatch.setattr(Machine, "make_folder", staticmethod(make_folder), raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("STATEFUL_EXAMPLES", "15")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_job_on_a_cluster_that_fails_all_the_time(tmp_path: Path, seed: int) -> None:
    """Of forty nodes about a quarter is always away; the service is killed again and again."""
    number = 3000
    cluster = SimulatedCluster(40, 2, seed)
    simulation = Simulation(tmp_path, cluster)
    simulation.turn()
    job = simulation.submit(number)
    faults = Faults(cluster, 2, seed)
    kills = 0
    while simulation.engine.active_jobs:
        assert cluster.advance(40)
        simulation.turn()
        kills += 1
        if kills % 25 == 0:
            simulation.crash()
    total = simulation.check(job, number)
    assert total < number * 4.0, "the time of each is counted once"
    assert cluster.begun > number
    assert cluster.late > 0
    assert faults.count > 50
    simulation.engine.close()
