"""A base class for plugins, by which type checkers find a misspelt hook and a wrong signature."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from ..config import Section
from ..credentials import Credentials
from ..errors import Problem
from ..findings import Finding
from ..regions import Region
from ..wire import Endpoint
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
from .specs import HOOKS, CredentialProvider, ObjectStore, RetryPolicy, TransportFactory, hookimpl

_MARK = "batchcompute_impl"

if TYPE_CHECKING:
    import click
    from typing_extensions import override as override
elif sys.version_info >= (3, 12):
    from typing import override as override
else:

    def override(method: Any) -> Any:
        """Mark a method that a base class has: `typing.override` of Python 3.12. Type checkers refuse another name."""
        return method


class Plugin:
    """A plugin whose hooks are the methods that a subclass overrides, without a mark; `hookimpl` may still give an order.

    `specs` says when each hook runs and what it answers. What is not overridden is not registered.
    `name` is what configuration calls a plugin object. `enabled_by_default` False: where it is installed, it is used only if
    `plugins.enable` names it.
    """

    name: str = ""
    enabled_by_default: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for hook in HOOKS:
            method = inspect.getattr_static(cls, hook)
            if method is not vars(Plugin)[hook] and inspect.isfunction(method) and not hasattr(method, _MARK):
                hookimpl(method)

    def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
        """Add regions."""
        return ()

    def register_credential_providers(self, ctx: RegistrationContext) -> Iterable[CredentialProvider]:
        """Add credential providers; a Region or the configuration names the one to use."""
        return ()

    def register_transports(self, ctx: RegistrationContext) -> Iterable[TransportFactory]:
        """Add transports; a Region or the configuration names the one to use."""
        return ()

    def register_settings(self, ctx: RegistrationContext) -> Iterable[Section]:
        """Add sections to the configuration."""
        return ()

    def register_commands(self, ctx: RegistrationContext) -> Iterable[click.Command]:
        """Add commands to the command line `batchcompute`."""
        return ()

    def diagnose(self, ctx: DiagnosisContext) -> Iterable[Finding]:
        """Report what is well and what is not in a region."""
        return ()

    def clock(self, ctx: RegistrationContext) -> Clock | None:
        """Choose what measures deadlines and sleeps between attempts and polls."""
        return None

    def resolve_endpoint(self, ctx: CallContext) -> Endpoint | None:
        """Choose where the request goes, and by which transport."""
        return None

    def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
        """Choose who is asking."""
        return None

    def retry_policy(self, ctx: CallContext) -> RetryPolicy | None:
        """Choose how the call is repeated."""
        return None

    def request_headers(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        """Add headers that the signature may cover. Not firstresult: all answers are merged."""
        return None

    def sign_request(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        """Add the headers that prove who is asking. The body and the target stay as they are."""
        return None

    def validate_description(self, ctx: ValidationContext) -> Iterable[Problem] | None:
        """Check a description before it is sent."""
        return None

    def decode_response(self, ctx: ResponseContext) -> object | None:
        """Build the object that the call returns."""
        return None

    def humanize_timestamp(self, ctx: TimestampContext) -> str | None:
        """Show a time as text, for a Client that was asked for human-readable times."""
        return None

    def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
        """Open an instance's stdout or stderr for reading."""
        return None

    def object_store(self, ctx: CallContext) -> ObjectStore | None:
        """Offer the store that holds packages, logs and data of the region."""
        return None

    def before_attempt(self, ctx: AttemptContext) -> None:
        """Observe a signed request that is about to be sent."""

    def after_attempt(self, ctx: AttemptContext) -> None:
        """Observe an attempt that has ended, with an answer or an error."""

    def after_call(self, ctx: CallResult) -> None:
        """Observe a call that has ended, with a decoded answer or an error."""
