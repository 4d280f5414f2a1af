"""Everything that batchcompute raises or warns about.

    BatchComputeError
    ├── ConfigError (ValueError)          an argument, endpoint or setting that cannot be used
    ├── PluginError                       a plugin that cannot be loaded, or that broke a hook's rules
    ├── CredentialsError                  nobody had credentials for the call
    ├── JsonError (ValueError)            a text that is not the JSON of an object
    ├── FieldError (AttributeError, KeyError)   reading a property that the class does not have
    ├── ValidationError (ValueError)      a description with problems; `problems` lists them all
    ├── PackingError (ValueError)         a folder with something that no package may contain
    ├── TransportError                    no answer arrived
    │   ├── ConnectError (ConnectionError)      the request was never sent
    │   ├── ResponseLostError (ConnectionError) it may have reached the service
    │   ├── RequestTimeoutError (TimeoutError)  it may have reached the service
    │   └── AmbiguousResultError                whether it was done is not known; `observed` says what was seen
    ├── DecodeError (ValueError)          the service answered something that cannot be understood
    ├── ClientError                       the service answered with an error
    │   ├── AuthenticationError           the access key, the signature or the token is refused
    │   ├── PermissionDeniedError         the action is not allowed to who is asking
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
    ├── ServiceWarning                    the service accepted a request, but it may not be what was meant
    ├── PluginWarning                     a plugin was left out
    ├── ConfigWarning                     a variable that is no setting, or a file with secrets that others can read
    └── ClockSkewWarning                  this machine's clock is off; the service's time is used
"""

from __future__ import annotations

from .messages import (
    did_you_mean as did_you_mean,
    nearest as nearest,
    shorten as shorten,
    warn_caller as warn_caller,
)
from .plain_errors import (
    AuthenticationError as AuthenticationError,
    BatchComputeError as BatchComputeError,
    ClientError as ClientError,
    ClockSkewWarning as ClockSkewWarning,
    ConfigError as ConfigError,
    ConfigWarning as ConfigWarning,
    ConnectError as ConnectError,
    CredentialsError as CredentialsError,
    DecodeError as DecodeError,
    FieldError as FieldError,
    JsonError as JsonError,
    NotFoundError as NotFoundError,
    PackingError as PackingError,
    PermissionDeniedError as PermissionDeniedError,
    PluginError as PluginError,
    PluginWarning as PluginWarning,
    Problem as Problem,
    RequestTimeoutError as RequestTimeoutError,
    ResponseLostError as ResponseLostError,
    ServerError as ServerError,
    ServiceWarning as ServiceWarning,
    StateConflictError as StateConflictError,
    ThrottlingError as ThrottlingError,
    TransportError as TransportError,
    UnknownPropertyWarning as UnknownPropertyWarning,
    ValidationError as ValidationError,
    client_error as client_error,
)
from .values.responses import Job


class AmbiguousResultError(TransportError):
    """A call that changes something may or may not have been done: repeating it blindly could do it twice.

    Attributes: `operation` (its name), `observed`: the jobs that were seen afterwards and may be its work (for create_job
    those of the same name that are new, otherwise the job itself), None when nothing could be seen; `idempotency_token`:
    calling again with it is safe where the region supports tokens, None elsewhere; `status` and `request_id` of the last answer,
    0 and "" if there was none.
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
