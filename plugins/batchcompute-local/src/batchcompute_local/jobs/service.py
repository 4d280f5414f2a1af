"""The ten operations (protocol 1.2) as typed methods. They run in the engine's turn: `engine.submit(lambda: ...)`.

All take the owner's number; nobody sees another owner's jobs. All raise ServiceError, before anything is changed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from batchcompute_local.errors import conflict, invalid, not_found
from batchcompute_local.images import Image
from batchcompute_local.jobs import transitions
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.model import Job, new_job
from batchcompute_local.jobs.ranges import LOCAL_RANGES
from batchcompute_local.jobs.states import allowed
from batchcompute_local.jobs.views import JOB_COLUMNS, images_view, job_view, task_view
from batchcompute_local.plan import LOCAL_IMAGE, JobPlan

_log = logging.getLogger(__name__)


class Service:
    """What can be done with jobs. Answers are in the wire's shapes (protocol 1.7)."""

    def __init__(self, engine: Engine, images: Mapping[str, Image] | None = None) -> None:
        self._engine = engine
        self._images = images or {}

    def create_job(self, owner: int, plan: JobPlan) -> dict[str, Any]:
        """Accept a job; `plan` comes from `descriptions.read_description`. Answers {"ResourceId": id}."""
        engine = self._engine
        seq, job_id = engine.store.next_id()
        job = new_job(seq, job_id, owner, plan, engine.clock())
        engine.changes.created[seq] = job
        for task in job.tasks:
            engine.changes.touch(job, task)
        engine.add(job)
        for image in {task.image_id for task in plan.tasks} - {LOCAL_IMAGE, *self._images}:
            _log.info("%s: image %s runs on this machine, as %s does", job_id, image, LOCAL_IMAGE)
        for note in engine.capacity.notes(plan):
            _log.info("%s %s", job_id, note)
        return {"ResourceId": job_id}

    def list_jobs(self, owner: int) -> dict[str, Any]:
        """All jobs of the owner, by id."""
        self._engine.store.flush(self._engine.changes)
        return {job["ResourceId"]: job for job in self._engine.store.select(owner, JOB_COLUMNS)}

    def get_job(self, owner: int, job_id: str) -> dict[str, Any]:
        """One job."""
        return job_view(self._find(owner, job_id))

    def get_job_description(self, owner: int, job_id: str) -> dict[str, Any]:
        """The description of a job, with what the service filled in and the priority as it is now."""
        job = self._find(owner, job_id)
        self._engine.store.flush(self._engine.changes)
        view: dict[str, Any] = json.loads(self._engine.store.description(job.seq))
        return view | {"Priority": job.priority}

    def update_job_priority(self, owner: int, job_id: str, body: bytes) -> None:
        """Change the priority of a stopped or failed job; `body` is a bare decimal integer (protocol 1.2)."""
        text = body.strip()
        if not text.isdigit() or len(text) > 9:
            raise invalid("Priority", "Its type must be integer.")
        if int(text) not in LOCAL_RANGES.priority:
            raise invalid("Priority", f"It must be in {LOCAL_RANGES.priority}.")
        job = self._allowed("priority", owner, job_id)
        job.priority = int(text)
        self._engine.changes.touch(job)

    def stop_job(self, owner: int, job_id: str) -> None:
        """Stop a waiting or running job: it is Stopped at once, its programs are being ended."""
        engine = self._engine
        job = self._allowed("stop", owner, job_id)
        engine.retire(job, transitions.stop(job, engine.clock(), engine.changes))

    def start_job(self, owner: int, job_id: str) -> None:
        """Start a stopped or failed job again; what is Finished does not run again (protocol 2.4)."""
        engine = self._engine
        job = engine.store.complete(self._allowed("start", owner, job_id))
        transitions.restart(job, engine.changes)
        engine.add(job)

    def delete_job(self, owner: int, job_id: str) -> None:
        """Delete a job that has ended, its working folders and its logs; objects stay."""
        job = self._allowed("delete", owner, job_id)
        self._engine.changes.deleted.add(job.seq)
        self._engine.forget(job)

    def list_tasks(self, owner: int, job_id: str) -> dict[str, Any]:
        """The tasks of a job by name, with their instances."""
        job = self._find(owner, job_id)
        if not job.tasks:
            self._engine.store.complete(job)
        return {task.name: task_view(task, job.state) for task in job.tasks}

    def list_images(self, owner: int) -> dict[str, Any]:
        """The images by id."""
        return images_view(self._images.values())

    def _find(self, owner: int, job_id: str) -> Job:
        job = self._engine.find(job_id)
        if job is None or job.owner != owner:
            raise not_found(job_id[:100])
        return job

    def _allowed(self, action: str, owner: int, job_id: str) -> Job:
        job = self._find(owner, job_id)
        if not allowed(action, job.state):
            raise conflict(job.state.title)
        return job
