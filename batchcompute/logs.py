"""Logs of instances: which one is meant, and what plugins need to open it."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from .hooks import LogContext, ObjectStore
from .hooks.manager import Hooks
from .operations import GET_LOG, Call
from .regions import Region
from .values.details import JobDetails, LogPiece
from .values.responses import JobDescriptionResponse

_STREAMS = ("stdout", "stderr")


class Reader(Protocol):
    """Calls of a Client that reading of logs needs."""

    def get_job_description(self, job: str) -> JobDescriptionResponse: ...

    def get_job_details(
        self, job: str, task_name: str | None = None, instance_id: int | None = None
    ) -> JobDetails | None: ...

    @property
    def objects(self) -> ObjectStore: ...


def open_log(
    client: Reader,
    hooks: Hooks,
    region: Region,
    ask: Callable[[Call[LogPiece]], LogPiece | None],
    job_id: str,
    task_name: str,
    instance_id: int,
    stream: str,
    attempt: int | None,
    timeout: float | None,
) -> BinaryIO | None:
    """See Client.open_log; `ask` does a call that the API does not have, and `timeout` is for each piece of a log."""
    if stream not in _STREAMS:
        raise ValueError(f"stream must be 'stdout' or 'stderr', not {stream!r}")
    if attempt is not None and attempt < 1:
        raise ValueError(f"attempt must be None or at least 1, not {attempt}")

    def read_piece(start: int, limit: int, file: str) -> LogPiece | None:
        values = {
            "Task": task_name,
            "Instance": instance_id,
            "Stream": stream,
            "Attempt": attempt,
            "Start": start,
            "Limit": limit,
            "File": file or None,
        }
        parameters = {name: str(value) for name, value in values.items() if value is not None}
        return ask(Call(GET_LOG, job_id, timeout=timeout, parameters=parameters))

    task = client.get_job_description(job_id).TaskDag.get_task(task_name)
    knows_attempts = attempt is not None and instance_id < task.InstanceCount
    return hooks.fetch_log(
        LogContext(
            region,
            hooks.config,
            job_id,
            task_name,
            instance_id,
            stream,
            task.StdoutRedirectPath if stream == "stdout" else task.StderrRedirectPath,
            attempt,
            _find_newest(client, job_id, task_name, instance_id) if knows_attempts else None,
            lambda uri: client.objects.open(uri),
            read_piece,
        )
    )


def _find_newest(client: Reader, job_id: str, task_name: str, instance_id: int) -> int | None:
    """Return the newest attempt of an instance that began; None if none did, or the service does not know it."""
    details = client.get_job_details(job_id, task_name, instance_id)
    found = details.tasks[task_name].instances.get(instance_id) if details else None
    begun = [one.number for one in found.attempts if one.host or one.worker_start_time] if found else []
    return max(begun, default=None)
