"""From the body of a request to a plan or a priority, or to the error that says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batchcompute.errors import JsonError
from batchcompute.resources import JobDescription, TaskDescription
from batchcompute.surroundings import Surroundings
from batchcompute.validation import check_job, find_cycle
from batchcompute.values.texts import parse_json
from batchcompute_local.errors import ServiceError, invalid
from batchcompute_local.jobs.checks import check_here
from batchcompute_local.jobs.ranges import LOCAL_RANGES
from batchcompute_local.plan import DEFAULT_TIMEOUT, LOCAL_IMAGE, JobPlan, build_plan
from batchcompute_local.settings import Settings


def read_description(body: bytes, settings: Settings, surroundings: str | None = None) -> JobPlan:
    """Build the plan for a description as sent, defaults filled in. Raises ServiceError 400 (protocol 2.11).

    `surroundings` is the value of their header, None if it was not sent.
    """
    try:
        found = None if surroundings is None else Surroundings.from_header(surroundings)
    except ValueError as error:
        raise invalid(str(error).partition(":")[0], str(error)) from None
    description = _parse(body)
    dag = description.TaskDag
    if find_cycle(dag.Dependencies):
        raise ServiceError(400, "BadDAG", "It is a cyclic dag.")
    problems = [*check_job(description, LOCAL_RANGES), *check_here(description, settings)]
    if problems:
        raise invalid(problems[0].path, "; ".join(str(problem) for problem in problems[:20]))
    return build_plan(_view(description), found)


def read_priority(body: bytes) -> int:
    """Read a priority: a bare decimal integer (protocol 1.2). Raises ServiceError 400."""
    text = body.strip()
    if not text.isdigit() or len(text) > 9:
        raise invalid("Priority", "Its type must be integer.")
    if int(text) not in LOCAL_RANGES.priority:
        raise invalid("Priority", f"It must be in {LOCAL_RANGES.priority}.")
    return int(text)


def _parse(body: bytes) -> JobDescription:
    try:
        data = parse_json(body)
        if not isinstance(data, dict):
            raise ValueError("it is not an object")
        # a lone surrogate can be neither stored nor handed to a program
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ServiceError(400, "InvalidJsonFormat", f"The body is not a usable JSON text: {error}") from None
    dag = data.get("TaskDag")
    if isinstance(dag, dict) and "Dependences" in dag:  # the spelling of early 2015, protocol 1.7
        dag.setdefault("Dependencies", dag["Dependences"])
        del dag["Dependences"]
    try:
        return JobDescription.from_wire(data)
    except (TypeError, JsonError) as error:
        raise invalid(str(error).partition(":")[0], str(error)) from None


def _view(job: JobDescription) -> Mapping[str, Any]:
    """Return the description as GET answers it: with everything that the service fills in (protocol 1.7).

    An extension is there only if it was sent, since clients of all versions read this.
    """
    extensions = {} if job.JobFailOnInstanceFail else {"JobFailOnInstanceFail": False}
    return {
        "JobName": job.JobName,
        "JobTag": job.JobTag,
        "Description": job.Description,
        "Priority": job.Priority,
        "ZoneId": job.ZoneId,
        "TaskDag": {
            "TaskDescMap": {name: _task_view(task) for name, task in job.TaskDag.TaskDescMap.items()},
            "Dependencies": {before: list(after) for before, after in job.TaskDag.Dependencies.items()},
        },
        **extensions,
    }


def _task_view(task: TaskDescription) -> Mapping[str, Any]:
    extensions: dict[str, Any] = {"MaxRetryCount": task.MaxRetryCount} if task.MaxRetryCount else {}
    if task.LeftoverSeconds is not None:
        extensions["LeftoverSeconds"] = task.LeftoverSeconds
    return {
        "BlockDeviceMapping": {},
        "CreateSnapshotAfterTerminated": "",
        "EnvironmentVariables": dict(task.EnvironmentVariables),
        "ImageId": task.ImageId or LOCAL_IMAGE,
        "InstanceCount": task.InstanceCount,
        "LoadImage": "",
        "LoadPreparedData": False,
        "MaxReplica": 0,
        "MinReplica": 0,
        "OssMapping": dict(task.OssMapping),
        "OssMappingLocale": task.OssMappingLocale or "GBK",
        "OssMappingLock": True if task.OssMappingLock is None else task.OssMappingLock,
        "PackageUri": task.PackageUri,
        "ProgramArguments": task.ProgramArguments,
        "ProgramName": task.ProgramName,
        "ProgramType": task.ProgramType,
        "ResourceDescription": {"Cpu": task.ResourceDescription.Cpu, "Memory": task.ResourceDescription.Memory},
        "SaveImage": "",
        "StderrRedirectPath": task.StderrRedirectPath,
        "StdoutRedirectPath": task.StdoutRedirectPath,
        "Timeout": DEFAULT_TIMEOUT if task.Timeout is None else task.Timeout,
        **extensions,
    }
