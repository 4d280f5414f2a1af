"""Waiting for a job: polls with growing intervals, and says why it failed.

A service that can (region local) is asked to answer when the job has ended, so that nobody is late (`Prefer: wait`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .errors import (
    BatchComputeError,
    JobFailedError,
    JobStoppedError,
    ServerError,
    ThrottlingError,
    TransportError,
    WaitTimeoutError,
)
from .hooks import Clock
from .values.responses import Job, JobResponse, ListResponse, Task

FIRST_INTERVAL = 0.05
LONGEST_INTERVAL = 5.0
GROWTH = 1.3
OUTAGE_SECONDS = 300.0  # without a timeout, a service that does not answer is waited for this long
SHORTEST_LOOK = 0.5  # the last look is a real one
LOG_LINES = 20
LOG_BYTES = 4000


class Reader(Protocol):
    """The calls of a Client that waiting needs."""

    def get_job(self, job: str, *, timeout: float | None = None, wait: int = 0) -> JobResponse: ...

    def list_tasks(self, job: str, *, timeout: float | None = None) -> ListResponse[Task]: ...

    def read_log(self, job: str, task_name: str, instance_id: int = 0) -> bytes | None: ...


def wait(
    client: Reader,
    job_id: str,
    timeout: float | None,
    on_change: Callable[[Job], object] | None,
    check: bool,
    clock: Clock,
    patience: float,
) -> JobResponse:
    """See Client.wait; `patience` is how many seconds an answer may be kept back at most."""
    ends = None if timeout is None else clock.monotonic() + timeout
    interval = FIRST_INTERVAL
    seen: Job | None = None
    out_since: float | None = None
    while True:
        left = None if ends is None else max(ends - clock.monotonic(), SHORTEST_LOOK)
        # who looks at changes wants them as they come
        kept_back = int(min(interval if on_change else LONGEST_INTERVAL, patience, left / 2 if left else patience))
        asked = clock.monotonic()
        try:
            job = client.get_job(job_id, timeout=left, wait=kept_back)
        except (TransportError, ServerError, ThrottlingError):
            now = clock.monotonic()
            patience = 0  # whatever stands between may not bear with an answer that is kept back
            out_since = now if out_since is None else out_since
            if ends is not None and now >= ends:
                if seen is None:
                    raise
                raise _still(job_id, seen, timeout) from None
            if ends is None and now - out_since >= OUTAGE_SECONDS:
                raise
            clock.sleep(interval if ends is None else min(interval, max(0.0, ends - now)))
            interval = min(interval * GROWTH, LONGEST_INTERVAL)
            continue
        out_since = None
        if job != seen:
            interval = min(interval, 1.0) if seen is not None else interval  # something happens: look more often
            seen = job
            if on_change is not None:
                on_change(job)
        if job.State in ("Finished", "Failed", "Stopped"):
            if check:
                _raise_unless_finished(client, job)
            return job
        if ends is not None and clock.monotonic() >= ends:
            raise _still(job_id, job, timeout)
        held = clock.monotonic() - asked
        if not kept_back or held < 0.9 * kept_back:
            pause = max(0.0, interval - held) if kept_back and held >= 1 else interval
            clock.sleep(pause if ends is None else min(pause, max(0.0, ends - clock.monotonic())))
        interval = min(interval * GROWTH, LONGEST_INTERVAL)


def _still(job_id: str, job: Job, timeout: float | None) -> WaitTimeoutError:
    return WaitTimeoutError(f"{job_id} is still {job.State} after {timeout} seconds; it goes on", job)


def _raise_unless_finished(client: Reader, job: JobResponse) -> None:
    if job.State == "Stopped":
        raise JobStoppedError(f"{job.JobId} was stopped", job)
    if job.State == "Failed":
        try:
            where, log = _failing_instance(client, job.JobId)
        except (BatchComputeError, LookupError, OSError):  # what only explains the failure must not hide it
            where, log = "", ""
        raise JobFailedError(f"{job.JobId} failed{where}", job, log)


def _failing_instance(client: Reader, job_id: str) -> tuple[str, str]:
    """Which instance failed, in words, and the end of its stderr."""
    for task in client.list_tasks(job_id):
        for instance in task.InstanceList:
            if instance.State == "Failed":
                data = client.read_log(job_id, task.TaskName, instance.InstanceId) or b""
                lines = data[-LOG_BYTES:].decode("utf-8", "replace").splitlines()
                where = f" in task {task.TaskName}, instance {instance.InstanceId}"
                return where + ("; its stderr ends:" if lines else ""), "\n".join(lines[-LOG_LINES:])
    return "", ""
