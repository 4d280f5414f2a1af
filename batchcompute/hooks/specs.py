"""Every hook, under three banners: registration, decisions, observers. Each takes one frozen context object, `ctx`.

A plugin is a module, class or object whose functions are marked with `batchcompute.hooks.hookimpl`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

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
    before every attempt, but when its credentials have `expires` only as they near it. What is slow and has none keeps its own.
    """

    @property
    def name(self) -> str: ...

    def get(self) -> Credentials: ...


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


# --- registration: once per Client; all answers are used ------------------------------------------------------------


@hookspec
def register_regions(ctx: RegistrationContext) -> Iterable[Region]:  # type: ignore[empty-body]  # pluggy only reads it
    """Regions that this plugin adds."""


@hookspec
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:  # type: ignore[empty-body]  # pluggy only reads it
    """Credential providers that this plugin adds; a Region or the configuration names the one to use."""


@hookspec
def register_transports(ctx: RegistrationContext) -> Iterable[TransportFactory]:  # type: ignore[empty-body]  # pluggy only reads it
    """Transports that this plugin adds; a Region or the configuration names the one to use."""


@hookspec
def register_settings(ctx: RegistrationContext) -> Iterable[Section]:  # type: ignore[empty-body]  # pluggy only reads it
    """Sections that this plugin adds to the configuration; `ctx.config.sections` is still empty here."""


@hookspec
def register_commands(ctx: RegistrationContext) -> Iterable[click.Command]:  # type: ignore[empty-body]  # pluggy only reads it
    """Commands for the `batchcompute` command line; once per process."""


@hookspec
def diagnose(ctx: DiagnosisContext) -> Iterable[Finding]:  # type: ignore[empty-body]  # pluggy only reads it
    """What `batchcompute doctor` should tell of a region; once per run, after a first call was tried."""


# --- decisions: the first answer that is not None is used; None declines --------------------------------------------


@hookspec(firstresult=True)
def clock(ctx: RegistrationContext) -> Clock | None:
    """What deadlines are measured with, and how one waits between attempts and polls; once per Client."""


@hookspec(firstresult=True)
def resolve_endpoint(ctx: CallContext) -> Endpoint | None:
    """Where the request goes; before every attempt."""


@hookspec(firstresult=True)
def resolve_credentials(ctx: CallContext) -> Credentials | None:
    """Who is asking; before every attempt."""


@hookspec(firstresult=True)
def retry_policy(ctx: CallContext) -> RetryPolicy | None:
    """How the call is repeated; after its first attempt has failed."""


@hookspec
def request_headers(ctx: AttemptContext) -> Mapping[str, str] | None:
    """Headers to add before signing. NOT firstresult: all are merged, two values for one header are a PluginError."""


@hookspec(firstresult=True)
def sign_request(ctx: AttemptContext) -> Mapping[str, str] | None:
    """The headers that prove who is asking. The body and the target are not to be changed."""


@hookspec(firstresult=True)
def validate_description(ctx: ValidationContext) -> Iterable[Problem] | None:
    """What is wrong with a description, before it is sent; empty for nothing."""


@hookspec(firstresult=True)
def decode_response(ctx: ResponseContext) -> object | None:
    """The object that the call returns."""


@hookspec(firstresult=True)
def humanize_timestamp(ctx: TimestampContext) -> str | None:
    """A time as text, for a Client that was asked for human-readable times."""


@hookspec(firstresult=True)
def fetch_log(ctx: LogContext) -> BinaryIO | None:
    """An instance's stdout or stderr, open for reading."""


@hookspec(firstresult=True)
def object_store(ctx: CallContext) -> ObjectStore | None:
    """The store that packages, logs and data of the region are in."""


# --- observers: answers are ignored; an exception is logged and never breaks the call -------------------------------


@hookspec
def before_attempt(ctx: AttemptContext) -> None:
    """A signed request is about to be sent."""


@hookspec
def after_attempt(ctx: AttemptContext) -> None:
    """An attempt has ended, with an answer or an error."""


@hookspec
def after_call(ctx: CallResult) -> None:
    """A call has ended, with a decoded answer or an error."""
