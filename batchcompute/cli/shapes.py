"""Jobs, tasks and images in `--format json`: flat, snake_case, times as ISO 8601 in UTC, null for not yet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .output import when
from .progress import seconds

if TYPE_CHECKING:
    from ..values.responses import Image, Job, Task

STATES = ("Waiting", "Running", "Finished", "Failed", "Stopped")


def job(one: Job) -> dict[str, Any]:
    """{job_id, name, description, state, priority, owner, created, started, ended, total_seconds,
    tasks_total, tasks_waiting, tasks_running, tasks_finished, tasks_failed, tasks_stopped, and instances_... likewise}.

    total_seconds: the sum of the run times of finished instances.
    """
    return {
        "job_id": one.JobId,
        "name": one.JobName,
        "description": one.Description,
        "state": one.State,
        "priority": one.Priority,
        "owner": one.OwnerId,
        "created": when(seconds(one.CreateTime)),
        "started": when(seconds(one.StartTime)),
        "ended": when(seconds(one.EndTime)),
        "total_seconds": one.TotalTime,
        **{f"tasks_{state.lower()}": one[f"Num{state}Task"] for state in ("Total", *STATES)},
        **{f"instances_{state.lower()}": one[f"Num{state}Instance"] for state in ("Total", *STATES)},
    }


def task(one: Task, before: list[str]) -> dict[str, Any]:
    """{task, state, started, ended, after, instances_total, instances_waiting, instances_running, instances_finished,
    instances_failed, instances_stopped, failed}.

    before: its predecessors, in the field `after`. failed: the numbers of failed instances.
    """
    counts = Counter(instance.State for instance in one.InstanceList)
    return {
        "task": one.TaskName,
        "state": one.State,
        "started": when(seconds(one.StartTime)),
        "ended": when(seconds(one.EndTime)),
        "after": before,
        "instances_total": counts.total(),
        **{f"instances_{state.lower()}": counts[state] for state in STATES},
        "failed": failed(one),
    }


def failed(one: Task) -> list[int]:
    """Return the numbers of the failed instances of a task."""
    return [instance.InstanceId for instance in one.InstanceList if instance.State == "Failed"]


def image(one: Image) -> dict[str, Any]:
    """{image_id, name, platform, description, owner}."""
    return {
        "image_id": one.ImageId,
        "name": one.ImageName,
        "platform": one.Platform,
        "description": one.Description,
        "owner": one.OwnerId,
    }
