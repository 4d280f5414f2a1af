"""Find out once whether a call whose answer was lost was done. Changes nothing."""

from __future__ import annotations

import json
from typing import Any, Protocol

from .errors import (
    AmbiguousResultError,
    BatchComputeError,
    ClientError,
    DecodeError,
    NotFoundError,
    TransportError,
)
from .operations import CREATE_JOB, GET_JOB, LIST_JOBS, A, Call
from .values.responses import Job

LOOK_SECONDS = 5.0
OVERTIME_SECONDS = 0.3  # a call with a timeout ends within half a second of it, with the look
CLOCK_SLACK_SECONDS = 2.0


class ReadOnce(Protocol):
    """Does one attempt of a call that only reads."""

    def __call__(self, call: Call[A], /) -> A: ...


def build_error(
    read_once: ReadOnce,
    call: Call[Any],
    token: str | None,
    cause: BatchComputeError,
    started: float,
    left: float | None = None,
) -> AmbiguousResultError:
    """Return the error for a call that may have been done.

    It began at `started` (seconds since 1970), and has `left` seconds of its timeout; None without one. `token` was sent
    with it.
    """
    seconds = LOOK_SECONDS if left is None else min(LOOK_SECONDS, max(0.0, left) + OVERTIME_SECONDS)
    try:
        observed = _observe(read_once, call, started, seconds)
        for job in observed or ():
            _ = job.JobId, job.State  # what cannot be decoded is not observed
    except NotFoundError:
        observed = []
    except BatchComputeError:
        observed = None
    error = AmbiguousResultError(call.operation.name, str(cause), observed, token)
    error.endpoint, error.attempts = cause.endpoint, cause.attempts
    if isinstance(cause, (ClientError, DecodeError, TransportError)):
        error.status, error.request_id = cause.status, cause.request_id
    return error


def _observe(read_once: ReadOnce, call: Call[Any], started: float, seconds: float) -> list[Job] | None:
    if call.operation is not CREATE_JOB:
        return [read_once(Call(GET_JOB, call.job, timeout=seconds))]
    name = json.loads(call.body).get("JobName", "")
    since = started - CLOCK_SLACK_SECONDS
    return [
        job
        for job in read_once(Call(LIST_JOBS, timeout=seconds))
        if job.JobName == name and isinstance(job.CreateTime, int) and job.CreateTime >= since
    ]
