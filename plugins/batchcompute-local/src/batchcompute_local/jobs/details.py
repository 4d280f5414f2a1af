"""What the API's own views have no place for: slots, reasons for waiting, attempts and leftovers. Shapes are ours.

Times are epoch seconds with milliseconds, 0 = not yet.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from batchcompute_local.errors import invalid
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.model import Attempt, Instance, Job, Task, as_earlier
from batchcompute_local.jobs.reading import Explanation, Reading
from batchcompute_local.jobs.states import FAILED, State

MOST_INSTANCES = 1000
"""The number of instances that one answer lists."""
Earlier = Mapping[tuple[int, int], list[Attempt]]
"""Earlier attempts by task position and instance number."""


def list_view(jobs: Iterable[Job], reasons: Explanation, leftovers: Mapping[str, int]) -> dict[str, Any]:
    """Build {Slots, Jobs} with the `jobs` that wait and those that have `leftovers`."""
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"Reason": "", "Leftovers": 0})
    for job in jobs:
        if reason := reasons.of_job(job):
            found[job.id]["Reason"] = reason
    for job_id, count in leftovers.items():
        found[job_id]["Leftovers"] = count
    return {"Slots": reasons.slots(), "Jobs": found}


def read_choice(job: Job, parameters: Mapping[str, str]) -> tuple[Task | None, int | None]:
    """Return the task and the instance number that the parameters Task and Instance name. Raises ServiceError 400."""
    if "Task" not in parameters:
        if "Instance" in parameters:
            raise invalid("Task", "Instance needs it.")
        return None, None
    name = parameters["Task"]
    task = next((task for task in job.tasks if task.name == name), None)
    if task is None:
        raise invalid("Task", f"The job has no task {name[:100]!r}.")
    if "Instance" not in parameters:
        return task, None
    text = parameters["Instance"]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < task.counts.total):
        raise invalid("Instance", f"It must be in [0, {task.counts.total - 1}].")
    return task, int(text)


def _group(attempts: Iterable[tuple[int, int, Attempt]]) -> Earlier:
    """Return the earlier attempts by task position and instance number."""
    found: dict[tuple[int, int], list[Attempt]] = defaultdict(list)
    for position, number, attempt in attempts:
        found[position, number].append(attempt)
    return found


def details_view(
    job: Job, reading: Reading, reasons: Explanation, only: Task | None = None, number: int | None = None
) -> dict[str, Any]:
    """Build the details of `job`, which has its tasks: of all of them, of task `only`, or of its instance `number`."""
    left = MOST_INSTANCES
    # the turn waits for it, and most instances of a large job have nothing to say
    condition = tables.NOTABLE if number is None else f"({tables.NOTABLE} OR number = {number:d})"
    earlier = _group(reading.earlier_attempts(job))
    tasks = {}
    for task in job.tasks if only is None else [only]:
        started = reading.instances(job, task, condition)
        tasks[task.name] = view = _task_view(job, task, started, reasons, earlier, left, number)
        left -= len(view["Instances"])
    return {
        "Reason": reasons.of_job(job),
        "Round": job.round,
        "JobFailOnInstanceFail": not job.plan.goes_on,
        "Slots": reasons.slots(),
        "Tasks": tasks,
    }


def _task_view(
    job: Job,
    task: Task,
    started: Iterable[Instance],
    reasons: Explanation,
    earlier: Earlier,
    most: int,
    number: int | None,
) -> dict[str, Any]:
    instances: dict[str, Any] = {}
    leftovers = more = 0
    for one in started:
        before = earlier.get((task.position, one.number), [])
        reason = reasons.of_instance(job, task, one) if one.not_before or one.state is State.RUNNING else ""
        has_left = bool(one.leftovers) or any(attempt.leftovers for attempt in before)
        leftovers += has_left
        if one.number != number if number is not None else not (before or has_left or reason or one.state is FAILED):
            continue
        if len(instances) < most:
            instances[str(one.number)] = _instance_view(job, task, one, reasons, before)
        else:
            more += 1
    return {
        "Reason": reasons.of_task(job, task),
        "MaxRetryCount": job.plan.tasks[task.position].max_retries,
        "Leftovers": leftovers,
        "Instances": instances,
        "More": more,
    }


def _instance_view(job: Job, task: Task, one: Instance, reasons: Explanation, before: list[Attempt]) -> dict[str, Any]:
    latest = [as_earlier(one, one.state)] if one.started else []
    return {
        "State": one.state.title,
        "Reason": reasons.of_instance(job, task, one),
        "Retries": one.retries,
        "Attempts": [_attempt_view(attempt) for attempt in (*before, *latest)],
    }


def _attempt_view(one: Attempt) -> dict[str, Any]:
    return {
        "Attempt": one.attempt,
        "Round": one.round,
        "State": one.state.title,
        "StartTime": round(one.started, 3),
        "EndTime": round(one.ended, 3),
        "WorkerStartTime": round(one.worker_started, 3),
        "WorkerEndTime": round(one.worker_ended, 3),
        "ExitCode": one.exit_code,
        "Signal": one.signal,
        "Reason": one.reason,
        "Host": one.host,
        "Node": one.node,
        "TimedOut": one.timed_out,
        "Leftovers": json.loads(one.leftovers or "[]"),
    }
