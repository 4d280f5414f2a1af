"""Jobs, tasks, instances and images in the shapes of the wire (protocol 1.7). Times are whole epoch seconds, 0 = not yet."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

from batchcompute_local.images import Image
from batchcompute_local.jobs.model import Instance, Job, Task
from batchcompute_local.jobs.states import FINISHED, Counts, State
from batchcompute_local.jobs.tables import JOBS, VIEWS
from batchcompute_local.plan import LOCAL_IMAGE

_PIECE = 500
_dump = json.JSONEncoder(separators=(",", ":")).encode


def job_view(job: Job) -> dict[str, Any]:
    """Build a Job object; its State is a word."""
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


def job_text(job: Job) -> str:
    """Return the JSON text of a Job object as a member of a list, by its id."""
    return f"{_dump(job.id)}:{_dump(job_view(job))}"


def _whole(column: str) -> str:
    return f"CAST({JOBS[column]} AS INTEGER)"


def _sum(prefix: str = "") -> str:
    return " + ".join(JOBS[f"{prefix}{name}"] for name in Counts._fields)


def _words() -> str:
    return f"CASE {JOBS['state']} {' '.join(f'WHEN {state:d} THEN {state.job_word!r}' for state in State)} END"


_JOB_COLUMNS = {
    "CreateTime": _whole("created"),
    "Description": JOBS["description"],
    "EndTime": _whole("ended"),
    "Name": JOBS["name"],
    "NumFailedInstance": JOBS["failed"],
    "NumFailedTask": JOBS["tasks_failed"],
    "NumFinishedInstance": JOBS["finished"],
    "NumFinishedTask": JOBS["tasks_finished"],
    "NumRunningInstance": JOBS["running"],
    "NumRunningTask": JOBS["tasks_running"],
    "NumStoppedInstance": JOBS["stopped"],
    "NumStoppedTask": JOBS["tasks_stopped"],
    "NumTotalInstance": _sum(),
    "NumTotalTask": _sum("tasks_"),
    "NumWaitingInstance": JOBS["waiting"],
    "NumWaitingTask": JOBS["tasks_waiting"],
    "OwnerId": JOBS["owner"],
    "Priority": JOBS["priority"],
    "ResourceId": JOBS["id"],
    "StartTime": _whole("started"),
    "State": _words(),
    "TotalTime": _whole("total_time"),
}
_QUOTED = {"Description", "Name"}
"""Texts of a user; the others need no escapes."""


def _format() -> str:
    marks = {"Description": "%s", "Name": "%s", "ResourceId": '"%s"', "State": '"%s"'}
    members = ",".join(f'"{name}":{marks.get(name, "%d")}' for name in _JOB_COLUMNS)
    values = [f"json_quote({sql})" if name in _QUOTED else sql for name, sql in _JOB_COLUMNS.items()]
    built = f"""printf('"%s":{{{members}}}', {JOBS["id"]}, {", ".join(values)})"""
    return f"coalesce((SELECT text FROM {VIEWS.name} WHERE job = {JOBS['seq']}), {built})"  # noqa: S608  # names of ours, no values


JOB_TEXT = _format()
"""`job_text` in SQL: what is stored of a job that has ended; else it is built of the row, and may have
characters beyond ASCII. So a list of thousands is made without an object for each."""


def write_task(task: Task, job: State, instances: Iterable[Instance]) -> Iterator[str]:
    """Yield the JSON text of a Task object of a job in state `job`, in pieces; `instances` are those started, by number.

    Its State is an integer, and it always has UnfinishedInstances.
    """
    unfinished = array("q")
    head = {"StartTime": int(task.started), "EndTime": int(task.ended), "State": int(task.state)}
    yield f'{_dump(head)[:-1]},"InstanceStatusVector":['
    found = iter(instances)
    started = next(found, None)
    for first in range(0, task.counts.total, _PIECE):
        views = []
        for number in range(first, min(first + _PIECE, task.counts.total)):
            if started is not None and started.number == number:
                views.append(_instance_view(started))
                started = next(found, None)
            else:
                views.append(_untouched(number, task.state_of(number, job)))
        unfinished.extend(view["InstanceId"] for view in views if view["State"] != FINISHED)
        yield f"{',' if first else ''}{_dump(views)[1:-1]}"
    yield f'],"UnfinishedInstances":[{",".join(map(str, unfinished))}]}}'


def _instance_view(one: Instance) -> dict[str, Any]:
    view = {
        "InstanceId": one.number,
        "State": int(one.state),
        "StartTime": int(one.started),
        "EndTime": int(one.ended),
        "WorkerStartTime": int(one.worker_started),
        "WorkerEndTime": int(one.worker_ended),
    }
    return view | {"Node": one.node} if one.node else view


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
    """Build the Image objects by id. Any other `img-` id runs on this machine, as `img-local` does."""
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
