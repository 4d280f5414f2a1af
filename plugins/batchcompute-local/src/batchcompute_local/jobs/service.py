"""The operations (protocol 1.2) as typed methods. Those that change something run in the engine's turn,
`engine.submit(lambda turn: ...)`; those that read take a turn or a snapshot.

Each has the name of its row in `batchcompute.operations`, which also says in which states it is allowed. All take
what they run in and the owner's number; nobody sees another owner's jobs. All raise ServiceError, before anything is changed.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

from batchcompute import operations
from batchcompute.operations import Operation
from batchcompute_local.errors import conflict, not_found
from batchcompute_local.images import Image, name_unknown
from batchcompute_local.jobs.details import details_view, list_view, read_choice
from batchcompute_local.jobs.log_choice import LogChoice, choose_log
from batchcompute_local.jobs.model import Job
from batchcompute_local.jobs.ranges import LOCAL_RANGES
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.states import is_allowed
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.jobs.views import JOB_TEXT, images_view, job_view, write_task
from batchcompute_local.plan import LOCAL_IMAGE, JobPlan

_log = logging.getLogger(__name__)


class Service:
    """The operations on jobs. Answers are in the shapes of the wire (protocol 1.7)."""

    def __init__(self, images: Mapping[str, Image] | None = None, objects_port: int | None = None) -> None:
        self._images = images or {}
        self._objects = {} if objects_port is None else {"ObjectsPort": objects_port}

    def create_job(self, turn: Turn, owner: int, plan: JobPlan) -> dict[str, Any]:
        """Accept a job; `plan` comes from `descriptions.read_description`. Returns {"ResourceId": id}."""
        job = turn.create(owner, plan)
        for remark in name_unknown((task.image_id for task in plan.tasks), self._images, LOCAL_IMAGE):
            _log.info("%s: %s", job.id, remark)
        for remark in turn.remarks(plan):
            _log.info("%s %s", job.id, remark)
        return {"ResourceId": job.id}

    def list_jobs(self, reading: Reading, owner: int) -> dict[str, Any]:
        """Return all jobs of the owner, by id."""
        jobs: dict[str, Any] = json.loads(f"{{{write_jobs(reading, owner)[0]}}}")
        return jobs

    def get_job(self, reading: Reading, owner: int, job_id: str) -> dict[str, Any]:
        """Return one job."""
        return job_view(_find(reading, owner, job_id))

    def get_job_description(self, reading: Reading, owner: int, job_id: str) -> dict[str, Any]:
        """Return the description of a job, with what the service filled in and the priority as it is now."""
        job = _find(reading, owner, job_id)
        return reading.description(job) | {"Priority": job.priority}

    def update_job_priority(self, turn: Turn, owner: int, job_id: str, priority: int) -> None:
        """Change the priority of a stopped or failed job; `priority` comes from `descriptions.read_priority`."""
        job = _find_for(operations.UPDATE_JOB_PRIORITY, turn, owner, job_id)
        job.priority = priority
        turn.note_changed(job)

    def stop_job(self, turn: Turn, owner: int, job_id: str) -> None:
        """Stop a waiting or running job: it is Stopped at once, its programs are being ended."""
        turn.stop(_find_for(operations.STOP_JOB, turn, owner, job_id))

    def start_job(self, turn: Turn, owner: int, job_id: str) -> None:
        """Start a stopped or failed job again; what is Finished does not run again (protocol 2.4)."""
        turn.restart(_find_for(operations.START_JOB, turn, owner, job_id))

    def delete_job(self, turn: Turn, owner: int, job_id: str) -> None:
        """Delete a job that has ended, its working folders and its logs; objects stay."""
        turn.delete(_find_for(operations.DELETE_JOB, turn, owner, job_id))

    def list_tasks(self, reading: Reading, owner: int, job_id: str) -> dict[str, Any]:
        """Return the tasks of a job by name, with their instances."""
        tasks: dict[str, Any] = json.loads("".join(write_tasks(reading, owner, job_id)))
        return tasks

    def list_job_details(self, reading: Reading, owner: int) -> dict[str, Any]:
        """Return the slots, and which of the owner's jobs wait, why, and which left processes."""
        return list_view(reading.active(owner), reading.reasons(owner), reading.count_leftovers(owner))

    def get_job_details(
        self, reading: Reading, owner: int, job_id: str, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return why a job waits, and the attempts of its instances that failed, ran more than once or left processes.

        `parameters` may name one Task, and one Instance of it.
        """
        job = reading.outline(_find(reading, owner, job_id))
        task, number = read_choice(job, parameters)
        return details_view(job, reading, reading.reasons(owner), task, number)

    def get_log(self, reading: Reading, owner: int, job_id: str, parameters: Mapping[str, str]) -> LogChoice:
        """Return which piece of which log `parameters` name; whoever answers reads it outside of the snapshot."""
        return choose_log(reading, _find(reading, owner, job_id), parameters)

    def list_images(self, reading: Reading, owner: int) -> dict[str, Any]:
        """Return the images by id."""
        return images_view(self._images.values())

    def get_surroundings(self, reading: Reading, owner: int, job_id: str) -> dict[str, Any]:
        """Return the surroundings with which a job was submitted; {} if its client sent none."""
        found = reading.surroundings(_find(reading, owner, job_id))
        return {} if found is None else found.to_wire()

    def get_region(self, reading: Reading, owner: int) -> dict[str, Any]:
        """Return what a description may contain here, and where the objects are."""
        return {"Name": "local", "IdempotentTokens": True, **LOCAL_RANGES.to_wire(), **self._objects}


def write_jobs(reading: Reading, owner: int, after: int = 0, most: float = math.inf) -> tuple[str, int]:
    """Return jobs of the owner with numbers above `after`, as JSON text without its braces, and the number of the last one.

    The text is little longer than `most` characters. The number is 0 if no job follows.
    """
    texts, length = [], 0
    for number, text in reading.select(owner, JOB_TEXT, after):
        texts.append(text)
        length += len(text)
        if length >= most:
            return ",".join(texts), number
    return ",".join(texts), 0


def write_tasks(reading: Reading, owner: int, job_id: str) -> Iterator[str]:
    """Yield the JSON text of what `list_tasks` returns, in pieces: a job of a hundred thousand instances is never in memory."""
    job = _find(reading, owner, job_id)
    before = "{"
    for task in reading.tasks(job):
        yield f"{before}{json.dumps(task.name)}:"
        yield from write_task(task, job.state, reading.instances(job, task))
        before = ","
    yield "}"


def _find(reading: Reading, owner: int, job_id: str) -> Job:
    job = reading.find(job_id)
    if job is None or job.owner != owner:
        raise not_found(job_id[:100])
    return job


def _find_for(operation: Operation[Any], turn: Turn, owner: int, job_id: str) -> Job:
    job = _find(turn, owner, job_id)
    if not is_allowed(operation, job.state):
        raise conflict(job.state.title)
    return job
