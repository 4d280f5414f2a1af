"""What IDEs and mypy know about the SDK. Checked by test_typing.py, never run."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import assert_type

from batchcompute import (
    ActionResponse,
    Client,
    ClientError,
    CreateResponse,
    DecodeError,
    GetResponse,
    Image,
    Instance,
    Job,
    JobDescription,
    JobFailedError,
    ListResponse,
    Problem,
    Task,
    TaskDag,
    TaskDescription,
    ThrottlingError,
    ValidationError,
)
from batchcompute.operations import CREATE_JOB, LIST_JOBS, Call, Operation


def tabled() -> None:
    assert_type(LIST_JOBS, Operation[ListResponse[Job]])
    assert_type(CREATE_JOB.answer, type[CreateResponse])
    assert_type(Call(LIST_JOBS), Call[ListResponse[Job]])


def answered(client: Client, job: Job, task: Task, image: Image) -> None:
    assert_type(job.State, str)
    assert_type(job.JobId, str)
    assert_type(job.Priority, int)
    assert_type(job.CreateTime, int | str)
    assert_type(job.NumTotalTask, int)
    assert_type(task.InstanceList, MutableSequence[Instance])
    assert_type(task.InstanceList[0].State, str)
    assert_type(task.InstanceList[0].InstanceId, int)
    assert_type(image.Platform, str)


def described(desc: JobDescription) -> None:
    assert_type(desc.JobName, str)
    assert_type(desc.Priority, int | None)
    assert_type(desc.TaskDag, TaskDag)
    assert_type(desc.TaskDag.TaskDescMap["x"], TaskDescription)
    assert_type(desc.TaskDag.TaskDescMap["x"].InstanceCount, int)
    assert_type(desc.TaskDag.Dependencies["x"], list[str])
    assert_type(desc.TaskDag.get_task("x").EnvironmentVariables["A"], str)
    assert_type(desc.TaskDag.get_task("x").ResourceDescription.Cpu, int)
    assert_type(desc.TaskDag.get_task("x").OssMappingLock, bool | None)
    desc.JobName = "a"
    desc.Priority = None
    desc.TaskDag.get_task("x").InstanceCount = "4"
    desc.TaskDag.get_task("x").InstanceCount = 4
    desc.TaskDag.get_task("x").EnvironmentVariables = {"A": "1"}
    desc.TaskDag = {"TaskDescMap": {}}
    desc.JobName = 5  # type: ignore[assignment]  # a checker has to refuse it
    desc.TaskDag.get_task("x").Timeout = "5"  # type: ignore[assignment]  # a checker has to refuse it


def called(client: Client, desc: JobDescription) -> None:
    created = client.create_job(desc)
    assert_type(created, CreateResponse)
    assert_type(created.JobId, str)
    assert_type(created.StatusCode, int)
    got = client.get_job(created)
    as_response: GetResponse = got
    as_job: Job = got
    assert_type(got.State, str)
    assert_type(got.RequestId, str)
    back = client.get_job_description(got)
    as_description: JobDescription = back
    also_response: GetResponse = back
    assert_type(back.TaskDag.TaskDescMap["x"].InstanceCount, int)
    assert_type(client.list_jobs(), ListResponse[Job])
    assert_type(client.list_jobs()[0], Job)
    for job in client.list_jobs():
        assert_type(job, Job)
    for task in client.list_tasks("job-1"):
        assert_type(task, Task)
    for image in client.list_images():
        assert_type(image, Image)
    for action in (client.stop_job(got), client.start_job(job), client.delete_job("x")):
        assert_type(action, ActionResponse)
    assert_type(client.update_job_priority(got, 5).Date, str)
    finished: Job = client.wait(created, timeout=5.0)
    client.get_job(5)  # type: ignore[arg-type]  # a checker has to refuse it
    print(as_response, as_job, as_description, also_response, finished)


def failed(error: ClientError, decode: DecodeError, invalid: ValidationError, job: JobFailedError) -> None:
    assert_type(error.status, int)
    assert_type(error.code, str)
    assert_type(error.request_id, str)
    assert_type(error.message, str)
    assert_type(error.retry_after, float | None)
    assert_type(error.get_code(), str)
    slow_down: type[ClientError] = ThrottlingError
    assert_type(decode.request_id, str)
    assert_type(invalid.problems, tuple[Problem, ...])
    assert_type(invalid.problems[0].path, str)
    assert_type(job.job, Job)
    assert_type(job.log, str)
    print(slow_down)
