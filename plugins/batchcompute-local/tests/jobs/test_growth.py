"""A job of many instances: memory has those that may still run, the store has all of them."""

from __future__ import annotations

import gc
import sqlite3

import pytest
from batchcompute_local.damage import DamageError
from batchcompute_local.executors.base import Exited, Recovered, Started
from batchcompute_local.jobs.model import Instance
from batchcompute_local.jobs.reading import Reading

from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

COUNT = 40


def _in_memory() -> int:
    gc.collect()
    return sum(isinstance(one, Instance) for one in gc.get_objects())


def _run(world: World, number: int) -> None:
    """End so many instances; none of them failed."""
    for _ in range(number):
        launched = world.executor.launched.pop(0)
        world.end(launched.attempt)


def test_an_instance_that_ended_is_in_the_store_only(world: World) -> None:
    before = _in_memory()
    job = world.create(describe({"A": {"InstanceCount": COUNT}}))
    _run(world, 30)
    assert _in_memory() - before == world.slots
    assert world.states(job)["A"] == [3] * 30 + [2] * 2 + [1] * 8


def test_a_job_that_goes_on_keeps_no_failed_instance_in_memory(world: World) -> None:
    before = _in_memory()
    job = world.create(describe({"A": {"InstanceCount": COUNT}}, JobFailOnInstanceFail=False))
    for _ in range(10):
        world.end(world.executor.launched.pop(0).attempt, code=1)
    assert _in_memory() - before == world.slots
    assert world.states(job)["A"] == [4] * 10 + [2] * 2 + [1] * 28


def test_the_next_daemon_reads_what_may_still_run(world: World) -> None:
    job = world.create(describe({"A": {"InstanceCount": COUNT}, "B": {}}, {"A": ["B"]}))
    _run(world, 30)
    before = _in_memory()
    world.crash(FakeExecutor(Recovered(frozenset({f"{job}.0.30.1", f"{job}.0.31.1"}))))
    assert _in_memory() <= before  # those of the daemon before are gone with it
    for attempt in (f"{job}.0.30.1", f"{job}.0.31.1"):
        world.end(attempt)
    _run(world, 9)
    assert world.job(job)["State"] == "Terminated"
    assert world.states(job) == {"A": [3] * COUNT, "B": [3]}


def test_each_instance_runs_once_over_a_crash_and_a_start_anew(world: World) -> None:
    job = world.create(describe({"A": {"InstanceCount": COUNT}}))
    _run(world, 10)
    world.crash(FakeExecutor())  # its two attempts are lost
    assert world.executor.order() == [("A", 10), ("A", 11)]
    world.end(f"{job}.0.10.2", code=1)
    world.do(lambda turn: world.service.start_job(turn, 1, job))
    launched = [(one.number, one.attempt.rpartition(".")[2]) for one in world.executor.launched]
    assert launched == [(10, "2"), (11, "2"), (10, "3")]
    world.end(f"{job}.0.11.2")
    assert [one.number for one in world.executor.launched] == [10, 11, 10, 11]


def test_instances_that_left_no_trace_run_in_order(world: World) -> None:
    """A job that was restored from a copy has rows with gaps: of those between, nothing was left."""
    job = world.create(describe({"A": {"InstanceCount": 12}}))
    _run(world, 8)
    world.engine.store.close()
    with sqlite3.connect(world.path) as db:
        db.execute("DELETE FROM instances WHERE number IN (3, 5)")
        db.execute("UPDATE tasks SET finished = finished - 2, waiting = waiting + 2")
        db.execute("UPDATE jobs SET finished = finished - 2, waiting = waiting + 2")
    db.close()
    world.slots = 6
    world.open(FakeExecutor())
    assert [one.number for one in world.executor.launched] == [3, 5, 8, 9, 10, 11]
    assert world.states(job)["A"] == [3, 3, 3, 2, 3, 2, 3, 3, 2, 2, 2, 2]


def test_a_reader_of_a_snapshot_knows_the_begin_of_what_ended_meanwhile(world: World) -> None:
    job = world.create(describe({"A": {"InstanceCount": 3}}))
    world.executor.sink(Started(f"{job}.0.0.1", 100.0, "h"))
    world.engine.turn()

    def read(reading: Reading) -> tuple[int, float]:
        found = reading.find(job)
        assert found is not None
        world.executor.sink(Exited(f"{job}.0.0.1", code=0, started=100.0, ended=102.0, host="h"))
        world.engine.turn()
        (task,) = reading.tasks(found)
        one = next(reading.instances(found, task))
        return int(one.state), one.worker_started

    assert world.engine.recall(read) == (2, 100.0)


@pytest.mark.parametrize("number", [-1, 3])
def test_a_row_of_an_instance_that_is_not_there_is_damage(world: World, number: int) -> None:
    world.create(describe({"A": {"InstanceCount": 3}}))
    world.engine.store._db.execute("UPDATE instances SET number = ? WHERE number = 1", (number,))
    if number < 0:
        world.engine.store._db.execute("DELETE FROM instances WHERE number >= 0")
    with pytest.raises(DamageError):
        world.engine.store.active()
