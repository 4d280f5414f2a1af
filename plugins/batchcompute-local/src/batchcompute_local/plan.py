"""The plan of a job: plain frozen values, made from the stored description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchcompute.surroundings import Surroundings

LOCAL_IMAGE = "img-local"
DEFAULT_TIMEOUT = 86_400
"""Default Timeout of an instance in seconds (ours; the SDK's examples leave it out)."""


@dataclass(frozen=True)
class TaskSpec:
    """One task: its program and its settings. Paths are `oss://` URIs, never local ones."""

    name: str
    instance_count: int
    package_uri: str
    program_name: str
    program_type: str
    program_arguments: str
    timeout: int
    image_id: str
    cpu: int
    memory: int
    stdout: str
    stderr: str
    environment: Mapping[str, str] = field(repr=False)
    mapping: Mapping[str, str] = field(default_factory=dict)
    """OssMapping: absolute local paths by `oss://` URI."""
    mapping_locale: str = "GBK"
    max_retries: int = 0
    """MaxRetryCount: how often an instance that fails runs again."""
    leftover_seconds: float | None = None
    """LeftoverSeconds: how long other processes of the program may run after it; None: the setting leftover_seconds."""


@dataclass(frozen=True)
class JobPlan:
    """One job: tasks in the order of the description, and the successors of each, by position."""

    view: Mapping[str, Any] = field(repr=False)
    name: str
    description: str
    priority: int
    tasks: tuple[TaskSpec, ...]
    successors: tuple[tuple[int, ...], ...]
    goes_on: bool = False
    """JobFailOnInstanceFail is false: the job runs all it can after an instance has failed."""
    surroundings: Surroundings | None = None
    parent: str = ""
    """The attempt whose program submitted the job; empty if none did."""
    """The submitter's; None if its client sent none."""


NO_PLAN = JobPlan({}, "", "", 0, (), ())
"""The plan of a job that is only shown, not run."""


def build_plan(view: Mapping[str, Any], surroundings: Surroundings | None = None) -> JobPlan:
    """Make the plan of a complete, checked description (see `descriptions`)."""
    dag = view["TaskDag"]
    described: Mapping[str, Any] = dag["TaskDescMap"]
    position = {name: n for n, name in enumerate(described)}
    followers: Mapping[str, Any] = dag.get("Dependencies") or {}
    return JobPlan(
        view=view,
        name=view["JobName"],
        description=view.get("Description") or "",
        priority=view["Priority"],
        tasks=tuple(_task(name, task) for name, task in described.items()),
        successors=tuple(tuple(sorted({position[after] for after in followers.get(name) or ()})) for name in described),
        goes_on=not view.get("JobFailOnInstanceFail", True),
        surroundings=surroundings,
    )


def _task(name: str, task: Mapping[str, Any]) -> TaskSpec:
    return TaskSpec(
        name=name,
        instance_count=int(task["InstanceCount"]),
        package_uri=task["PackageUri"],
        program_name=task["ProgramName"],
        program_type=task["ProgramType"],
        program_arguments=task.get("ProgramArguments") or "",
        timeout=task["Timeout"],
        image_id=task["ImageId"],
        cpu=task["ResourceDescription"]["Cpu"],
        memory=task["ResourceDescription"]["Memory"],
        stdout=task.get("StdoutRedirectPath") or "",
        stderr=task.get("StderrRedirectPath") or "",
        environment=task.get("EnvironmentVariables") or {},
        mapping=task.get("OssMapping") or {},
        mapping_locale=task.get("OssMappingLocale") or "GBK",
        max_retries=task.get("MaxRetryCount", 0),
        leftover_seconds=task.get("LeftoverSeconds"),
    )
