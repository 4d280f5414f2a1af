"""Every hook, under three banners: registration, decisions, observers. Each takes one frozen context object, `ctx`.

A plugin is a module, class or object whose functions are marked with `batchcompute.hooks.hookimpl`.

Each docstring is a contract: When the hook runs, what is Set in its context, what an answer of None means, and what an
Exception does. An error inside an attempt is repeated only if `operations.may_repeat` allows it. docs/hooks.md shows the same
words, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar, runtime_checkable

import pluggy

from ..config import Section, TransportConfig
from ..credentials import Credentials
from ..errors import Problem
from ..findings import Finding
from ..regions import Region
from ..wire import Endpoint, Request, Response
from .contexts import (
    AttemptContext,
    CallContext,
    CallResult,
    Clock,
    DiagnosisContext,
    LogContext,
    RegistrationContext,
    ResponseContext,
    TimestampContext,
    ValidationContext,
)

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker("batchcompute")
hookimpl = pluggy.HookimplMarker("batchcompute")

T = TypeVar("T")


class CredentialProvider(Protocol):
    """Where credentials come from, by name.

    `get` raises CredentialsError when it has none, saying why, without secrets. One thread at a time calls it for a Client:
    before every attempt, but when its credentials have `expires` only as they near it, and when the service has refused
    them. What is slow and has none keeps its own, see RenewableProvider.
    """

    @property
    def name(self) -> str: ...

    def get(self) -> Credentials: ...


class RenewableProvider(CredentialProvider, Protocol):
    """A CredentialProvider that keeps credentials itself, and drops those that a service has refused.

    A provider need not have `refused`. It is called before `get` is asked again; `get` is asked again in any case.
    """

    def refused(self, credentials: Credentials) -> None:
        """Drop these credentials, if they are still the ones that are kept. Raises nothing."""


class Transport(Protocol):
    """Sends a request and brings the answer, whatever its status. Thread-safe.

    `send` raises ConnectError when the request was never sent, ResponseLostError or RequestTimeoutError when it may have been.
    It never repeats a request and never follows a redirect.
    """

    def send(self, request: Request) -> Response: ...

    def close(self) -> None: ...


class TransportFactory(Protocol):
    """Makes a Transport for a Client, by name."""

    @property
    def name(self) -> str: ...

    def open(self, settings: TransportConfig) -> Transport: ...


class RetryPolicy(Protocol):
    """Calls `fn` until it succeeds or the policy gives up, then raises its last error: a `tenacity.Retrying` is one.

    It is asked for only after a first failure; its first call of `fn` raises that failure again, as attempt 1.
    """

    def __call__(self, fn: Callable[[], T]) -> T: ...


class ObjectStore(Protocol):
    """Objects by `oss://bucket/key`. Raises FileNotFoundError for one that is not there, ValueError for a bad URI.

    `list` gives the URI and the size in bytes of every object whose URI begins with `prefix`, in order.
    """

    def put(self, uri: str, data: bytes | BinaryIO) -> None: ...

    def open(self, uri: str) -> BinaryIO: ...

    def exists(self, uri: str) -> bool: ...

    def list(self, prefix: str) -> Iterable[tuple[str, int]]: ...

    def delete(self, uri: str) -> None: ...


@runtime_checkable
class BucketLister(ObjectStore, Protocol):
    """An ObjectStore that lists the buckets of its account: their names, in order. An ObjectStore need not have `buckets`.

    `isinstance(client.objects, BucketLister)` says whether it has.
    """

    def buckets(self) -> Iterable[str]: ...


@runtime_checkable
class ObjectHasher(ObjectStore, Protocol):
    """An ObjectStore that knows the CRC64 of objects, as OSS has it (ECMA-182). An ObjectStore need not have `crc64`.

    None for an object that has none, as one that changes while it is read. `isinstance(client.objects, ObjectHasher)` says
    whether the store has it.
    """

    def crc64(self, uri: str) -> int | None: ...


# --- registration: once per Client; all answers are used ------------------------------------------------------------


@hookspec
def register_regions(ctx: RegistrationContext) -> Iterable[Region]:  # type: ignore[empty-body]  # pluggy only reads it
    """Add regions.

    When: once for each Client, when it is created, and once more when it first looks for credentials.
    Set: `ctx.config`, complete.
    None: adds nothing.
    Exception: reaches the caller of `Client(...)` or of the first call.
    """


@hookspec
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:  # type: ignore[empty-body]  # pluggy only reads it
    """Add credential providers; a Region or the configuration names the one to use.

    When: once for each Client, when a call first needs credentials that nobody gave.
    Set: `ctx.config`, complete.
    None: adds nothing.
    Exception: reaches the caller of that call.
    """


@hookspec
def register_transports(ctx: RegistrationContext) -> Iterable[TransportFactory]:  # type: ignore[empty-body]  # pluggy only reads it
    """Add transports; a Region or the configuration names the one to use.

    When: each time a Client opens a transport, and when it is created with a configuration that names one.
    Set: `ctx.config`, complete.
    None: adds nothing.
    Exception: reaches the caller of `Client(...)` or of the call.
    """


@hookspec
def register_settings(ctx: RegistrationContext) -> Iterable[Section]:  # type: ignore[empty-body]  # pluggy only reads it
    """Add sections to the configuration.

    When: once for each Client, before every other hook.
    Set: `ctx.config`, still without the sections of plugins.
    None: adds nothing.
    Exception: reaches the caller of `Client(...)`.
    """


@hookspec
def register_commands(ctx: RegistrationContext) -> Iterable[click.Command]:  # type: ignore[empty-body]  # pluggy only reads it
    """Add commands to the command line `batchcompute`.

    When: once per process, when a command is not a built-in one or the help is shown.
    Set: `ctx.config`, read from files and environment.
    None: adds nothing.
    Exception: ends the command line; a BatchComputeError only leaves the commands out of the help.
    """


@hookspec
def diagnose(ctx: DiagnosisContext) -> Iterable[Finding]:  # type: ignore[empty-body]  # pluggy only reads it
    """Report what is well and what is not in a region.

    When: once for each run of `batchcompute doctor`, after it has tried a first call.
    Set: `ctx.region` and `ctx.config`, complete.
    None: reports nothing.
    Exception: becomes a problem in the report.
    """


# --- decisions: the first answer that is not None is used; None declines --------------------------------------------


@hookspec(firstresult=True)
def clock(ctx: RegistrationContext) -> Clock | None:
    """Choose what measures deadlines and sleeps between attempts and polls.

    When: once for each Client, when it is created.
    Set: `ctx.config`, complete.
    None: declines; the built-in one is `time`.
    Exception: reaches the caller of `Client(...)`.
    """


@hookspec(firstresult=True)
def resolve_endpoint(ctx: CallContext) -> Endpoint | None:
    """Choose where the request goes, and by which transport.

    When: before every attempt.
    Set: `ctx.request`, still without endpoint and signature.
    None: declines; the built-in one is `ctx.region.endpoint`.
    Exception: ends the attempt and reaches the caller.
    """


@hookspec(firstresult=True)
def resolve_credentials(ctx: CallContext) -> Credentials | None:
    """Choose who is asking.

    When: before every attempt, after `resolve_endpoint`.
    Set: `ctx.credentials`, those given to the Client, or None.
    None: declines; then the Client's own are used, and after them the providers.
    Exception: ends the attempt and reaches the caller.
    """


@hookspec(firstresult=True)
def retry_policy(ctx: CallContext) -> RetryPolicy | None:
    """Choose how the call is repeated.

    When: once for each call whose first attempt has failed.
    Set: `ctx.deadline`, `ctx.clock` and `ctx.repeatable`.
    None: declines; the built-in one follows `config.retry`.
    Exception: reaches the caller in the place of the failure.
    """


@hookspec
def request_headers(ctx: AttemptContext) -> Mapping[str, str] | None:
    """Add headers that the signature may cover. Not firstresult: all answers are merged.

    When: before every attempt, ahead of `sign_request`.
    Set: `ctx.endpoint`, `ctx.credentials` and `ctx.request`, still without a signature.
    None: adds nothing.
    Exception: ends the attempt and reaches the caller; two values for one header are a PluginError.
    """


@hookspec(firstresult=True)
def sign_request(ctx: AttemptContext) -> Mapping[str, str] | None:
    """Add the headers that prove who is asking. The body and the target stay as they are.

    When: before every attempt, after `request_headers`.
    Set: `ctx.request` with all other headers, `ctx.credentials` and `ctx.clock_offset`.
    None: declines; the built-in one signs with HMAC-SHA1.
    Exception: ends the attempt and reaches the caller.
    """


@hookspec(firstresult=True)
def validate_description(ctx: ValidationContext) -> Iterable[Problem] | None:
    """Check a description before it is sent.

    When: once for each `create_job` and `check_job`, before anything is sent.
    Set: `ctx.description` and `ctx.region`.
    None: declines; the built-in one checks with the region's ranges.
    Exception: reaches the caller; nothing is sent.
    """


@hookspec(firstresult=True)
def decode_response(ctx: ResponseContext) -> object | None:
    """Build the object that the call returns.

    When: once for each call that was answered with 2xx.
    Set: `ctx.response`, and `ctx.humanize` if the Client shows times as text.
    None: declines; the built-in one builds the classes of the reference.
    Exception: reaches the caller; after a change, a DecodeError as an AmbiguousResultError.
    """


@hookspec(firstresult=True)
def humanize_timestamp(ctx: TimestampContext) -> str | None:
    """Show a time as text, for a Client that was asked for human-readable times.

    When: each time a time of an answer is read.
    Set: `ctx.seconds`, never 0.
    None: declines; the built-in one shows local time.
    Exception: reaches the code that reads the time.
    """


@hookspec(firstresult=True)
def fetch_log(ctx: LogContext) -> BinaryIO | None:
    """Open an instance's stdout or stderr for reading.

    When: once for each `read_log`, also for the failing instance of `wait(check=True)`.
    Set: every field of `ctx`; `ctx.redirect_path` is "" for a task without one, `ctx.attempt` None for the newest attempt.
    None: declines; if all decline, `read_log` returns None.
    Exception: reaches the caller of `read_log`; `wait` raises JobFailedError without a log.
    """


@hookspec(firstresult=True)
def object_store(ctx: CallContext) -> ObjectStore | None:
    """Offer the store that holds packages, logs and data of the region.

    When: each time `Client.objects` is read.
    Set: `ctx.region`, `ctx.config`, `ctx.find_credentials`, `ctx.find_oss_endpoint` and `ctx.find_retry_policy`; `ctx.request` is
    not sent.
    None: declines; if all decline, `Client.objects` raises ConfigError.
    Exception: reaches the caller.
    """


# --- observers: answers are ignored; an exception is logged and never breaks the call -------------------------------


@hookspec
def before_attempt(ctx: AttemptContext) -> None:
    """Observe a signed request that is about to be sent.

    When: before every attempt that has come as far as a signed request.
    Set: `ctx.request`, as it will be sent, and `ctx.endpoint`.
    None: ignored, as every answer.
    Exception: logged by the name of its type; the call continues.
    """


@hookspec
def after_attempt(ctx: AttemptContext) -> None:
    """Observe an attempt that has ended, with an answer or an error.

    When: after every attempt that `before_attempt` saw.
    Set: `ctx.response`, `ctx.error` or both, and `ctx.elapsed`.
    None: ignored, as every answer.
    Exception: logged by the name of its type; the call continues.
    """


@hookspec
def after_call(ctx: CallResult) -> None:
    """Observe a call that has ended, with a decoded answer or an error.

    When: once for each call, when it has ended.
    Set: `ctx.attempts`, `ctx.elapsed`, and `ctx.response`, `ctx.error` or both.
    None: ignored, as every answer.
    Exception: logged by the name of its type; the call continues.
    """


HOOKS: tuple[str, ...] = tuple(name for name, found in list(globals().items()) if hasattr(found, "batchcompute_spec"))
"""The names of all hooks."""
