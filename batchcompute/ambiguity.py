"""What became of a call whose answer was lost: looks once, and says what was seen. Changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from . import operations as ops
from .errors import AmbiguousResultError, BatchComputeError, NotFoundError
from .hooks import CallContext
from .responses import Job, ListResponse

if TYPE_CHECKING:
    from .pipeline import Pipeline

LOOK_SECONDS = 5.0
CLOCK_SLACK_SECONDS = 2.0


def ambiguous(pipeline: Pipeline, call: CallContext, cause: BatchComputeError, started: float) -> AmbiguousResultError:
    """The error for a call that began at `started` (seconds since 1970) and may have been done."""
    try:
        observed = _observe(pipeline, call, started)
    except NotFoundError:
        observed = []
    except BatchComputeError:
        observed = None
    return AmbiguousResultError(call.operation.name, str(cause), observed, call.idempotency_token)


def _observe(pipeline: Pipeline, call: CallContext, started: float) -> list[Job] | None:
    if call.operation is not ops.CREATE_JOB:
        job_target = call.request.target.partition("?")[0].removesuffix("/Priority")
        return [cast(Job, pipeline.look(ops.GET_JOB, job_target, LOOK_SECONDS))]
    name = json.loads(call.request.body).get("JobName", "")
    jobs = cast("ListResponse[Job]", pipeline.look(ops.LIST_JOBS, ops.LIST_JOBS.target(), LOOK_SECONDS))
    since = started - CLOCK_SLACK_SECONDS
    return [job for job in jobs if job.JobName == name and isinstance(job.CreateTime, int) and job.CreateTime >= since]
