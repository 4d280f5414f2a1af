"""The wire's shapes of jobs, tasks, instances and images (protocol 1.7). Times are whole epoch seconds, 0 = not yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from batchcompute_local.images import Image
from batchcompute_local.jobs.model import Instance, Job, Task
from batchcompute_local.jobs.states import FINISHED, State
from batchcompute_local.plan import LOCAL_IMAGE


def job_view(job: Job) -> dict[str, Any]:
    """A Job object; its State is a word."""
    counts, tasks = job.counts, job.task_counts
    return {
        "CreateTime": int(job.created),
        "Description": job.description,
        "EndTime": int(job.ended),
        "Name": job.name,
        "NumFailedInstance": counts.failed,
        "NumFailedTask": tasks.failed,
        "NumFinishedInstance": counts.finished,
        "NumFinishedTask": tasks.finished,
        "NumRunningInstance": counts.running,
        "NumRunningTask": tasks.running,
        "NumStoppedInstance": counts.stopped,
        "NumStoppedTask": tasks.stopped,
        "NumTotalInstance": counts.total,
        "NumTotalTask": tasks.total,
        "NumWaitingInstance": counts.waiting,
        "NumWaitingTask": tasks.waiting,
        "OwnerId": job.owner,
        "Priority": job.priority,
        "ResourceId": job.id,
        "StartTime": int(job.started),
        "State": job.state.job_word,
        "TotalTime": int(job.total_time),
    }


JOB_COLUMNS = {
    "CreateTime": "CAST(created AS INTEGER)",
    "Description": "description",
    "EndTime": "CAST(ended AS INTEGER)",
    "Name": "name",
    "NumFailedInstance": "failed",
    "NumFailedTask": "tasks_failed",
    "NumFinishedInstance": "finished",
    "NumFinishedTask": "tasks_finished",
    "NumRunningInstance": "running",
    "NumRunningTask": "tasks_running",
    "NumStoppedInstance": "stopped",
    "NumStoppedTask": "tasks_stopped",
    "NumTotalInstance": "waiting + running + finished + failed + stopped",
    "NumTotalTask": "tasks_waiting + tasks_running + tasks_finished + tasks_failed + tasks_stopped",
    "NumWaitingInstance": "waiting",
    "NumWaitingTask": "tasks_waiting",
    "OwnerId": "owner",
    "Priority": "priority",
    "ResourceId": "id",
    "StartTime": "CAST(started AS INTEGER)",
    "State": f"CASE state {' '.join(f'WHEN {int(state)} THEN {state.job_word!r}' for state in State)} END",
    "TotalTime": "CAST(total_time AS INTEGER)",
}
"""`job_view` in the words of the store: a list of thousands is made from its rows, without a Job for each."""


def task_view(task: Task, job: State) -> dict[str, Any]:
    """A Task object of a job in state `job`; its State is an integer, and it always has UnfinishedInstances."""
    instances = [
        _untouched(number, task.state_of(number, job)) if one is None else _instance_view(one)
        for number in range(task.counts.total)
        for one in (task.instances.get(number),)
    ]
    return {
        "StartTime": int(task.started),
        "EndTime": int(task.ended),
        "State": int(task.state),
        "UnfinishedInstances": [one["InstanceId"] for one in instances if one["State"] != FINISHED],
        "InstanceStatusVector": instances,
    }


def _instance_view(one: Instance) -> dict[str, Any]:
    return {
        "InstanceId": one.number,
        "State": int(one.state),
        "StartTime": int(one.started),
        "EndTime": int(one.ended),
        "WorkerStartTime": int(one.worker_started),
        "WorkerEndTime": int(one.worker_ended),
    }


def _untouched(number: int, state: State) -> dict[str, Any]:
    return {
        "InstanceId": number,
        "State": int(state),
        "StartTime": 0,
        "EndTime": 0,
        "WorkerStartTime": 0,
        "WorkerEndTime": 0,
    }


def images_view(images: Iterable[Image]) -> dict[str, dict[str, Any]]:
    """The images there are, by id. Any other `img-` id runs on this machine, as `img-local` does."""
    local = Image(LOCAL_IMAGE, "This machine, with the interpreters it has.")
    return {image.id: _image_view(image) for image in (local, *images)}


def _image_view(image: Image) -> dict[str, Any]:
    return {
        "ResourceId": image.id,
        "Name": image.id.removeprefix("img-"),
        "Platform": "Linux",
        "Description": image.description,
        "OwnerId": 0,
        "CreateTime": 0,
        "BlockDeviceMapping": {},
    }
