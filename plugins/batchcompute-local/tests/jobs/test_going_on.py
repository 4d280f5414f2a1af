"""A job whose JobFailOnInstanceFail is false runs all it can, and is Failed in the end."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from batchcompute_local.executors.base import Exited, Recovered
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.settings import Settings

from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

W, R, F, X, S = 1, 2, 3, 4, 5


def _create(world: World, *job: Any) -> str:
    return world.create(describe(*job, JobFailOnInstanceFail=False))


def _tasks(world: World, job_id: str) -> dict[str, int]:
    tasks = world.do(lambda turn: world.service.list_tasks(turn, 1, job_id))
    return {name: task["State"] for name, task in tasks.items()}


def test_a_task_ends_when_all_its_instances_have_ended(world: World) -> None:
    job_id = _create(world, {"A": {"InstanceCount": 4}})
    world.end(f"{job_id}.0.0.1", code=2)
    assert world.states(job_id) == {"A": [X, R, R, W]}
    assert (_tasks(world, job_id), world.job(job_id)["State"]) == ({"A": R}, "Running")
    world.end(f"{job_id}.0.1.1", f"{job_id}.0.2.1")
    world.end(f"{job_id}.0.3.1", code=1)
    assert world.states(job_id) == {"A": [X, F, F, X]}
    job = world.job(job_id)
    assert (job["State"], job["NumFailedInstance"], job["NumFinishedInstance"]) == ("Failed", 2, 2)
    assert (_tasks(world, job_id), job["NumFailedTask"], job["EndTime"]) == ({"A": X}, 1, 1000)
    assert world.executor.stopped == []
    assert not world.engine.busy


def test_the_rest_of_the_graph_runs_and_successors_of_what_failed_never_start(world: World) -> None:
    graph = {"Bad": ["Never"], "Never": ["Last"], "Good": ["Then"], "Then": ["Last"]}
    job_id = _create(world, {name: {} for name in ("Bad", "Never", "Good", "Then", "Last")}, graph)
    world.end(f"{job_id}.0.0.1", code=1)
    assert world.job(job_id)["State"] == "Running"
    world.end(f"{job_id}.2.0.1")
    assert world.executor.order() == [("Bad", 0), ("Good", 0), ("Then", 0)]
    world.end(f"{job_id}.3.0.1")
    assert _tasks(world, job_id) == {"Bad": X, "Never": W, "Good": F, "Then": F, "Last": W}
    job = world.job(job_id)
    assert (job["State"], job["NumWaitingTask"], job["NumWaitingInstance"]) == ("Failed", 2, 2)
    assert len(world.executor.launched) == 3


def test_without_a_failure_it_finishes(world: World) -> None:
    job_id = _create(world, {"A": {}, "B": {}}, {"A": ["B"]})
    world.end(f"{job_id}.0.0.1")
    world.end(f"{job_id}.1.0.1")
    assert world.job(job_id)["State"] == "Terminated"


def test_start_runs_what_failed_and_what_never_ran(world: World) -> None:
    job_id = _create(world, {"A": {"InstanceCount": 3}, "B": {}}, {"A": ["B"]})
    world.end(f"{job_id}.0.0.1", code=1)
    world.end(f"{job_id}.0.1.1", f"{job_id}.0.2.1")
    assert world.job(job_id)["State"] == "Failed"
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))
    assert world.states(job_id) == {"A": [R, F, F], "B": [W]}
    assert world.executor.launched[-1].attempt == f"{job_id}.0.0.2"
    world.end(f"{job_id}.0.0.2")
    world.end(f"{job_id}.1.0.1")
    assert world.job(job_id)["State"] == "Terminated"


def test_stop_keeps_what_failed(world: World) -> None:
    job_id = _create(world, {"A": {"InstanceCount": 4}, "B": {}}, {"A": ["B"]})
    world.end(f"{job_id}.0.0.1", code=1)
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    assert world.states(job_id) == {"A": [X, S, S, S], "B": [S]}
    assert (_tasks(world, job_id), world.job(job_id)["State"]) == ({"A": S, "B": S}, "Stopped")


@pytest.mark.parametrize("last", [0, 1])
def test_a_crash_changes_nothing(world: World, last: int) -> None:
    job_id = _create(world, {"A": {"InstanceCount": 2}, "B": {}, "C": {}}, {"A": ["B"]})
    world.end(f"{job_id}.0.0.1", code=1)
    live = frozenset({f"{job_id}.2.0.1"})
    ended = Exited(f"{job_id}.0.1.1", code=last, started=1.0, ended=2.0)
    world.crash(FakeExecutor(Recovered(live, (ended,))))
    assert world.states(job_id) == {"A": [X, X if last else F], "B": [W], "C": [R]}
    assert world.job(job_id)["State"] == "Running"
    world.end(f"{job_id}.2.0.1")
    assert world.job(job_id)["State"] == "Failed"


def test_the_description_has_the_property_only_if_it_was_sent(world: World) -> None:
    for value, shown in ((None, None), (True, None), (False, False)):
        job_id = world.create(describe({"A": {}}, JobFailOnInstanceFail=value))
        view = world.do(partial(world.service.get_job_description, owner=1, job_id=job_id))
        assert view.get("JobFailOnInstanceFail") is shown
        assert read_description(describe({"A": {}}, JobFailOnInstanceFail=value), Settings()).goes_on is (
            value is False
        )
