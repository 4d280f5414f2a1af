"""MaxRetryCount: which ends spend a retry, how long an instance waits for it, and that a crash keeps all that."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from batchcompute_local.executors.base import Exited, Lost, Recovered, Returned
from batchcompute_local.settings import Settings

from tests.support.clock import Clock
from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World
from tests.support.waits import wait_for

W, R, F, X, S = 1, 2, 3, 4, 5


def _create(world: World, retries: int, **more: Any) -> str:
    return world.create(describe({"A": {"MaxRetryCount": retries} | more}))


def _attempts(world: World) -> list[str]:
    return [launch.attempt.partition(".")[2] for launch in world.executor.launched]


def _pass(world: World, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    world.engine.turn()


def test_retries_wait_longer_each_time_and_then_it_fails(world: World, clock: Clock) -> None:
    job_id = _create(world, 3)
    for number, pause in enumerate((1, 2, 4), start=1):
        world.end(f"{job_id}.0.0.{number}", code=3)
        assert world.states(job_id) == {"A": [W]}
        assert world.job(job_id)["State"] == "Running"
        _pass(world, clock, pause - 0.001)
        assert len(world.executor.launched) == number
        _pass(world, clock, 0.001)
        assert len(world.executor.launched) == number + 1
    world.end(f"{job_id}.0.0.4", code=3)
    assert (world.states(job_id), world.job(job_id)["State"]) == ({"A": [X]}, "Failed")
    assert _attempts(world) == ["0.0.1", "0.0.2", "0.0.3", "0.0.4"]
    assert len(world.executor.acknowledged) == 4


def test_a_retry_that_succeeds_finishes_the_job(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    world.end(f"{job_id}.0.0.1", code=3)
    _pass(world, clock, 1)
    world.end(f"{job_id}.0.0.2")
    job = world.job(job_id)
    assert (job["State"], job["NumFailedInstance"], job["TotalTime"]) == ("Terminated", 0, 2)


@pytest.mark.parametrize("how", [{"code": 1}, {"signal": 9}, {"code": 0, "timed_out": True}])
def test_an_exit_code_a_signal_and_a_timeout_spend_a_retry(world: World, clock: Clock, how: dict[str, Any]) -> None:
    job_id = _create(world, 1)
    for number, state in ((1, W), (2, X)):
        world.executor.sink(Exited(f"{job_id}.0.0.{number}", started=1.0, ended=2.0, **how))
        world.engine.turn()
        assert world.states(job_id) == {"A": [state]}
        _pass(world, clock, 60)


def test_a_program_that_cannot_be_started_has_no_retry(world: World) -> None:
    job_id = _create(world, 5)
    world.executor.sink(Exited(f"{job_id}.0.0.1", reason="no such package"))
    world.engine.turn()
    assert world.states(job_id) == {"A": [X]}


@pytest.mark.parametrize("kind", [Lost, Returned])
def test_a_lost_or_returned_attempt_spends_none_and_does_not_wait(world: World, clock: Clock, kind: Any) -> None:
    job_id = _create(world, 1)
    for number in (1, 2, 3):
        world.executor.sink(kind(f"{job_id}.0.0.{number}"))
        world.engine.turn()
    world.end(f"{job_id}.0.0.4", code=1)
    _pass(world, clock, 1)
    world.executor.sink(kind(f"{job_id}.0.0.5"))  # the retry itself is lost: that one is still spent
    world.engine.turn()
    assert world.states(job_id) == {"A": [R]}
    world.end(f"{job_id}.0.0.6", code=1)
    assert world.states(job_id) == {"A": [X]}


def test_other_work_goes_on_meanwhile(world: World, clock: Clock) -> None:
    job_id = _create(world, 1, InstanceCount=4)
    world.end(f"{job_id}.0.0.1", code=1)
    other = world.create(describe({"B": {}}, Priority=0))
    world.end(f"{job_id}.0.1.1", f"{job_id}.0.2.1")
    world.end(f"{job_id}.0.3.1")
    assert world.states(job_id) == {"A": [W, F, F, F]}
    assert world.job(other)["State"] == "Running"
    _pass(world, clock, 1)
    assert _attempts(world)[-2:] == ["0.0.1", "0.0.2"]
    world.end(f"{other}.0.0.1", f"{job_id}.0.0.2")
    assert {world.job(each)["State"] for each in (job_id, other)} == {"Terminated"}


def test_stop_spends_none_and_start_begins_the_count_anew(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    world.end(f"{job_id}.0.0.1", code=1)
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    assert world.states(job_id) == {"A": [S]}
    _pass(world, clock, 60)
    assert len(world.executor.launched) == 1
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))
    assert _attempts(world)[1:] == ["0.0.2"]  # at once
    world.end(f"{job_id}.0.0.2", code=1)
    assert world.states(job_id) == {"A": [W]}
    _pass(world, clock, 1)
    world.end(f"{job_id}.0.0.3", code=1)
    assert world.states(job_id) == {"A": [X]}


def test_one_that_waits_stays_waiting_when_the_job_fails(world: World, clock: Clock) -> None:
    job_id = world.create(describe({"A": {"MaxRetryCount": 1}, "B": {}}))
    world.end(f"{job_id}.0.0.1", code=1)
    world.end(f"{job_id}.1.0.1", code=1)
    assert (world.states(job_id), world.job(job_id)["State"]) == ({"A": [W], "B": [X]}, "Failed")
    _pass(world, clock, 60)
    assert len(world.executor.launched) == 2


def test_a_job_that_goes_on_waits_for_its_retries(world: World, clock: Clock) -> None:
    job_id = world.create(describe({"A": {"MaxRetryCount": 1}, "B": {}}, JobFailOnInstanceFail=False))
    world.end(f"{job_id}.1.0.1", code=1)
    world.end(f"{job_id}.0.0.1", code=1)
    assert world.job(job_id)["State"] == "Running"
    _pass(world, clock, 1)
    world.end(f"{job_id}.0.0.2")
    assert (world.states(job_id), world.job(job_id)["State"]) == ({"A": [F], "B": [X]}, "Failed")


def test_a_crash_keeps_the_pause_and_the_count(world: World, clock: Clock) -> None:
    job_id = _create(world, 2)
    world.end(f"{job_id}.0.0.1", code=1)
    _pass(world, clock, 1)
    world.end(f"{job_id}.0.0.2", code=1)
    world.crash(FakeExecutor())
    _pass(world, clock, 1.9)
    assert world.executor.launched == []
    _pass(world, clock, 0.1)
    assert _attempts(world) == ["0.0.3"]
    world.end(f"{job_id}.0.0.3", code=1)
    assert world.states(job_id) == {"A": [X]}


def test_an_end_that_is_reported_again_after_a_crash_is_counted_once(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    world.end(f"{job_id}.0.0.1", code=1)
    again = Exited(f"{job_id}.0.0.1", code=1, started=1.0, ended=2.0)
    world.crash(FakeExecutor(Recovered(ended=(again,))))
    assert (world.states(job_id), world.executor.launched) == ({"A": [W]}, [])
    _pass(world, clock, 1)
    assert _attempts(world) == ["0.0.2"]


def test_a_clock_that_was_set_back_does_not_hold_a_retry(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    world.end(f"{job_id}.0.0.1", code=1)
    _pass(world, clock, -3600)
    assert _attempts(world) == ["0.0.1", "0.0.2"]


def test_the_engine_wakes_by_itself(world: World, clock: Clock) -> None:
    """Its thread gets nothing to do; the time passes two hundred times as fast."""
    began = time.monotonic()
    world.clock = lambda: 1000.0 + 200 * (time.monotonic() - began)
    job_id = _create(world, 2)
    world.end(f"{job_id}.0.0.1", code=1)
    world.engine.start()
    wait_for(lambda: len(world.executor.launched) == 2, "the first retry")
    world.executor.end(f"{job_id}.0.0.2", code=1)
    wait_for(lambda: len(world.executor.launched) == 3, "the second retry")
    assert world.engine.alive
    world.engine.close()


def test_a_pause_of_nothing(world: World, clock: Clock) -> None:
    world.settings = Settings(retry_seconds=0.0)
    world.crash(FakeExecutor())
    job_id = _create(world, 1)
    world.end(f"{job_id}.0.0.1", code=1)
    assert _attempts(world) == ["0.0.1", "0.0.2"]


def test_the_description_has_the_property_only_if_it_was_sent(world: World) -> None:
    for value, shown in ((None, None), (0, None), (10, 10)):
        job_id = world.create(describe({"A": {"MaxRetryCount": value}}))
        view = world.do(partial(world.service.get_job_description, owner=1, job_id=job_id))
        assert view["TaskDag"]["TaskDescMap"]["A"].get("MaxRetryCount") is shown
