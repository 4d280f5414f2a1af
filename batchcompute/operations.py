"""The API as a table: the ten operations of 2015-06-30 (protocol 1.2). No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import quote

from .plain_errors import ServerError, ThrottlingError, TransportError


class Answer(Enum):
    """What an operation answers."""

    CREATED = auto()
    ACTION = auto()
    JOB = auto()
    DESCRIPTION = auto()
    JOBS = auto()
    TASKS = auto()
    IMAGES = auto()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `path` has `{job}` where the job id goes.

    `repeatable`: doing it twice is the same as doing it once, so it may be repeated after an answer was lost.
    `states`: the job states in which the service does it, empty for any (protocol 2.3).
    """

    name: str
    method: str
    path: str
    answer: Answer
    repeatable: bool
    states: tuple[str, ...] = ()

    @property
    def mutating(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"

    def target(self, job: str = "") -> str:
        """The request target. The id is percent-encoded: it must not change the path (protocol 1.4)."""
        return self.path.replace("{job}", quote(job, safe=""))


CREATE_JOB = Operation("create_job", "POST", "/jobs", Answer.CREATED, repeatable=False)
LIST_JOBS = Operation("list_jobs", "GET", "/jobs", Answer.JOBS, repeatable=True)
GET_JOB = Operation("get_job", "GET", "/jobs/{job}", Answer.JOB, repeatable=True)
GET_JOB_DESCRIPTION = Operation(
    "get_job_description", "GET", "/jobs/{job}/description", Answer.DESCRIPTION, repeatable=True
)
UPDATE_JOB_PRIORITY = Operation(
    "update_job_priority", "PUT", "/jobs/{job}/Priority", Answer.ACTION, repeatable=True, states=("Stopped", "Failed")
)
STOP_JOB = Operation(
    "stop_job", "PUT", "/jobs/{job}?Action=Stop", Answer.ACTION, repeatable=False, states=("Waiting", "Running")
)
START_JOB = Operation(
    "start_job", "PUT", "/jobs/{job}?Action=Start", Answer.ACTION, repeatable=False, states=("Stopped", "Failed")
)
DELETE_JOB = Operation(
    "delete_job", "DELETE", "/jobs/{job}", Answer.ACTION, repeatable=False, states=("Stopped", "Finished", "Failed")
)
LIST_TASKS = Operation("list_tasks", "GET", "/jobs/{job}/tasks", Answer.TASKS, repeatable=True)
LIST_IMAGES = Operation("list_images", "GET", "/images", Answer.IMAGES, repeatable=True)

OPERATIONS = {
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
    )
}


def may_repeat(error: BaseException, repeatable: bool) -> bool:
    """Whether repeating a call after this error can neither do it twice nor report a success as a failure.

    What was never sent, and what the service refused before doing anything, may always be repeated; a lost answer or a
    failure inside the service only where the call is `repeatable`.
    """
    if isinstance(error, TransportError):
        return repeatable or not error.sent
    if isinstance(error, ThrottlingError):
        return True
    return isinstance(error, ServerError) and error.status in (500, 502, 503, 504) and repeatable


def may_be_done(error: BaseException) -> bool:
    """Whether a call that ended in this error may have been done all the same: the answer was lost on its way."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, ServerError) and error.status in (502, 504)  # what a gateway answers for a lost answer
