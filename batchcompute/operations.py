"""The API as a table: the ten operations of 2015-06-30 (protocol 1.2), and ours. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from .plain_errors import ServerError, ThrottlingError, TransportError
from .regions import Ranges
from .surroundings import Surroundings
from .values.details import JobDetails, JobDetailsList, LogPiece
from .values.responses import (
    ActionResponse,
    CreateResponse,
    Image,
    Job,
    JobDescriptionResponse,
    JobResponse,
    ListResponse,
    Task,
)

A = TypeVar("A")  # what an operation answers


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """One operation, for a client that calls it and for a service that has a route to it.

    `method` and `path` are the verb and the path, with `{job}` where the job id goes; `action` is the value of the query
    parameter Action, "" for none. `answer` is the class of the answer, such as `ListResponse[Job]`; `status` is the HTTP
    status of a success. `repeatable`: doing it twice is the same as doing it once, so it may be repeated after an answer
    was lost. `states`: the job states in which the service does it, empty for any (protocol 2.3).
    `parameters`: the names of the query parameters that it may have besides Action.
    """

    name: str
    method: str
    path: str
    answer: type[A]
    repeatable: bool
    states: tuple[str, ...] = ()
    action: str = ""
    status: int = 200
    parameters: tuple[str, ...] = ()

    @property
    def mutating(self) -> bool:
        """True if it changes anything."""
        return self.method != "GET"

    def target(self, job: str = "", parameters: Mapping[str, str] = MappingProxyType({})) -> str:
        """Return the request target. The id and the values are percent-encoded: they must not change the path (protocol 1.4)."""
        path = self.path.replace("{job}", quote(job, safe=""))
        query = [f"Action={self.action}"] if self.action else []
        query += [f"{name}={quote(value, safe='')}" for name, value in parameters.items()]
        return f"{path}?{'&'.join(query)}" if query else path


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One call of an operation: everything that the caller of a Client has decided.

    `job` is the job id, "" for an operation that names none. `timeout` is the seconds that the call may take in all, None for
    no limit. `token` is the caller's own idempotency token, None for one of ours. `wait` is the seconds for which the
    service may keep the answer back (`Prefer: wait`, RFC 7240), 0 for none; services that cannot do it ignore it.
    `surroundings` are those of a new job, None for those of this process.
    `parameters` are values of the operation's query parameters, by name.
    """

    operation: Operation[A]
    job: str = ""
    body: bytes = field(default=b"", repr=False)  # may hold environment variables
    timeout: float | None = None
    token: str | None = None
    wait: int = 0
    surroundings: Surroundings | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Request target."""
        return self.operation.target(self.job, self.parameters)


CREATE_JOB = Operation("create_job", "POST", "/jobs", CreateResponse, repeatable=False, status=201)
LIST_JOBS = Operation("list_jobs", "GET", "/jobs", ListResponse[Job], repeatable=True)
GET_JOB = Operation("get_job", "GET", "/jobs/{job}", JobResponse, repeatable=True)
GET_JOB_DESCRIPTION = Operation(
    "get_job_description", "GET", "/jobs/{job}/description", JobDescriptionResponse, repeatable=True
)
UPDATE_JOB_PRIORITY = Operation(
    "update_job_priority", "PUT", "/jobs/{job}/Priority", ActionResponse, repeatable=True, states=("Stopped", "Failed")
)
STOP_JOB = Operation(
    "stop_job", "PUT", "/jobs/{job}", ActionResponse, repeatable=False, states=("Waiting", "Running"), action="Stop"
)
START_JOB = Operation(
    "start_job", "PUT", "/jobs/{job}", ActionResponse, repeatable=False, states=("Stopped", "Failed"), action="Start"
)
DELETE_JOB = Operation(
    "delete_job", "DELETE", "/jobs/{job}", ActionResponse, repeatable=False, states=("Stopped", "Finished", "Failed")
)
LIST_TASKS = Operation("list_tasks", "GET", "/jobs/{job}/tasks", ListResponse[Task], repeatable=True)
LIST_IMAGES = Operation("list_images", "GET", "/images", ListResponse[Image], repeatable=True)
GET_REGION = Operation("get_region", "GET", "/-/region", Ranges, repeatable=True)
"""Ours: what a description may contain there. Services of Alibaba Cloud do not have it."""
GET_SURROUNDINGS = Operation("get_surroundings", "GET", "/-/jobs/{job}/surroundings", Surroundings, repeatable=True)
"""Ours: the surroundings with which a job was submitted."""
LIST_JOB_DETAILS = Operation("list_job_details", "GET", "/-/jobs", JobDetailsList, repeatable=True)
GET_JOB_DETAILS = Operation(
    "get_job_details", "GET", "/-/jobs/{job}", JobDetails, repeatable=True, parameters=("Task", "Instance")
)
"""Ours: what the answers of the API have no place for. Services of Alibaba Cloud do not have them."""
GET_LOG = Operation(
    "get_log",
    "GET",
    "/-/jobs/{job}/log",
    LogPiece,
    repeatable=True,
    parameters=("Task", "Instance", "Stream", "Attempt", "Start", "Limit", "File"),
)
"""Ours: a piece of a log without a redirect path."""

OPERATIONS: dict[str, Operation[Any]] = {
    operation.name: operation
    for operation in (
        CREATE_JOB,
        LIST_JOBS,
        GET_JOB,
        GET_JOB_DESCRIPTION,
        UPDATE_JOB_PRIORITY,
        STOP_JOB,
        START_JOB,
        DELETE_JOB,
        LIST_TASKS,
        LIST_IMAGES,
        GET_REGION,
        GET_SURROUNDINGS,
        LIST_JOB_DETAILS,
        GET_JOB_DETAILS,
        GET_LOG,
    )
}


def may_repeat(error: BaseException, repeatable: bool) -> bool:
    """Return whether repeating a call after this error can neither do it twice nor report a success as a failure.

    What was never sent, and what the service refused before doing anything, may always be repeated; a lost answer or a
    failure inside the service only where the call is `repeatable`.
    """
    if isinstance(error, TransportError):
        return repeatable or not error.sent
    if isinstance(error, ThrottlingError):
        return True
    return isinstance(error, ServerError) and error.status in (500, 502, 503, 504) and repeatable


def may_be_done(error: BaseException) -> bool:
    """Return whether a call that ended in this error may have been done all the same: the answer was lost on its way."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, ServerError) and error.status in (502, 504)  # what a gateway answers for a lost answer
