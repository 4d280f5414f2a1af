"""Everything that batchcompute raises or warns about.

    BatchComputeError
    ├── ConfigError (ValueError)          an argument, endpoint or setting that cannot be used
    ├── PluginError                       a plugin that cannot be loaded, or that broke a hook's rules
    ├── CredentialsError                  nobody had credentials for the call
    ├── JsonError (ValueError)            a text that is not the JSON of an object
    ├── FieldError (AttributeError, KeyError)   reading a property that the class does not have
    ├── ValidationError (ValueError)      a description with problems; `problems` lists them all
    ├── TransportError                    no answer arrived
    │   ├── ConnectError (ConnectionError)      the request was never sent
    │   ├── ResponseLostError (ConnectionError) it may have reached the service
    │   ├── RequestTimeoutError (TimeoutError)  it may have reached the service
    │   └── AmbiguousResultError                whether it was done is not known; `observed` says what was seen
    ├── DecodeError (ValueError)          the service answered something that cannot be understood
    ├── ClientError                       the service answered with an error
    │   ├── NotFoundError                 404
    │   ├── StateConflictError            409: the action is not allowed in the job's state
    │   ├── ThrottlingError               429, or a Throttling code: slow down
    │   └── ServerError                   5xx
    └── WaitError                         what `Client.wait` may raise; `job` is the last answer seen
        ├── JobFailedError
        ├── JobStoppedError
        └── WaitTimeoutError (TimeoutError)

Wrong types raise the built-in TypeError, as the standard library does.

    UserWarning
    ├── UnknownPropertyWarning            a property that the class does not have was dropped
    ├── PluginWarning                     a plugin was left out
    ├── ConfigWarning                     a variable that is no setting, or a file with secrets that others can read
    └── ClockSkewWarning                  this machine's clock is off; the service's time is used
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values.responses import Job


class BatchComputeError(Exception):
    """Base of every error of this package."""


class ConfigError(BatchComputeError, ValueError):
    """An argument, an endpoint or a setting cannot be used."""


class PluginError(BatchComputeError):
    """A plugin cannot be loaded, or broke the rules of a hook."""


class CredentialsError(BatchComputeError):
    """No credentials were found for a call."""


class JsonError(BatchComputeError, ValueError):
    """A text is not the JSON of an object."""


class FieldError(BatchComputeError, AttributeError, KeyError):
    """A property is read that the class does not have."""

    __str__ = Exception.__str__  # KeyError would show the repr of the message


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a description.

    `path` is where (`TaskDag.TaskDescMap.Find.ResourceDescription.Cpu`), `value` what stands there (None when
    missing), `allowed` what may stand there, `source` who says so, `hint` the nearest right value, if there is one.
    """

    path: str
    value: object
    message: str
    allowed: str = ""
    source: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}"
        if self.value is not None:
            text += f", got {shorten(self.value)}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.hint:
            text += f"; did you mean {self.hint!r}?"
        if self.source:
            text += f" [{self.source}]"
        return text


class ValidationError(BatchComputeError, ValueError):
    """A description cannot be submitted; nothing was sent. `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"not sent because of {count} problem{'s' if count > 1 else ''}:"]
        return "\n  ".join([*lines, *map(str, self.problems)])


class TransportError(BatchComputeError):
    """No answer arrived. `sent` tells whether the request may have reached the service."""

    sent = True


class ConnectError(TransportError, ConnectionError):
    """The service was not reached: the request was never sent."""

    sent = False


class ResponseLostError(TransportError, ConnectionError):
    """The connection broke after the request may have been sent."""


class RequestTimeoutError(TransportError, TimeoutError):
    """No answer came in time; the request may have reached the service."""


class AmbiguousResultError(TransportError):
    """A call that changes something may or may not have been done: repeating it blindly could do it twice.

    Attributes: `operation` (its name), `observed`: the jobs that were seen afterwards and may be its work (for create_job
    those of the same name that are new, otherwise the job itself), None when nothing could be seen; `idempotency_token`:
    calling again with it is safe where the region supports tokens, None elsewhere.
    """

    def __init__(
        self, operation: str, why: str, observed: list[Job] | None = None, idempotency_token: str | None = None
    ) -> None:
        super().__init__(operation, why, observed, idempotency_token)
        self.operation = operation
        self.why = why
        self.observed = observed
        self.idempotency_token = idempotency_token

    def __str__(self) -> str:
        text = f"{self.operation} may or may not have been done: {self.why}"
        if self.observed is None:
            return f"{text}; nothing could be observed afterwards"
        seen = ", ".join(f"{job.JobId} is {job.State}" for job in self.observed)
        return f"{text}; afterwards {seen or 'there is no such job'}"


class DecodeError(BatchComputeError, ValueError):
    """The service answered something that cannot be understood. `request_id` names the answer."""

    def __init__(self, message: str, request_id: str = "") -> None:
        super().__init__(message, request_id)
        self.message = message
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.message} [RequestId {self.request_id}]" if self.request_id else self.message


class ClientError(BatchComputeError):
    """The service answered with an error (reference section 2; codes: protocol 2.11).

    Attributes: `status` (HTTP status), `code`, `message`, `request_id`, and `retry_after`: the seconds the service asked to
    wait, or None.
    """

    def __init__(
        self, status: int, code: str, message: str, request_id: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status, code, message, request_id, retry_after)
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message} [HTTP {self.status}, RequestId {self.request_id or 'unknown'}]"

    # The getters of the original SDK.
    def get_status_code(self) -> int:
        """The HTTP status."""
        return self.status

    def get_code(self) -> str:
        """The error code."""
        return self.code

    def get_msg(self) -> str:
        """The message of the service."""
        return self.message

    def get_requestid(self) -> str:
        """The id of the request."""
        return self.request_id


class NotFoundError(ClientError):
    """404: there is no such job, or no such path."""


class StateConflictError(ClientError):
    """409: the job's state does not allow the action (protocol 2.3)."""


class ThrottlingError(ClientError):
    """429 or a Throttling code: the service refused the request before doing anything (protocol 2.11)."""


class ServerError(ClientError):
    """5xx: the service failed."""


def client_error(
    status: int, code: str, message: str, request_id: str, retry_after: float | None = None
) -> ClientError:
    """The most specific ClientError for an answer."""
    kind: type[ClientError] = ClientError
    if status == 429 or code.startswith("Throttling"):
        kind = ThrottlingError
    elif status >= 500:
        kind = ServerError
    elif status == 404:
        kind = NotFoundError
    elif status == 409:
        kind = StateConflictError
    return kind(status, code, message, request_id, retry_after)


class WaitError(BatchComputeError):
    """`Client.wait` did not see the job finish. `job` is the last state seen, `log` the end of a failed program's stderr."""

    def __init__(self, message: str, job: Job, log: str = "") -> None:
        super().__init__(message, job, log)
        self.message = message
        self.job = job
        self.log = log

    def __str__(self) -> str:
        return f"{self.message}\n{self.log.rstrip()}" if self.log else self.message


class JobFailedError(WaitError):
    """The job ended as Failed."""


class JobStoppedError(WaitError):
    """The job was stopped."""


class WaitTimeoutError(WaitError, TimeoutError):
    """The job had not ended in time; it goes on."""


class UnknownPropertyWarning(UserWarning):
    """A property that the class does not have was dropped."""


class ClockSkewWarning(UserWarning):
    """This machine's clock is off; the service's time is used for signing."""


class PluginWarning(UserWarning):
    """A plugin was left out."""


class ConfigWarning(UserWarning):
    """An environment variable is no setting, or a file with secrets can be read by others."""


def shorten(value: object, limit: int = 80) -> str:
    """The repr of a value, cut in the middle of a line rather than flooding it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, a list of thousands of levels
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that `name` most likely stands for, or ''. Upper and lower case count as the same."""
    if not isinstance(name, str):
        return ""
    import difflib  # only when something went wrong: it costs a start-up millisecond

    by_folded = {item.casefold(): item for item in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[close[0]] if close else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'X'?`, or ''."""
    best = nearest(name, known)
    return f"; did you mean {best!r}?" if best else ""


_NOT_THE_CALLER = ("batchcompute", "tenacity")


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn, pointing at the first line outside of this package: the line that the user can mend."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
