"""Earlier attempts: which are kept, with what, in which round, until the job is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from batchcompute_local.executors.base import Exited, Lost, Recovered, Returned, Started
from batchcompute_local.jobs.log_choice import LogChoice
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.states import FAILED, STOPPED
from batchcompute_local.records import Leftover
from batchcompute_local.settings import Settings

from tests.support.clock import Clock
from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

LEFT = Leftover(7, "sleep", "SIGTERM")


def _create(world: World, retries: int = 0, **more: Any) -> str:
    return world.create(describe({"A": {"MaxRetryCount": retries}}, **more))


def _exit(world: World, attempt: str, **how: Any) -> None:
    world.executor.sink(Exited(attempt, started=100.0, ended=102.0, host="h", **how))
    world.engine.turn()


def _earlier(world: World) -> list[dict[str, Any]]:
    return [vars(one) for _, _, one in world.engine.store.attempts(1)]


def _start_anew(world: World, job_id: str) -> None:
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))


def test_a_happy_run_writes_none(world: World) -> None:
    job_id = _create(world, 3)
    _exit(world, f"{job_id}.0.0.1", code=0)
    assert _earlier(world) == []


def test_a_retry_keeps_how_the_attempt_ended(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    _exit(world, f"{job_id}.0.0.1", signal=9, reason="why", timed_out=True, leftovers=(LEFT,))
    (one,) = _earlier(world)
    assert one.pop("started") == one.pop("ended") == clock.now
    assert one == {
        "attempt": 1,
        "state": FAILED,
        "worker_started": 100.0,
        "worker_ended": 102.0,
        "exit_code": None,
        "signal": 9,
        "reason": "why",
        "host": "h",
        "round": 1,
        "timed_out": True,
        "leftovers": '[{"Pid":7,"Command":"sleep","Signal":"SIGTERM"}]',
        "node": "",
    }


def test_start_job_keeps_the_attempt_and_begins_a_new_round(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    for number in (1, 2):
        _exit(world, f"{job_id}.0.0.{number}", code=number)
        clock.now += 1
        world.engine.turn()
    _start_anew(world, job_id)
    _exit(world, f"{job_id}.0.0.3", code=3)  # the count of retries begins anew
    assert [(one["attempt"], one["round"], one["exit_code"]) for one in _earlier(world)] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 2, 3),
    ]
    assert world.job(job_id)["State"] == "Running"


def test_an_instance_that_waited_for_a_retry_has_each_attempt_once(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    _exit(world, f"{job_id}.0.0.1", code=1)
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    _start_anew(world, job_id)
    assert [(one["attempt"], one["state"]) for one in _earlier(world)] == [(1, FAILED)]


def test_the_end_of_a_stopped_program_is_kept_also_if_the_job_was_started_again_before(world: World) -> None:
    job_id = _create(world)
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    _start_anew(world, job_id)
    _exit(world, f"{job_id}.0.0.1", signal=15, reason="stopped")
    (one,) = _earlier(world)
    assert (one["state"], one["signal"], one["reason"], one["worker_ended"]) == (STOPPED, 15, "stopped", 102.0)


def test_a_lost_attempt_is_kept_and_one_that_was_given_back_is_not(world: World) -> None:
    job_id = _create(world)
    world.executor.sink(Returned(f"{job_id}.0.0.1"))
    world.engine.turn()
    world.executor.sink(Lost(f"{job_id}.0.0.2"))
    world.engine.turn()
    world.crash(FakeExecutor(Recovered()))
    found = [(one["attempt"], one["state"], one["reason"]) for one in _earlier(world)]
    assert found == [(number, FAILED, "lost: it is not known how it ended") for number in (2, 3)]


def test_as_many_as_the_setting_says_are_kept(world: World, clock: Clock) -> None:
    world.settings = Settings(kept_attempts=2)
    world.crash(FakeExecutor())
    job_id = _create(world, 5)
    for number in range(1, 5):
        _exit(world, f"{job_id}.0.0.{number}", code=number)
        clock.now += 60
        world.engine.turn()
    assert [one["attempt"] for one in _earlier(world)] == [3, 4]


def test_they_go_with_the_job(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    _exit(world, f"{job_id}.0.0.1", code=1)
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    world.do(lambda turn: world.service.delete_job(turn, 1, job_id))
    assert _earlier(world) == []


def test_instances_with_leftovers_are_counted_once_for_each_job(world: World, clock: Clock) -> None:
    job_id = _create(world, 1)
    for number in (1, 2):
        _exit(world, f"{job_id}.0.0.{number}", code=1, leftovers=(LEFT,))
        clock.now += 1
        world.engine.turn()
    assert world.engine.store.leftovers(1) == {job_id: 1}
    assert world.engine.store.leftovers(2) == {}


@pytest.mark.parametrize("stopped", [True, False])
def test_an_end_that_is_reported_again_changes_nothing(world: World, clock: Clock, stopped: bool) -> None:
    job_id = _create(world, 1)
    if stopped:
        world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
        _start_anew(world, job_id)
    _exit(world, f"{job_id}.0.0.1", code=3, leftovers=(LEFT,))
    before = _earlier(world)
    assert before[0]["exit_code"] == 3
    _exit(world, f"{job_id}.0.0.1", code=4)
    assert _earlier(world) == before


@pytest.mark.parametrize("where", ["turn", "snapshot"])
def test_the_newest_log_is_of_the_attempt_that_runs_once_its_program_began(
    world: World, clock: Clock, where: str
) -> None:
    """Where it runs is stored with its end only."""
    job_id = _create(world, 1)

    def newest() -> int | None:
        def choose(reading: Reading) -> LogChoice:
            return world.service.get_log(reading, 1, job_id, {"Task": "A", "Attempt": "1"})

        return (world.do(choose) if where == "turn" else world.engine.recall(choose)).newest

    assert newest() is None
    for number in (1, 2):
        world.executor.sink(Started(f"{job_id}.0.0.{number}", 101.0, "h"))
        world.engine.turn()
        assert newest() == number
        _exit(world, f"{job_id}.0.0.{number}", code=number)
        assert newest() == number
        clock.now += 60
        world.engine.turn()
        assert newest() == number, "the next one has not begun"
