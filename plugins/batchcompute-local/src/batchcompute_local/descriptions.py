"""From the body of POST /jobs to a plan, or to the error that says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batchcompute.errors import JsonError
from batchcompute.resources import JobDescription, TaskDescription
from batchcompute.validation import check_job, find_cycle
from batchcompute_local.errors import ServiceError, invalid
from batchcompute_local.plan import DEFAULT_TIMEOUT, LOCAL_IMAGE, JobPlan, TaskSpec, build_plan
from batchcompute_local.ranges import LOCAL_RANGES
from batchcompute_local.settings import Settings
from batchcompute_local.storage import UriError, split_uri


def read_description(body: bytes, settings: Settings) -> JobPlan:
    """The plan for a description as sent, defaults filled in. Raises ServiceError 400 (facts 2.11)."""
    description = _parse(body)
    dag = description.TaskDag
    problems = check_job(description, LOCAL_RANGES)
    if find_cycle(dag.Dependencies):
        raise ServiceError(400, "BadDAG", "It is a cyclic dag.")
    if problems:
        raise invalid(problems[0].path, "; ".join(str(problem) for problem in problems[:20]))
    if len(dag.TaskDescMap) > settings.max_tasks:
        raise invalid("TaskDag.TaskDescMap", f"At most {settings.max_tasks} tasks are allowed.")
    for name, task in dag.TaskDescMap.items():
        _check_local(f"TaskDag.TaskDescMap.{name}", task)
    plan = build_plan(_view(description))
    if sum(task.instance_count for task in plan.tasks) > settings.max_instances:
        raise invalid("InstanceCount", f"At most {settings.max_instances} instances are allowed in one job.")
    for spec in plan.tasks:
        _check_texts(spec)
    return plan


def _parse(body: bytes) -> JobDescription:
    try:
        data = json.loads(body)
        if not isinstance(data, dict):
            raise ValueError("it is not an object")
        # a lone surrogate can be neither stored nor handed to a program
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ServiceError(400, "InvalidJsonFormat", f"The body is not a usable JSON text: {error}") from None
    dag = data.get("TaskDag")
    if isinstance(dag, dict) and "Dependences" in dag:  # the spelling of early 2015, facts 1.7
        dag.setdefault("Dependencies", dag["Dependences"])
        del dag["Dependences"]
    try:
        return JobDescription.from_wire(data)
    except (TypeError, JsonError) as error:
        raise invalid(str(error).partition(":")[0], str(error)) from None


def _check_local(path: str, task: TaskDescription) -> None:
    if task.ImageId and not task.ImageId.startswith("img-"):
        raise invalid(f"{path}.ImageId", "It must begin with img-.")
    if task.OssMapping:
        raise invalid(f"{path}.OssMapping", f"The local region has no mappings yet; read {_OSS_ROOT} instead.")
    for uri in ("PackageUri", "StdoutRedirectPath", "StderrRedirectPath"):
        if task[uri]:
            try:
                split_uri(task[uri])
            except UriError as problem:
                raise invalid(f"{path}.{uri}", f"{problem}.") from None
    if task.PackageUri.endswith("/"):
        raise invalid(f"{path}.PackageUri", "It must name an object, not a folder.")
    for name in task.EnvironmentVariables:
        if not name or "=" in name:
            raise invalid(f"{path}.EnvironmentVariables", "A name must not be empty and must not contain '='.")


_OSS_ROOT = "$BATCHCOMPUTE_OSS_ROOT/bucket/key"


def _check_texts(spec: TaskSpec) -> None:
    texts = (spec.program_name, spec.program_arguments, *spec.environment, *spec.environment.values())
    if any("\0" in text for text in texts):
        raise invalid(spec.name, "A program cannot be given a NUL character.")


def _view(job: JobDescription) -> Mapping[str, Any]:
    """The description as GET answers it: with everything the service fills in (facts 1.7)."""
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
    }


def _task_view(task: TaskDescription) -> Mapping[str, Any]:
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
        "OssMapping": {},
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
    }
