"""The frozen objects that hooks receive. They grow by phase: a call, an attempt, an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, TypeVar

from ..config import Config
from ..credentials import Credentials
from ..operations import Operation
from ..regions import Region
from ..surroundings import Surroundings
from ..values.details import LogPiece
from ..values.resources import JobDescription
from ..wire import IDEMPOTENCY_HEADER, Endpoint, Request, Response

T = TypeVar("T")


class Clock(Protocol):
    """Measures deadlines and waits, both in seconds. The module `time` is one."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class ReadPiece(Protocol):
    """Asks a service for a piece of a log; None if it does not know the question. Raises what a call raises."""

    def __call__(self, start: int, limit: int, file: str) -> LogPiece | None: ...


class ClientState:
    """What plugins keep for one Client: one object of each kind. Thread-safe.

    An installed plugin is one object for all Clients of a process; what belongs to one of them, such as its sessions, counts and
    tokens, is kept here.
    """

    def __init__(self) -> None:
        self._kept: dict[Callable[[], Any], Any] = {}

    def of(self, make: Callable[[], T]) -> T:
        """Return this Client's object of a kind: what `make`, a class or a function of the plugin, returned the first time.

        Two threads may call `make` at the same time; one of the objects is kept, and both get that one.
        """
        kept: T = self._kept[make] if make in self._kept else self._kept.setdefault(make, make())
        return kept


@dataclass(frozen=True, slots=True)
class RegistrationContext:
    """A Client is being made with this configuration. `state` is what plugins keep for it."""

    config: Config
    state: ClientState = field(default_factory=ClientState, compare=False)


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call of the Client.

    `request` is what will be sent, before endpoint, credentials and signature; `credentials` are the ones given to the
    Client, None when none were; `deadline` is the second of `clock` at which the call must end, None for no limit.
    `surroundings` are those that a caller of create_job named, None when none were. `state` is what plugins keep for this Client.
    In `object_store` three functions are set too: `find_credentials` returns those that the Client would sign with now, or raises
    CredentialsError; `find_oss_endpoint` returns the URL of the region's OSS, which may ask the service, or None;
    `find_retry_policy` returns the policy for an operation that may be repeated, or None for no retry.
    """

    operation: Operation[Any]
    region: Region
    config: Config
    request: Request
    credentials: Credentials | None = None
    deadline: float | None = None
    clock: Clock = time
    surroundings: Surroundings | None = None
    state: ClientState = field(default_factory=ClientState, compare=False)
    find_credentials: Callable[[], Credentials] | None = field(default=None, repr=False, compare=False)
    find_oss_endpoint: Callable[[], str | None] | None = field(default=None, repr=False, compare=False)
    find_retry_policy: Callable[[], Callable[[Callable[[], Any]], Any] | None] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def idempotency_token(self) -> str | None:
        """Token by which the service knows a repeated call, None where the region has no such thing."""
        return self.request.headers.get(IDEMPOTENCY_HEADER)

    @property
    def repeatable(self) -> bool:
        """True if the call may be repeated after its answer was lost."""
        return self.operation.repeatable or self.idempotency_token is not None


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """One attempt of a call, `number` from 1.

    `request` has the endpoint, and after signing all headers. In after_attempt exactly one of `response` and `error` is set,
    or both when the service answered with an error; `error` may also be one that is not of this package, such as a
    KeyboardInterrupt. `elapsed` is seconds. `clock_offset` is the seconds to add to this
    machine's clock to get the service's (0 until an answer has shown otherwise).
    """

    call: CallContext
    number: int
    request: Request
    endpoint: Endpoint
    credentials: Credentials | None
    response: Response | None = None
    error: BaseException | None = None
    elapsed: float = 0.0
    clock_offset: float = 0.0


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call that has ended: after `attempts` attempts, with an answer or with an `error`; `elapsed` is seconds.

    `response` is the answer to the last attempt, also one that refused it; None when none came.
    """

    call: CallContext
    attempts: int
    elapsed: float
    response: Response | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class DiagnosisContext:
    """`batchcompute doctor` looks at a region."""

    region: Region
    config: Config


@dataclass(frozen=True, slots=True)
class ValidationContext:
    """A description that is about to be sent to a region."""

    description: JobDescription
    region: Region


@dataclass(frozen=True, slots=True)
class ResponseContext:
    """An answer with a 2xx status, to be decoded. `humanize` shows a time as text; None when times stay numbers."""

    call: CallContext
    response: Response
    humanize: Callable[[int], object] | None = None


@dataclass(frozen=True, slots=True)
class TimestampContext:
    """A time to show: `seconds` since 1970, never 0."""

    seconds: int


@dataclass(frozen=True, slots=True)
class LogContext:
    """The output of a program: `stream` is stdout or stderr of one instance.

    `redirect_path` is the task's StdoutRedirectPath or StderrRedirectPath, '' when it has none (object names: protocol 2.9).
    `attempt` counts the attempts of the instance from 1; None for the newest one. `newest_attempt`: the number of the newest
    attempt that began, where the service knows it and `attempt` is set. `open_object` opens an object of the region by its
    URI, as `Client.objects` does. `read_piece` asks the service for at most `limit` bytes from `start` on, of `file`, "" for the
    newest one; None where the service does not know the question, as in regions of Alibaba Cloud.
    """

    region: Region
    config: Config
    job_id: str
    task_name: str
    instance_id: int
    stream: str
    redirect_path: str = ""
    attempt: int | None = None
    newest_attempt: int | None = None
    open_object: Callable[[str], BinaryIO] | None = field(default=None, repr=False, compare=False)
    read_piece: ReadPiece | None = field(default=None, repr=False, compare=False)
