"""A typed call for each hook: what plugins answer is checked, and what observers raise is kept from the call."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..config import Config, Section
from ..credentials import Credentials
from ..errors import ConfigError, PluginError, Problem
from ..findings import Finding
from ..messages import did_you_mean
from ..regions import Region
from ..wire import Endpoint
from .contexts import (
    AttemptContext,
    CallContext,
    CallResult,
    ClientState,
    Clock,
    DiagnosisContext,
    LogContext,
    RegistrationContext,
    ResponseContext,
    TimestampContext,
    ValidationContext,
)
from .loading import Plugins
from .specs import CredentialProvider, ObjectStore, RetryPolicy, TransportFactory

if TYPE_CHECKING:
    import click

_log = logging.getLogger("batchcompute.plugins")


class Hooks:
    """Plugins of one Client, and a typed call for each hook.

    `skipped` tells which plugins were left out and why. `decided` is called with (hook, plugin, answer) whenever
    a plugin has answered one of the hooks that every request asks.
    """

    def __init__(
        self,
        config: Config,
        builtins: Mapping[str, object],
        plugins: Iterable[object] = (),
        decided: Callable[[str, str, object], None] | None = None,
    ) -> None:
        self.config = config
        self.state = ClientState()
        self._decided = decided
        self._plugins = Plugins(config.plugins, builtins, plugins)
        self.skipped = self._plugins.skipped
        self._manager = self._plugins.manager
        hook = self._manager.hook
        self._resolve_endpoint = self._first("resolve_endpoint")
        self._resolve_credentials = self._first("resolve_credentials")
        self._request_headers = hook.request_headers if hook.request_headers.get_hookimpls() else None
        self._sign_request = self._first("sign_request")
        self._decode_response = self._first("decode_response")
        self._humanize_timestamp = self._first("humanize_timestamp")
        self._observers = {
            name: self._plugins.calls_of(name) for name in ("before_attempt", "after_attempt", "after_call")
        }
        self._observing = {name: self._observing_of(name) for name in self._observers}

    def _observing_of(self, hook: str) -> tuple[Callable[[str, Config], bool], ...]:
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return tuple(getattr(implementation.plugin, "observing", _always) for implementation in implementations)

    def _first(self, hook: str) -> Callable[[Any], Any]:
        """Return a function that calls a firstresult hook that every request needs.

        No plugin comes or goes after __init__, so the calls need not be put together anew each time: that is what
        pluggy spends most of its time on. It still does so where a plugin wraps the hook.
        """
        caller = getattr(self._manager.hook, hook)
        if any(implementation.wrapper or implementation.hookwrapper for implementation in caller.get_hookimpls()):
            return lambda ctx: caller(ctx=ctx)
        if self._decided is not None:
            return partial(_call_and_report, hook, self._plugins.calls_of(hook), self._decided)
        calls = tuple(call for _, call in self._plugins.calls_of(hook))
        if len(calls) == 1:
            return calls[0]

        def first(ctx: Any) -> Any:
            for call in calls:
                answer = call(ctx)
                if answer is not None:
                    return answer
            return None

        return first

    def plugins(self) -> list[tuple[str, list[str]]]:
        """(name, hooks) of every plugin in use, in the order in which they are asked."""
        return self._plugins.in_use()

    # --- registration

    def settings(self) -> list[Section]:
        """Every section that plugins declare. Raises PluginError when two declare the same."""
        found: dict[str, Section] = {}
        for answer in self._manager.hook.register_settings(ctx=RegistrationContext(self.config, self.state)):
            for section in answer or ():
                if not isinstance(section, Section):
                    raise PluginError(
                        f"register_settings: a plugin answered a {type(section).__name__}, which is not a Section"
                    )
                if found.setdefault(section.name, section) is not section:
                    raise PluginError(f"register_settings: two plugins declare the section {section.name!r}")
        return list(found.values())

    def configure(self, config: Config) -> None:
        """Use a Config that has the plugins' sections too. Raises ConfigError when it chooses what nobody offers."""
        self.config = config
        chosen = config.transport.name
        if chosen is not None:
            names = self.transports()
            if chosen not in names:
                raise ConfigError(
                    f"transport.name: there is no transport {chosen!r}{did_you_mean(chosen, names)}; "
                    f"transports: {', '.join(names)}"
                )

    def regions(self) -> list[Region]:
        """Every region; of two with one name the one that is asked first."""
        return self._candidates("register_regions")

    def credential_providers(self) -> dict[str, CredentialProvider]:
        """Every credential provider, by name."""
        return {item.name: item for item in self._candidates("register_credential_providers")}

    def transports(self) -> dict[str, TransportFactory]:
        """Every transport, by name."""
        return {item.name: item for item in self._candidates("register_transports")}

    def commands(self) -> dict[str, click.Command]:
        """Every command for the command line, by name."""
        return {item.name: item for item in self._candidates("register_commands")}

    def diagnose(self, ctx: DiagnosisContext) -> list[Finding]:
        """Return what plugins tell of a region."""
        found = [item for answer in self._manager.hook.diagnose(ctx=ctx) for item in answer or ()]
        if not all(isinstance(item, Finding) for item in found):
            raise PluginError("diagnose: a plugin answered something that is not a Finding")
        return found

    def _candidates(self, hook: str) -> list[Any]:
        found: dict[str, Any] = {}
        for answer in getattr(self._manager.hook, hook)(ctx=RegistrationContext(self.config, self.state)):
            if answer is not None and not isinstance(answer, Iterable):
                raise self._unusable(hook, answer, "an iterable")
            for item in answer or ():
                if not isinstance(getattr(item, "name", None), str):
                    raise PluginError(f"{hook}: a plugin answered a {type(item).__name__} without a name")
                found.setdefault(item.name, item)
        return list(found.values())

    # --- decisions

    def clock(self) -> Clock:
        """Return what deadlines are measured with."""
        answer = self._manager.hook.clock(ctx=RegistrationContext(self.config, self.state))
        if not (hasattr(answer, "monotonic") and hasattr(answer, "sleep")):
            raise self._unusable("clock", answer, "a Clock")
        return cast(Clock, answer)

    def resolve_endpoint(self, ctx: CallContext) -> Endpoint:
        """Return the endpoint of a request."""
        answer = self._resolve_endpoint(ctx)
        if isinstance(answer, Endpoint):
            return answer
        raise self._unusable("resolve_endpoint", answer, "an Endpoint")

    def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
        """Return the credentials of a request; None if no plugin has any."""
        answer = self._resolve_credentials(ctx)
        if answer is None or isinstance(answer, Credentials):
            return answer
        raise self._unusable("resolve_credentials", answer, "Credentials or None")

    def retry_policy(self, ctx: CallContext) -> RetryPolicy | None:
        """Return the retry policy of a call; None for no retry."""
        answer = self._manager.hook.retry_policy(ctx=ctx)
        if answer is None or callable(answer):
            return cast("RetryPolicy | None", answer)
        raise self._unusable("retry_policy", answer, "a RetryPolicy or None")

    @property
    def adds_headers(self) -> bool:
        """True if a plugin may add headers."""
        return self._request_headers is not None

    def request_headers(self, ctx: AttemptContext) -> dict[str, str]:
        """All headers that plugins add."""
        merged: dict[str, str] = {}
        for answer in self._request_headers(ctx=ctx) if self._request_headers is not None else ():
            if not isinstance(answer, Mapping):
                raise self._unusable("request_headers", answer, "a mapping of names to values")
            for name, value in answer.items():
                if not _HEADER.fullmatch(f"{name}: {value}"):
                    raise PluginError(f"request_headers: {name!r} has a name or a value that no header can have")
                key = name.lower()
                if merged.setdefault(key, value) != value or key in _OWN_HEADERS:
                    raise PluginError(f"request_headers: two plugins, or a plugin and the SDK, set the header {name!r}")
        return merged

    def sign_request(self, ctx: AttemptContext) -> Mapping[str, str]:
        """Return the headers of a signature."""
        answer = self._sign_request(ctx)
        if isinstance(answer, Mapping):
            return answer
        raise self._unusable("sign_request", None, "the signature's headers")

    def validate_description(self, ctx: ValidationContext) -> list[Problem]:
        """Return what is wrong with a description."""
        answer = self._manager.hook.validate_description(ctx=ctx) or ()
        if isinstance(answer, Iterable):
            problems = list(answer)
            if all(isinstance(problem, Problem) for problem in problems):
                return problems
        raise self._unusable("validate_description", answer, "Problems or None")

    def decode_response(self, ctx: ResponseContext) -> Any:
        """Return the object that a call returns."""
        answer = self._decode_response(ctx)
        if answer is None:
            raise self._unusable("decode_response", None, "an object")
        return answer

    def humanize_timestamp(self, seconds: int) -> str | int:
        """A time as text; the number itself when no plugin knows better."""
        answer = self._humanize_timestamp(TimestampContext(seconds))
        return seconds if answer is None else cast(str, answer)

    def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
        """A log, None when the region has none to give."""
        answer = self._manager.hook.fetch_log(ctx=ctx)
        if answer is None or hasattr(answer, "read"):
            return cast("BinaryIO | None", answer)
        raise self._unusable("fetch_log", answer, "a binary file or None")

    def object_store(self, ctx: CallContext) -> ObjectStore | None:
        """Return the region's object store, None when no plugin has one."""
        answer = self._manager.hook.object_store(ctx=ctx)
        if answer is None or hasattr(answer, "put"):
            return cast("ObjectStore | None", answer)
        raise self._unusable("object_store", answer, "an ObjectStore or None")

    def _unusable(self, hook: str, answer: object, wanted: str) -> PluginError:
        if answer is None:
            return PluginError(f"no plugin answered {hook}; is the built-in one blocked?")
        names = [name for name, _ in self._plugins.calls_of(hook)]
        return PluginError(
            f"{hook}: a plugin answered {type(answer).__name__}, expected {wanted}; plugins asked, in order: {', '.join(names)}"
        )

    # --- observers

    def observed(self, hook: str) -> bool:
        """Return whether an observer looks: if none does, no context is built.

        A plugin may have a function `observing(hook, config) -> bool` that says when it does not look.
        """
        for observing in self._observing[hook]:  # noqa: SIM110  # any() would cost more than the context does
            if observing(hook, self.config):
                return True
        return False

    def observe(self, hook: str, ctx: AttemptContext | CallResult) -> None:
        """Tell every observer; what one of them raises is logged, never passed on."""
        for name, observer in self._observers[hook]:
            try:
                observer(ctx)
            except Exception as error:
                # The type only: a message could hold what must not be logged.
                _log.warning("plugin %s failed in %s: %s", name, hook, type(error).__name__)


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*")

# The plugins' headers must not replace these: the signature and the framing depend on them.
_OWN_HEADERS = frozenset({"accept", "authorization", "content-length", "content-type", "date", "host"}) | {
    *("x-acs-access-key-id", "x-acs-idempotent-token", "x-acs-region-id", "x-acs-security-token", "x-acs-version"),
    *("x-acs-signature-method", "x-acs-signature-nonce", "x-acs-signature-version"),
}


def _call_and_report(
    hook: str, calls: list[tuple[str, Callable[[Any], Any]]], decided: Callable[[str, str, object], None], ctx: Any
) -> Any:
    for name, call in calls:
        answer = call(ctx)
        if answer is not None:
            decided(hook, name, answer)
            return answer
    return None


def _always(hook: str, config: Config) -> bool:
    return True
