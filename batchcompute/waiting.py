"""Waiting for a job: polls with growing intervals, and says why it failed.

A service that can (region local) is asked to answer when the job has ended, so that nobody is late (`Prefer: wait`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Protocol

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
from .log_pieces import read_end
from .messages import name_instances
from .values.responses import Job, JobResponse, ListResponse, Task

FIRST_INTERVAL = 0.05
LONGEST_INTERVAL = 5.0
BUSY_INTERVAL = 1.0  # after a change: more is to be expected
GROWTH = 1.3
OUTAGE_SECONDS = 300.0  # without a timeout, a service that does not answer is waited for this long
HURRY_SECONDS = 60.0  # for so long after an outage no answer is kept back
SHORTEST_LOOK = 0.5  # the last look is a real one
LOG_LINES = 20
LOG_BYTES = 4000
ENDED = ("Finished", "Failed", "Stopped")


class Reader(Protocol):
    """Calls of a Client that waiting needs."""

    def get_job(self, job: str, *, timeout: float | None = None, wait: int = 0) -> JobResponse: ...

    def list_tasks(self, job: str, *, timeout: float | None = None) -> ListResponse[Task]: ...

    def open_log(self, job: str, task_name: str, instance_id: int = 0) -> BinaryIO | None: ...


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
    job = _Wait(client, job_id, timeout, on_change, clock, patience).run()
    if check:
        _raise_unless_finished(client, job)
    return job


class _Wait:
    """One wait for one job: asks, notes what has changed, pauses, until the job or the time has ended."""

    def __init__(
        self,
        client: Reader,
        job_id: str,
        timeout: float | None,
        on_change: Callable[[Job], object] | None,
        clock: Clock,
        patience: float,
    ) -> None:
        self._client = client
        self._job_id = job_id
        self._timeout = timeout
        self._on_change = on_change
        self._clock = clock
        self._patience = patience
        self._hurries_until = -math.inf  # no answer is kept back before
        self._ends = None if timeout is None else clock.monotonic() + timeout
        self._interval = FIRST_INTERVAL  # until the next question
        self._seen: Job | None = None  # the last answer
        self._out_since: float | None = None  # when the service stopped to answer, None if it answers

    def run(self) -> JobResponse:
        while True:
            left = self._time_for_an_answer()
            kept_back = self._time_to_keep_back(left)
            asked = self._clock.monotonic()
            try:
                job = self._client.get_job(self._job_id, timeout=left, wait=kept_back)
            except (TransportError, ServerError, ThrottlingError) as error:
                if not self._bears_outage():
                    if self._ends is None or self._seen is None:
                        raise
                    raise self._time_is_up(self._seen) from error
                self._sleep(self._interval)
            else:
                self._note(job)
                if job.State in ENDED:
                    return job
                if self._is_over():
                    raise self._time_is_up(job)
                self._pause(kept_back, self._clock.monotonic() - asked)
            self._interval = min(self._interval * GROWTH, LONGEST_INTERVAL)

    def _time_for_an_answer(self) -> float | None:
        """Seconds, None for no limit."""
        return None if self._ends is None else max(self._ends - self._clock.monotonic(), SHORTEST_LOOK)

    def _time_to_keep_back(self, left: float | None) -> int:
        """Whole seconds for which the service may keep the answer back."""
        # who looks at changes wants them as they come
        if self._clock.monotonic() < self._hurries_until:
            return 0
        wanted = self._interval if self._on_change else LONGEST_INTERVAL
        return int(min(wanted, self._patience, left / 2 if left else self._patience))

    def _bears_outage(self) -> bool:
        """Note that the service did not answer; False when the wait gives up."""
        now = self._clock.monotonic()
        self._hurries_until = now + HURRY_SECONDS  # what stands between may not bear with an answer that is kept back
        if self._out_since is None:
            self._out_since = now
        return now - self._out_since < OUTAGE_SECONDS if self._ends is None else now < self._ends

    def _note(self, job: Job) -> None:
        """Note an answer; one that shows a change brings the interval down and is passed on."""
        self._out_since = None
        if job == self._seen:
            return
        if self._seen is not None:
            self._interval = min(self._interval, BUSY_INTERVAL)
        self._seen = job
        if self._on_change is not None:
            self._on_change(job)

    def _pause(self, kept_back: int, held: float) -> None:
        """Sleep until the next question; `held` is the seconds that the answer took."""
        if not kept_back or held < 0.9 * kept_back:  # else the service has done the waiting
            self._sleep(max(0.0, self._interval - held) if kept_back and held >= 1 else self._interval)

    def _sleep(self, seconds: float) -> None:
        left = seconds if self._ends is None else max(0.0, self._ends - self._clock.monotonic())
        self._clock.sleep(min(seconds, left))

    def _is_over(self) -> bool:
        return self._ends is not None and self._clock.monotonic() >= self._ends

    def _time_is_up(self, job: Job) -> WaitTimeoutError:
        return WaitTimeoutError(f"{self._job_id} is still {job.State} after {self._timeout} seconds; it goes on", job)


def _raise_unless_finished(client: Reader, job: JobResponse) -> None:
    if job.State == "Stopped":
        raise JobStoppedError(f"{job.JobId} was stopped", job)
    if job.State == "Failed":
        failed: list[tuple[str, int]] = []
        log = ""
        with suppress(BatchComputeError, LookupError, OSError):  # what only explains the failure must not hide it
            failed = _failed_instances(client, job.JobId)
            log = _end_of_stderr(client, job.JobId, *failed[0])
        where = f" in {name_instances(failed)}" if failed else ""
        if log:
            where += "; the stderr of the first one ends:" if len(failed) > 1 else "; its stderr ends:"
        raise JobFailedError(f"{job.JobId} failed{where}", job, log)


def _failed_instances(client: Reader, job_id: str) -> list[tuple[str, int]]:
    """Return task and number of all failed instances."""
    return [
        (task.TaskName, instance.InstanceId)
        for task in client.list_tasks(job_id)
        for instance in task.InstanceList
        if instance.State == "Failed"
    ]


def _end_of_stderr(client: Reader, job_id: str, task: str, instance: int) -> str:
    log = client.open_log(job_id, task, instance)
    if log is None:
        return ""
    with log:
        return "\n".join(read_end(log, LOG_BYTES).decode("utf-8", "replace").splitlines()[-LOG_LINES:])
