"""Random sequences of all operations, against a model of protocol 2.3 to 2.6 that shares no code with the service.

The model gets the requests of the user and the ends of programs; it never schedules. What the service starts is checked: it
must be the first of what may start, and something must be started while there is room. Time passes only by a rule, so that the
pauses before retries can be checked to the second.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Exited, Lost, Recovered, Returned, Started
from batchcompute_local.records import Leftover
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from reference_model import ALLOWED, F, Model, Past, R, S, W, X, expected_view, new_model, tasks_of

from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

STEPS = count()
TITLES = ("Init", "Waiting", "Running", "Finished", "Failed", "Stopped")

graphs = st.lists(st.integers(1, 3), min_size=1, max_size=4).flatmap(
    lambda sizes: st.tuples(
        st.just(sizes),
        st.sets(st.sampled_from([(a, b) for b in range(len(sizes)) for a in range(b)] or [(0, 0)]), max_size=4).map(
            lambda edges: {(a, b) for a, b in edges if a != b}
        ),
    )
)
picks = st.integers(0, 1 << 16)
LEFT = (Leftover(7, "sleep", "SIGTERM"), Leftover(8, "tee", "SIGKILL"))
ends = st.sampled_from(
    [{"code": 0}] * 4
    + [{"code": 3}, {"signal": 9}, {"code": 0, "timed_out": True}, {}]
    + [{"code": 0, "leftovers": LEFT}, {"code": 3, "leftovers": LEFT[:1]}]
)


class Machine(RuleBasedStateMachine):
    """The service over a real store and an executor in our hands."""

    make_world: ClassVar[Callable[[], World]]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).make_world()
        self.now = 1000.0
        self.world.clock = lambda: self.now
        self.jobs: dict[str, Model] = {}
        self.gone: list[str] = []
        self.live: dict[str, None] = {}

    def teardown(self) -> None:
        self.world.engine.store.close()

    # -- what users ask

    @rule(
        owner=st.sampled_from([1, 1, 1, 2]),
        priority=st.integers(0, 3),
        graph=graphs,
        retries=st.lists(st.sampled_from([0, 0, 1, 2, 10]), min_size=4, max_size=4),
        goes_on=st.booleans(),
    )
    def create(self, owner: int, priority: int, graph: Any, retries: list[int], goes_on: bool) -> None:
        sizes, edges = graph
        body = describe(*tasks_of(sizes, edges, retries), Priority=priority, JobFailOnInstanceFail=not goes_on)
        self.jobs[self.world.create(body, owner)] = new_model(owner, priority, sizes, edges, retries, goes_on)

    @rule(pick=picks, action=st.sampled_from(sorted(ALLOWED)), other=st.integers(0, 9), value=st.integers(0, 3))
    def act(self, pick: int, action: str, other: int, value: int) -> None:
        everyone = [*self.jobs, *self.gone[-1:], "job-0"]
        job_id = everyone[pick % len(everyone)]
        job = self.jobs.get(job_id)
        owner = (job.owner if job else 1) + (other == 0)
        service = self.world.service
        calls: dict[str, Callable[[Any], Any]] = {
            "stop": lambda turn: service.stop_job(turn, owner, job_id),
            "start": lambda turn: service.start_job(turn, owner, job_id),
            "delete": lambda turn: service.delete_job(turn, owner, job_id),
            "priority": lambda turn: service.update_job_priority(turn, owner, job_id, value),
        }
        answer = self.answer(calls[action])
        if job is None or job.owner != owner:
            assert answer == (404, "ResourceNotFound")
        elif job.state not in ALLOWED[action]:
            assert answer == (409, "StateConflict")
        else:
            assert answer is None
            self.applied(job_id, action, value)

    def retried(self) -> list[str]:
        """The jobs that have spent retries and are not Finished."""
        return [job_id for job_id, job in self.jobs.items() if job.state != F and any(map(any, job.spent))]

    @precondition(lambda self: self.retried())
    @rule(pick=picks)
    def start_anew(self, pick: int) -> None:
        """Stop and start a job that has spent retries: rare by chance, and the count begins anew."""
        found = self.retried()
        job_id = found[pick % len(found)]
        job, service = self.jobs[job_id], self.world.service
        if job.state in ALLOWED["stop"]:
            assert self.answer(lambda turn: service.stop_job(turn, job.owner, job_id)) is None
            self.applied(job_id, "stop", 0)
        assert self.answer(lambda turn: service.start_job(turn, job.owner, job_id)) is None
        self.applied(job_id, "start", 0)

    def applied(self, job_id: str, action: str, value: int) -> None:
        job = self.jobs[job_id]
        if action == "delete":
            del self.jobs[job_id]
            self.gone.append(job_id)
        elif action == "priority":
            job.priority = value
        else:
            (job.stop if action == "stop" else job.start)()

    def answer(self, call: Callable[[Any], Any]) -> tuple[int, str] | None:
        try:
            assert self.world.do(call) is None
        except ServiceError as error:
            return error.status, error.code
        return None

    # -- what time, programs and machines do

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.world.engine.turn()

    @precondition(lambda self: self.live)
    @rule(which=st.lists(st.tuples(picks, ends), min_size=1, max_size=4), stale=st.booleans())
    def end(self, which: list[tuple[int, dict[str, Any]]], stale: bool) -> None:
        for pick, how in which:
            if self.live:
                attempt = list(self.live)[pick % len(self.live)]
                self.world.executor.sink(Started(attempt, 100.0, "h"))
                self.exit(attempt, how)
        if stale and self.world.executor.acknowledged:  # reported twice
            self.world.executor.sink(Exited(self.world.executor.acknowledged[-1], code=1))
        self.world.engine.turn()

    def exit(self, attempt: str, how: dict[str, Any]) -> Exited:
        event = Exited(attempt, started=100.0, ended=102.0, **how)
        self.world.executor.sink(event)
        good = how.get("code") == 0 and "timed_out" not in how
        self.over(attempt, good, spends=how != {}, leftovers=len(how.get("leftovers", ())))
        return event

    def over(
        self, attempt: str, good: bool | None, spends: bool = True, leftovers: int = 0, began: bool = True
    ) -> None:
        """The attempt's last process is gone; how it ended is not known if `good` is None."""
        del self.live[attempt]
        job_id, *numbers = attempt.split(".")
        n, k, number = (int(word) for word in numbers)
        job = self.jobs.get(job_id)
        if job is not None and job.states[n][k] == R and job.attempts[n][k] == number:
            if good is not None:
                job.ended(n, k, good, self.now, spends, leftovers)
            elif began:
                job.lost(n, k)
            else:
                job.states[n][k] = W
        elif job is not None and good is not None:
            self.tell_late(job, n, k, number, leftovers)

    def tell_late(self, job: Model, n: int, k: int, number: int, leftovers: int) -> None:
        """The program of a stopped instance has ended: its attempt learns what it left."""
        past = job.history.get((n, k), [])
        job.history[n, k] = [one._replace(leftovers=leftovers) if one.number == number else one for one in past]

    @precondition(lambda self: self.live)
    @rule(pick=picks, how=st.sampled_from([Lost, Returned]))
    def lose(self, pick: int, how: Callable[[str], Lost | Returned]) -> None:
        attempt = list(self.live)[pick % len(self.live)]
        self.world.executor.sink(how(attempt))
        self.over(attempt, None, began=how is Lost)
        self.world.engine.turn()

    @rule(fates=st.lists(st.sampled_from(["lives", "lives", "lost", "good", "bad"]), max_size=6))
    def crash(self, fates: list[str]) -> None:
        """The daemon is killed; meanwhile some programs end and some vanish with the runner."""
        reports = list(zip(list(self.live), fates, strict=False))
        events = []
        for attempt in [attempt for attempt, fate in reports if fate == "lost"]:
            self.over(attempt, None)
        for attempt, fate in reports:
            if fate in ("good", "bad"):
                events.append(Exited(attempt, code=int(fate == "bad"), started=100.0, ended=102.0))
                self.over(attempt, fate == "good")
        live = frozenset(self.live)
        self.world.crash(FakeExecutor(Recovered(live, tuple(events))))

    @precondition(lambda self: self.live)
    @rule(pick=picks, how=ends, turns=st.integers(1, 3))
    def full_disk(self, pick: int, how: dict[str, Any], turns: int) -> None:
        """Turns that cannot be committed did not happen; what is read stays the same; a report in them is taken up later."""
        store = self.world.engine.store

        def full(changes: Any) -> None:
            store.flush(changes)
            raise sqlite3.OperationalError("database or disk is full")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "commit", full)
            launched = len(self.world.executor.launched)
            before = self.read(self.world.engine.look)
            self.exit(list(self.live)[pick % len(self.live)], how)
            for _ in range(turns):
                with pytest.raises(ServiceError, match=r"ServiceUnavailable: .*disk is full"):
                    self.world.create(describe({"t0": {}}))
                assert self.read(self.world.engine.recall) == self.read(self.world.engine.look) == before
            assert len(self.world.executor.launched) == launched
        self.world.engine.turn()

    def read(self, through: Callable[[Callable[[Any], Any]], Any]) -> Any:
        """What each owner reads of the jobs, but for the reasons why they wait."""

        def run(reading: Any) -> Any:
            service, found = self.world.service, {}
            for owner in (1, 2):
                for job_id in (jobs := service.list_jobs(reading, owner)):
                    one = service.get_job(reading, owner, job_id)
                    assert one == jobs[job_id]
                    tasks = service.list_tasks(reading, owner, job_id)
                    for task in tasks.values():  # when it began is stored with its end
                        task["InstanceStatusVector"] = [
                            each | {"WorkerStartTime": 0} for each in task["InstanceStatusVector"]
                        ]
                    found[job_id] = one, tasks, service.get_job_description(reading, owner, job_id)
            return found

        return through(run)

    # -- what must hold after every step

    @invariant()
    def agrees(self) -> None:
        next(STEPS)
        self.check_starts()
        for owner in (1, 2):
            listed = self.world.do(partial(self.world.service.list_jobs, owner=owner))
            assert set(listed) == {job_id for job_id, job in self.jobs.items() if job.owner == owner}
            for job_id, view in listed.items():
                tasks = self.world.do(partial(self.world.service.list_tasks, owner=owner, job_id=job_id))
                self.compare(self.jobs[job_id], view, tasks)
                self.compare_attempts(owner, job_id)
            remarks = self.world.do(partial(self.world.service.list_job_details, owner=owner))["Jobs"]
            left = {job_id: self.jobs[job_id].leftovers() for job_id in listed}
            seen = {job_id: one["Leftovers"] for job_id, one in remarks.items() if one["Leftovers"]}
            assert seen == {job_id: count for job_id, count in left.items() if count}
            assert all(self.jobs[job_id].state in (W, R) for job_id, one in remarks.items() if one["Reason"])

    def compare_attempts(self, owner: int, job_id: str) -> None:
        """Attempts, rounds and leftovers, as details tell them."""
        job = self.jobs[job_id]
        details = self.world.do(lambda turn: self.world.service.get_job_details(turn, owner, job_id, {}))
        assert details["Round"] == job.round
        for n, task in enumerate(details["Tasks"].values()):
            for k, state in enumerate(job.states[n]):
                seen = [
                    Past(one["Attempt"], one["Round"], TITLES.index(one["State"]), len(one["Leftovers"]))
                    for one in task["Instances"].get(str(k), {"Attempts": []})["Attempts"]
                ]
                if state == R and seen:
                    assert seen.pop() == (job.attempts[n][k], job.round, R, 0)
                assert seen == job.listed(n, k)
        assert sum(task["Leftovers"] for task in details["Tasks"].values()) == job.leftovers()

    def compare(self, job: Model, view: dict[str, Any], tasks: dict[str, Any]) -> None:
        want = expected_view(job)
        assert {name: view[name] for name in want} == want
        assert bool(view["EndTime"]) == (job.state in (S, X, F))
        assert bool(view["StartTime"]) == job.begun
        for n, task in enumerate(tasks.values()):
            seen = [one["State"] for one in task["InstanceStatusVector"]]
            assert seen == job.states[n]
            assert task["State"] == job.task_state(n)
            assert bool(task["EndTime"]) == (task["State"] in (S, X, F))
            assert task["UnfinishedInstances"] == [k for k, state in enumerate(seen) if state != F]
            for one in task["InstanceStatusVector"]:
                assert bool(one["StartTime"]) >= (one["State"] in (R, F, X))
                assert one["State"] not in (W, R) or not one["EndTime"]

    def check_starts(self) -> None:
        """Each start was the first that was due, and no attempt of an instance began while another lived."""
        launches, self.world.executor.launched = self.world.executor.launched, []
        for launch in launches:
            assert self.due()[:1] == [(launch.job, launch.task.name, launch.number)]
            job, n = self.jobs[launch.job], int(launch.task.name[1:])
            job.started(n, launch.number)
            assert launch.attempt == f"{launch.job}.{n}.{launch.number}.{job.attempts[n][launch.number]}"
            self.live[launch.attempt] = None
        assert len(self.live) >= self.world.slots or not self.due()

    def due(self) -> list[tuple[str, str, int]]:
        busy = {attempt.rpartition(".")[0] for attempt in self.live}
        return [
            (job_id, f"t{n}", k)
            for job_id, job in sorted(self.jobs.items(), key=lambda each: (-each[1].priority, each[0]))
            for n, k in job.may_start(self.now)
            if f"{job_id}.{n}.{k}" not in busy
        ]


def test_no_divergence(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count()

    def make_world() -> World:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return World(folder, slots=2)

    monkeypatch.setattr(Machine, "make_world", staticmethod(make_world), raising=False)
    monkeypatch.setattr("batchcompute_local.jobs.writing._log.error", lambda *_, **__: None)
    examples = int(os.environ.get("STATEFUL_EXAMPLES", "15"))
    before = next(STEPS)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    with capsys.disabled():
        print(f"\n{next(STEPS) - before - 1} steps of {examples} random histories, no divergence from the model")
