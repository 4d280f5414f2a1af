"""The examples that describe a job: reference sections 1.1, 1.2 and 2.1 (1) to (4). What they describe really runs."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from batchcompute import JobDescription, ServiceWarning, TaskDag, ValidationError
from batchcompute.regions import Ranges
from batchcompute.values.validation import check_job

if TYPE_CHECKING:
    from .conftest import World


def finished(world: World, job_desc: Any, warns: str = "") -> list[str]:
    """Submit it; the lines that instance 0 of Find wrote once the job has finished. warns: what the service says about it."""
    with pytest.warns(ServiceWarning, match=warns) if warns else nullcontext():
        job = world.client.create_job(job_desc)
    world.client.wait(job, timeout=60, check=True)
    log = world.client.read_log(job, "Find", 0, "stdout")
    assert log is not None
    return log.decode().splitlines()


_IMAGE = "there is no image 'img-xxxx', its tasks run as with img-local"


def of_task(task: object) -> JobDescription:
    """A job of that one task."""
    dag = TaskDag()
    dag.add_task("Find", task)  # type: ignore[arg-type]  # a dict is taken too
    return JobDescription({"JobName": "find-prime", "Priority": 1, "TaskDag": dag})


@pytest.mark.parametrize("example", ["read-attribute", "read-key"])
def test_reading(world: World, example: str) -> None:
    job_id = world.job("Finished")
    assert world.run(example, given_job=world.client.get_job(job_id)) == f"{job_id}\n"
    listed = next(job for job in world.client.list_jobs() if job.JobId == job_id)
    assert world.run(example, given_job=listed) == f"{job_id}\n"


def test_write_attribute(world: World) -> None:
    world.run("write-attribute")
    assert world.names["job_desc"].detail()["JobName"] == "find-prime"


def test_write_key(world: World) -> None:
    world.run("write-key")
    assert world.names["job_desc"] == JobDescription()


@pytest.mark.parametrize("example", ["from-dict", "from-json", "from-same-class"])
def test_initialising(world: World, example: str) -> None:
    assert world.run(example) == "find-prime\nBatchcompute\n"


def test_job_description_assigned(world: World) -> None:
    printed = world.run("job-description-assigned", given_dag=world.properties()["TaskDag"])
    shown = json.loads(printed)
    assert (shown["JobName"], shown["Priority"], shown["Description"]) == ("find-prime", 100, "Batchcompute Python SDK")
    assert list(shown["TaskDag"]["TaskDescMap"]) == ["Find"]
    assert finished(world, world.names["job_desc"]) == ["instance 0 of Find"]


def test_job_description_json(world: World) -> None:
    name, tag, dag, description, priority, everything = world.run("job-description-json").splitlines()
    assert (name, tag, description, priority) == ("find-prime", "Batchcompute", "", "0")
    assert json.loads(everything)["TaskDag"] == json.loads(dag)
    assert finished(world, world.names["job_desc"], _IMAGE) == ["instance 0 of Find"]
    assert any("/batch_python_sdk/logs/stdout." in uri for uri, _ in world.client.objects.list("oss://your-bucket/"))


@pytest.mark.parametrize("example", ["task-dag-assigned", "task-dag-add-task"])
def test_task_dag(world: World, example: str) -> None:
    world.run(example, given_task=world.task())
    dag = world.names["task_dag"]
    assert dag.get_task("Find") == world.names["find_task"]
    assert finished(world, {"JobName": "find-prime", "Priority": 1, "TaskDag": dag}) == ["instance 0 of Find"]


def test_task_description(world: World) -> None:
    world.run("task-description")
    task = world.names["find_task"]
    assert task.ResourceDescription.detail() == {"Cpu": 800, "Memory": 2000}
    assert "Priority" not in task
    assert finished(world, of_task(task), _IMAGE) == ["instance 0 of Find"]


def test_resource_description(world: World) -> None:
    """Cpu 16 runs here; a cloud region would refuse it."""
    world.run("resource-description")
    resource = world.names["resource"]
    job_desc = of_task(world.task() | {"ResourceDescription": resource, "ImageId": "img-xxxx", "Timeout": 60})
    assert finished(world, job_desc, _IMAGE) == ["instance 0 of Find"]
    (problem,) = check_job(job_desc, Ranges())
    assert problem.path == "TaskDag.TaskDescMap.Find.ResourceDescription.Cpu"
    assert "[800, 2400]" in str(ValidationError([problem]))
