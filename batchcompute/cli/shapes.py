"""Jobs, tasks and images in `--format json`: flat, snake_case, times as ISO 8601 in UTC, null for not yet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .output import when
from .progress import seconds

if TYPE_CHECKING:
    from ..values.details import Attempt, JobDetailsList, Slots, TaskDetails
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


def remark(found: JobDetailsList | None, job_id: str) -> dict[str, Any]:
    """{reason, leftovers}: why a job waits, and how many instances left processes; None where it is not known."""
    if found is None:
        return {"reason": None, "leftovers": None}
    return {"reason": found.reasons.get(job_id, ""), "leftovers": found.leftovers.get(job_id, 0)}


def slots(one: Slots | None) -> dict[str, Any] | None:
    """{total, taken, by_job}; None where it is not known."""
    return None if one is None else {"total": one.total, "taken": one.taken, "by_job": dict(one.by_job)}


def task_details(one: TaskDetails | None) -> dict[str, Any]:
    """{reason, max_retry_count, leftovers, attempts, more}; attempts is a list of all attempts of the listed instances."""
    if one is None:
        return {"reason": None, "max_retry_count": None, "leftovers": None, "attempts": [], "more": 0}
    attempts = [attempt(number, each) for number, instance in one.instances.items() for each in instance.attempts]
    counts = {"max_retry_count": one.max_retry_count, "leftovers": one.leftovers}
    return {"reason": one.reason, **counts, "attempts": attempts, "more": one.more}


def attempt(number: int, one: Attempt) -> dict[str, Any]:
    """{instance, attempt, round, state, started, ended, worker_started, worker_ended, seconds, exit_code, signal, reason, host,
    timed_out, leftovers, node}; leftovers is a list of {pid, command, signal}.
    """
    return {
        "instance": number,
        "attempt": one.number,
        "round": one.round,
        "state": one.state,
        "started": when(int(one.start_time)),
        "ended": when(int(one.end_time)),
        "worker_started": when(int(one.worker_start_time)),
        "worker_ended": when(int(one.worker_end_time)),
        "seconds": round(one.worker_end_time - one.worker_start_time, 3) if one.worker_end_time else None,
        "exit_code": one.exit_code,
        "signal": one.signal,
        "reason": one.reason,
        "host": one.host,
        "timed_out": one.timed_out,
        "leftovers": [{"pid": left.pid, "command": left.command, "signal": left.signal} for left in one.leftovers],
        "node": one.node,
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
