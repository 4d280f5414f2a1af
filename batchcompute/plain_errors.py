"""The errors and warnings that carry no job, for everything below the values. `errors` draws the tree and offers them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .messages import shorten


class BatchComputeError(Exception):
    """Base of every error of this package.

    One that ended a call of a Client has the `operation` (its name), the `endpoint` (`scheme://host:port`, without the scheme's
    default port) and the `attempts` that were made; others have "" and 0.
    """

    operation = ""
    endpoint = ""
    attempts = 0


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


class PackingError(BatchComputeError, ValueError):
    """A folder has something in it that a service would refuse in a package."""


class TransportError(BatchComputeError):
    """No whole answer arrived. `sent` tells whether the request may have reached the service.

    `status` and `request_id` are those of an answer that broke off after its head; 0 and "" when there was none.
    """

    sent = True
    status = 0
    request_id = ""

    def __str__(self) -> str:
        text = super().__str__()
        if not self.operation:
            return text
        known = [self.operation, self.endpoint, f"RequestId {self.request_id}" if self.request_id else ""]
        return f"{text} [{', '.join(filter(None, known))}, {_count(self.attempts)}]"


class ConnectError(TransportError, ConnectionError):
    """The service was not reached: the request was never sent."""

    sent = False


class ResponseLostError(TransportError, ConnectionError):
    """The connection broke after the request may have been sent."""


class RequestTimeoutError(TransportError, TimeoutError):
    """No answer came in time; the request may have reached the service."""


class DecodeError(BatchComputeError, ValueError):
    """The service answered something that cannot be understood. `request_id` names the answer, `status` is its HTTP status."""

    def __init__(self, message: str, request_id: str = "", status: int = 0) -> None:
        super().__init__(message, request_id)
        self.status = status
        self.message = message
        self.request_id = request_id

    def __str__(self) -> str:
        known = [
            f"HTTP {self.status}" if self.status else "",
            f"RequestId {self.request_id}" if self.request_id else "",
        ]
        return f"{self.message} [{', '.join(filter(None, known))}]" if any(known) else self.message


class ClientError(BatchComputeError):
    """The service answered with an error (reference section 2; codes: protocol 2.11).

    Attributes: `status` (HTTP status), `code`, `message`, `request_id`, `retry_after`: the seconds the service asked to
    wait, or None; and `date`: when the service answered, as it says it, or "".
    """

    date = ""

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
        often = f", {_count(self.attempts)}" if self.attempts > 1 else ""
        return f"{self.code}: {self.message} [HTTP {self.status}, RequestId {self.request_id or 'unknown'}{often}]"

    # The getters of the original SDK.
    def get_status_code(self) -> int:
        """Return the HTTP status."""
        return self.status

    def get_code(self) -> str:
        """Return the error code."""
        return self.code

    def get_msg(self) -> str:
        """Return the message of the service."""
        return self.message

    def get_requestid(self) -> str:
        """Return the id of the request."""
        return self.request_id


class AuthenticationError(ClientError):
    """The service does not accept who is asking: the access key, the signature or the token. Nothing was done (protocol 2.11)."""


class PermissionDeniedError(ClientError):
    """The service knows who is asking, and does not allow it. Nothing was done (protocol 2.11)."""


class NotFoundError(ClientError):
    """404: there is no such job, or no such path."""


class StateConflictError(ClientError):
    """409: the job's state does not allow the action (protocol 2.3)."""


class ThrottlingError(ClientError):
    """429 or a Throttling code: the service refused the request before doing anything (protocol 2.11)."""


class ServerError(ClientError):
    """5xx: the service failed."""


# Codes of protocol 2.11 up to their first dot, for those that say more than a status does.
_AUTHENTICATION = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSignatureMethod",
        "MissingAuthorization",
        "InvalidAuthorization",
    }
)
_OTHERS = frozenset(
    {
        "InvalidVersion",
        "InvalidResource",
        "InvalidQueryString",
        "InvalidHttpBody",
        "QuotaExhausted",
        "InvalidJsonFormat",
    }
    | {"InvalidUrlPattern", "MethodNotAllowed", "BadDAG", "InvalidParameter", "IdempotentTokenMismatch"}
    | {
        "ResourceNotFound",
        "StateConflict",
        "InternalError",
        "ServiceUnavailable",
        "UnsupportedHTTPMethod",
        "InvalidApi",
    }
    | {"InvalidTimeStamp", "IllegalTimestamp", "SignatureNonceUsed", "InvalidProtocol"}
)
_BY_STATUS: dict[int, type[ClientError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: StateConflictError,
    429: ThrottlingError,
}


def client_error(
    status: int, code: str, message: str, request_id: str, retry_after: float | None = None
) -> ClientError:
    """Return the most specific ClientError for an answer: by its code where that says it, else by its status."""
    return _kind_of(status, code)(status, code, message, request_id, retry_after)


def _kind_of(status: int, code: str) -> type[ClientError]:
    beginning = code.partition(".")[0]
    if code.startswith("Throttling"):
        return ThrottlingError
    if beginning in _AUTHENTICATION or "SecurityToken" in code:
        return AuthenticationError
    if beginning == "Forbidden":
        return PermissionDeniedError
    if status >= 500:
        return ServerError
    if status in (401, 403) and (beginning in _OTHERS or code.startswith("Missing")):
        return ClientError
    return _BY_STATUS.get(status, ClientError)


def _count(attempts: int) -> str:
    return f"{attempts} attempt{'s' if attempts != 1 else ''}"


class UnknownPropertyWarning(UserWarning):
    """A property that the class does not have was dropped."""


class ServiceWarning(UserWarning):
    """The service accepted a request, and says that it may not be what was meant."""


class ClockSkewWarning(UserWarning):
    """This machine's clock is off; the service's time is used for signing."""


class PluginWarning(UserWarning):
    """A plugin was left out."""


class ConfigWarning(UserWarning):
    """An environment variable is no setting, or a file with secrets can be read by others."""


# Their public place: tracebacks, pickles and filters for warnings name that one.
for _kind in [item for item in vars().values() if isinstance(item, type) and item.__module__ == __name__]:
    _kind.__module__ = "batchcompute.errors"
