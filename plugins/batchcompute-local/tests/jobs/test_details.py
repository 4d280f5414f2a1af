"""The details of a job: which instances are listed, with which attempts, and what may be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Exited, Lost
from batchcompute_local.jobs import details
from batchcompute_local.jobs.model import Instance
from batchcompute_local.jobs.tables import INSTANCES
from batchcompute_local.records import Leftover

from batchcompute import JobDetails, JobDetailsList
from tests.support.clock import Clock
from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World


def _details(world: World, job_id: str, parameters: Mapping[str, str] | None = None, owner: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = world.do(lambda turn: world.service.get_job_details(turn, owner, job_id, parameters or {}))
    JobDetails.from_wire(found)
    return found


def _exit(world: World, attempt: str, **how: Any) -> None:
    world.executor.sink(Exited(attempt, started=100.1234, ended=102.0, host="h", **how))
    world.engine.turn()


@pytest.fixture
def mixed(world: World, clock: Clock) -> str:
    """A job of eight instances: 1 left a process, 3 ran twice, 5 failed; 6 and 7 run."""
    world.slots = 2
    job = world.create(describe({"A": {"InstanceCount": 8, "MaxRetryCount": 1}}, JobFailOnInstanceFail=False))
    _exit(world, f"{job}.0.0.1", code=0)
    _exit(world, f"{job}.0.1.1", code=0, leftovers=(Leftover(7, "sleep", "SIGTERM"),))
    _exit(world, f"{job}.0.3.1", signal=9)
    clock.now += 1
    _exit(world, f"{job}.0.2.1", code=0)
    _exit(world, f"{job}.0.3.2", code=0)
    for number in (1, 2):
        _exit(world, f"{job}.0.5.{number}", code=3, reason="why")
        clock.now += 1
        _exit(world, f"{job}.0.4.1", code=0)
    return job


def test_instances_with_something_to_say_are_listed(world: World, mixed: str) -> None:
    found = _details(world, mixed)
    task = found["Tasks"]["A"]
    assert list(task["Instances"]) == ["1", "3", "5"]
    assert (task["MaxRetryCount"], task["Leftovers"], task["More"]) == (1, 1, 0)
    assert (found["Round"], found["JobFailOnInstanceFail"]) == (1, False)
    seen = {
        number: [(one["Attempt"], one["State"], one["ExitCode"], one["Signal"]) for one in instance["Attempts"]]
        for number, instance in task["Instances"].items()
    }
    assert seen == {
        "1": [(1, "Finished", 0, None)],
        "3": [(1, "Failed", None, 9), (2, "Finished", 0, None)],
        "5": [(1, "Failed", 3, None), (2, "Failed", 3, None)],
    }
    assert task["Instances"]["5"] | {"Attempts": []} == {"State": "Failed", "Reason": "", "Retries": 1, "Attempts": []}
    assert task["Instances"]["1"]["Attempts"][0] == {
        "Attempt": 1,
        "Round": 1,
        "State": "Finished",
        "StartTime": 1000.0,
        "EndTime": 1000.0,
        "WorkerStartTime": 100.123,
        "WorkerEndTime": 102.0,
        "ExitCode": 0,
        "Signal": None,
        "Reason": "",
        "Host": "h",
        "TimedOut": False,
        "Leftovers": [{"Pid": 7, "Command": "sleep", "Signal": "SIGTERM"}],
        "Node": "",
    }
    assert world.do(lambda turn: world.service.list_job_details(turn, 1))["Jobs"] == {
        mixed: {"Reason": "", "Leftovers": 1}
    }


def test_they_are_the_same_once_the_job_has_ended_and_the_service_was_started_again(world: World, mixed: str) -> None:
    before = _details(world, mixed)["Tasks"]["A"]["Instances"]
    _exit(world, f"{mixed}.0.6.1", code=0)
    _exit(world, f"{mixed}.0.7.1", code=0)
    assert world.job(mixed)["State"] == "Failed"
    world.crash(type(world.executor)())
    assert _details(world, mixed)["Tasks"]["A"]["Instances"] == before


def test_one_instance_is_given_whatever_became_of_it(world: World, mixed: str) -> None:
    found = _details(world, mixed, {"Task": "A", "Instance": "0"})["Tasks"]["A"]["Instances"]
    assert [one["Attempt"] for one in found.pop("0")["Attempts"]] == [1]
    assert found == {}


def test_instances_that_ran_well_at_once_are_not_read(
    world: World, mixed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn waits for the answer."""
    read: list[int] = []
    make = INSTANCES.read

    def watch(row: Sequence[Any]) -> Instance:
        read.append(row[2])
        return make(row)

    monkeypatch.setattr(INSTANCES, "read", watch)
    _details(world, mixed)
    assert read == [1, 3, 5, 6, 7]
    read.clear()
    _details(world, mixed, {"Task": "A", "Instance": "2"})
    assert read == [1, 2, 3, 5, 6, 7], "those with leftovers are counted"


@pytest.mark.parametrize("ends", ["lost", "stopped", "failed"])
def test_an_instance_with_an_earlier_attempt_is_listed_though_the_next_has_not_begun(world: World, ends: str) -> None:
    world.slots = 1
    world.crash(FakeExecutor())
    job = world.create(describe({"A": {"MaxRetryCount": 1}}))
    if ends == "lost":
        world.create(describe({"A": {}}, Priority=1000))
        world.executor.sink(Lost(f"{job}.0.0.1"))
        world.engine.turn()
    elif ends == "stopped":
        world.do(lambda turn: world.service.stop_job(turn, 1, job))
        world.do(lambda turn: world.service.start_job(turn, 1, job))
    else:
        _exit(world, f"{job}.0.0.1", code=3)
    for _ in range(2):
        found = _details(world, job)["Tasks"]["A"]["Instances"]
        assert [one["Attempt"] for one in found["0"]["Attempts"]] == [1]
        if world.job(job)["State"] != "Stopped":
            world.do(lambda turn: world.service.stop_job(turn, 1, job))


def test_an_answer_has_no_more_instances_than_fit(world: World, mixed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "MOST_INSTANCES", 2)
    task = _details(world, mixed)["Tasks"]["A"]
    assert (list(task["Instances"]), task["More"]) == (["1", "3"], 1)


def test_one_task(world: World) -> None:
    job = world.create(describe({"A": {}, "B": {}}))
    assert list(_details(world, job, {"Task": "B"})["Tasks"]) == ["B"]
    assert list(_details(world, job)["Tasks"]) == ["A", "B"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Task": "C"}, "InvalidParameter: .*Task is not valid. The job has no task 'C'"),
        ({"Instance": "0"}, "InvalidParameter: .*Task is not valid. Instance needs it"),
        ({"Task": "A", "Instance": "1"}, r"Instance is not valid. It must be in \[0, 0\]"),
        ({"Task": "A", "Instance": "x"}, "Instance is not valid"),
        ({"Task": "A", "Instance": "-1"}, "Instance is not valid"),
        ({"Task": "A", "Instance": "٣"}, "Instance is not valid"),
    ],
)
def test_a_wrong_choice(world: World, parameters: dict[str, str], message: str) -> None:
    job = world.create(describe({"A": {}}))
    with pytest.raises(ServiceError, match=message):
        _details(world, job, parameters)


def test_other_accounts_see_nothing(world: World, mixed: str) -> None:
    with pytest.raises(ServiceError, match="ResourceNotFound"):
        _details(world, mixed, owner=2)
    found = JobDetailsList.from_wire(world.do(lambda turn: world.service.list_job_details(turn, 2)))
    assert (found.reasons, found.leftovers) == ({}, {})


def test_the_answers_of_the_api_are_as_before(world: World, mixed: str) -> None:
    tasks = world.do(lambda turn: world.service.list_tasks(turn, 1, mixed))
    assert set(tasks["A"]["InstanceStatusVector"][5]) == {
        "InstanceId",
        "State",
        "StartTime",
        "EndTime",
        "WorkerStartTime",
        "WorkerEndTime",
    }
    assert not {"Reason", "Slots", "Leftovers", "Round"} & world.job(mixed).keys()
