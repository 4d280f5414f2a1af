"""The examples that call the service: reference sections 1.3 and 2 to 2.10."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchcompute import CN_QINGDAO, Client, JobDescription, NotFoundError

if TYPE_CHECKING:
    from .conftest import Example, World


def test_response(world: World) -> None:
    request_id, status = world.run(
        "response", client=world.client, job_desc=JobDescription(world.properties())
    ).splitlines()
    assert request_id == world.names["response"].RequestId != ""
    assert status == "201"
    assert world.names["response"].JobId in world.client.list_jobs()


def test_client(world: World) -> None:
    world.run("client")
    assert repr(world.names["client"]) == "Client('cn-qingdao')"


def test_the_same_client_for_region_local(world: World, examples: dict[str, Example]) -> None:
    """Only the endpoint changes; a key of somewhere else does no harm, and times are shown as text."""
    code = examples["client"].corrected().replace("endpoint = CN_QINGDAO", "endpoint = 'local'")
    assert code != examples["client"].corrected()
    names: dict[str, object] = {"__name__": "__main__"}
    with pytest.warns(DeprecationWarning, match="human_readable"):
        exec(compile(code, "<client>", "exec"), names)
    client = names["client"]
    assert isinstance(client, Client)
    assert names["CN_QINGDAO"] == CN_QINGDAO
    with client:
        assert isinstance(client.get_job(world.job("Finished")).EndTime, str)


def test_create_job(world: World) -> None:
    printed = world.run("create-job", given_properties=world.properties())
    job_id = printed.strip()
    assert job_id.startswith("job-")
    assert world.client.wait(job_id, timeout=60).State == "Finished"


def test_get_job_description(world: World) -> None:
    job_id = world.job("Finished")
    printed = world.run("get-job-description", given_job_id=job_id)
    assert printed.startswith('find-prime {"TaskDescMap": {"Find": {')
    assert printed.endswith("} 100\n")


def test_update_job_priority(world: World) -> None:
    job_id = world.job("Stopped")
    assert world.run("update-job-priority", given_job_id=job_id) == ""
    assert world.client.get_job(job_id).Priority == 200
    assert world.client.get_job_description(job_id).Priority == 200


def test_stop_job(world: World) -> None:
    job_id = world.job("Running")
    assert world.run("stop-job", given_job_id=job_id) == ""
    assert world.client.get_job(job_id).State == "Stopped"


def test_start_job(world: World) -> None:
    job_id = world.job("Stopped")
    assert world.run("start-job", given_job_id=job_id) == ""
    assert world.client.get_job(job_id).State in ("Waiting", "Running")


def test_delete_job(world: World) -> None:
    job_id = world.job("Stopped")
    assert world.run("delete-job", given_job_id=job_id) == ""
    with pytest.raises(NotFoundError):
        world.client.get_job(job_id)


def test_get_job(world: World) -> None:
    assert world.run("get-job", given_job_id=world.job("Running")) == "Running\n"


def test_list_jobs(world: World) -> None:
    job_id = world.job("Finished")
    lines = world.run("list-jobs").splitlines()
    assert f"{job_id} Finished {world.client.get_job(job_id).StartTime}" in lines
    assert len(lines) == len(world.client.list_jobs())


def test_list_tasks(world: World) -> None:
    assert world.run("list-tasks", given_job_id=world.job("Finished")) == "Find Finished\n0 Finished\n"


def test_list_images(world: World) -> None:
    assert world.run("list-images") == "img-local local\n"


@pytest.mark.parametrize(
    "example",
    ["get-job-description", "update-job-priority", "stop-job", "start-job", "delete-job", "get-job", "list-tasks"],
)
def test_a_job_that_is_not_there(world: World, examples: dict[str, Example], example: str) -> None:
    """The examples' own `except ClientError` catches it."""
    printed = examples[example].run({"given_job_id": "job-00000000"})
    assert printed.startswith("ResourceNotFound: Specified resource job-00000000 is not found.")
