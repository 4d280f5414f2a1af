"""What became of a call whose answer was lost: looks once, and says what was seen. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from . import operations as ops
from .errors import AmbiguousResultError, BatchComputeError, NotFoundError
from .hooks import CallContext
from .values.responses import Job, ListResponse

Look = Callable[[ops.Operation, str, float], Any]
"""Does one attempt of an operation that only reads: (operation, target, seconds) to its answer."""

LOOK_SECONDS = 5.0
HURRIED_LOOK_SECONDS = 1.0  # for a call that was given a timeout
CLOCK_SLACK_SECONDS = 2.0


def ambiguous(look: Look, call: CallContext, cause: BatchComputeError, started: float) -> AmbiguousResultError:
    """The error for a call that began at `started` (seconds since 1970) and may have been done."""
    try:
        observed = _observe(look, call, started)
        for job in observed or ():
            _ = job.JobId, job.State  # what cannot be decoded is not observed
    except NotFoundError:
        observed = []
    except BatchComputeError:
        observed = None
    return AmbiguousResultError(call.operation.name, str(cause), observed, call.idempotency_token)


def _observe(look: Look, call: CallContext, started: float) -> list[Job] | None:
    seconds = LOOK_SECONDS if call.deadline is None else HURRIED_LOOK_SECONDS
    if call.operation is not ops.CREATE_JOB:
        job_target = call.request.target.partition("?")[0].removesuffix("/Priority")
        return [cast(Job, look(ops.GET_JOB, job_target, seconds))]
    name = json.loads(call.request.body).get("JobName", "")
    jobs = cast("ListResponse[Job]", look(ops.LIST_JOBS, ops.LIST_JOBS.target(), seconds))
    since = started - CLOCK_SLACK_SECONDS
    return [job for job in jobs if job.JobName == name and isinstance(job.CreateTime, int) and job.CreateTime >= since]
