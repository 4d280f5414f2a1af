"""A typed call for each hook: what plugins answer is checked, and what observers raise is kept from the call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..config import Config, Section
from ..credentials import Credentials
from ..errors import ConfigError, PluginError, Problem
from ..findings import Finding
from ..messages import did_you_mean
from ..regions import Region
from ..wire import Endpoint
from .answers import check_headers
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
        self._request_headers = self._all("request_headers") if hook.request_headers.get_hookimpls() else None
        self._sign_request = self._first("sign_request")
        self._decode_response = self._first("decode_response")
        self._humanize_timestamp = self._first("humanize_timestamp")
        self._observers = {
            name: self._plugins.calls_of(name) for name in ("before_attempt", "after_attempt", "after_call")
        }
        self._observing = {name: self._observing_of(name) for name in self._observers}

    def _observing_of(self, hook: str) -> tuple[Callable[[str, Config], bool], ...]:
        """Return for each observer whether it looks now; one that fails to say so looks."""

        def asked(name: str, observing: Callable[[str, Config], bool], hook: str, config: Config) -> bool:
            try:
                return observing(hook, config)
            except Exception as error:
                _log.warning("plugin %s failed in observing: %s", name, type(error).__name__)
                return True

        found = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            own = getattr(implementation.plugin, "observing", None)
            found.append(_always if own is None else partial(asked, implementation.plugin_name, own))
        return tuple(found)

    def _first(self, hook: str) -> Callable[[Any], Any]:
        """Return a function that calls a firstresult hook that every request needs.

        No plugin comes or goes after __init__, so the calls need not be put together anew each time: that is what
        pluggy spends most of its time on. It still does so where a plugin wraps the hook.
        """
        caller = getattr(self._manager.hook, hook)
        if _is_wrapped(caller):
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

    def _all(self, hook: str) -> Callable[[Any], Iterator[tuple[str, Any]]]:
        """Return a function that calls every plugin and gives (plugin, answer), without those that answer None."""
        caller = getattr(self._manager.hook, hook)
        if _is_wrapped(caller):  # who answered what is known to pluggy only
            return lambda ctx: (("", answer) for answer in caller(ctx=ctx))
        calls = self._plugins.calls_of(hook)
        return lambda ctx: ((name, answer) for name, call in calls if (answer := call(ctx)) is not None)

    def plugins(self) -> list[tuple[str, list[str]]]:
        """(name, hooks) of every plugin in use, in the order in which they are asked."""
        return self._plugins.in_use()

    # --- registration

    def settings(self) -> list[tuple[str, Section]]:
        """(plugin, section) of every section that plugins declare. Raises PluginError when two declare the same."""
        found: dict[str, tuple[str, Section]] = {}
        for plugin, sections in self._all("register_settings")(RegistrationContext(self.config, self.state)):
            for section in sections:
                other, first = found.setdefault(section.name, (plugin, section))
                if first is not section:
                    raise PluginError(
                        f"{self._origin(plugin)}: register_settings declares the section {section.name!r}, "
                        f"which {self._origin(other)} declares too"
                    )
        return [(str(self._origin(plugin)), section) for plugin, section in found.values()]

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
        """Return what plugins report of a region. A plugin that fails is a problem, and the others still report."""
        found: list[Finding] = []
        for name, call in self._plugins.calls_of("diagnose"):
            try:
                found += call(ctx) or ()
            except Exception as error:
                what = f"{self._origin(name)} failed to diagnose: {type(error).__name__}: {error}"
                found.append(Finding("plugins", "problem", what, "report it to its author"))
        return found

    def _candidates(self, hook: str) -> list[Any]:
        found: dict[str, Any] = {}
        for _, answer in self._all(hook)(RegistrationContext(self.config, self.state)):
            for item in answer:
                found.setdefault(item.name, item)
        return list(found.values())

    # --- decisions

    def clock(self) -> Clock:
        """Return what deadlines are measured with."""
        answer = self._manager.hook.clock(ctx=RegistrationContext(self.config, self.state))
        return cast(Clock, self._needed("clock", answer))

    def resolve_endpoint(self, ctx: CallContext) -> Endpoint:
        """Return the endpoint of a request."""
        answer = self._resolve_endpoint(ctx)
        return cast(Endpoint, answer if answer is not None else self._needed("resolve_endpoint", None))

    def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
        """Return the credentials of a request; None if no plugin has any."""
        return cast("Credentials | None", self._resolve_credentials(ctx))

    def retry_policy(self, ctx: CallContext) -> RetryPolicy | None:
        """Return the retry policy of a call; None for no retry."""
        return cast("RetryPolicy | None", self._manager.hook.retry_policy(ctx=ctx))

    @property
    def adds_headers(self) -> bool:
        """True if a plugin may add headers."""
        return self._request_headers is not None

    def request_headers(self, ctx: AttemptContext) -> dict[str, str]:
        """All headers that plugins add."""
        merged: dict[str, str] = {}
        givers: dict[str, str] = {}
        for plugin, answer in self._request_headers(ctx) if self._request_headers is not None else ():
            for name, value in answer.items():
                key = name.lower()
                other = givers.setdefault(key, plugin)
                if key in _OWN_HEADERS or merged.setdefault(key, value) != value:
                    owner = "the SDK sets" if key in _OWN_HEADERS else f"{self._origin(other)} sets to another value"
                    raise PluginError(
                        f"{self._origin(plugin)}: request_headers answered the header {name!r}, which {owner}"
                    )
        return merged

    def sign_request(self, ctx: AttemptContext) -> Mapping[str, str]:
        """Return the headers of a signature."""
        answer: Mapping[str, str] = self._sign_request(ctx)
        if answer is None:
            return cast("Mapping[str, str]", self._needed("sign_request", None))
        text = "".join(answer.values())
        if not (text.isascii() and text.isprintable()):  # quick; the rest is for what it does not pass
            del text
            wrong = check_headers(answer)
            if wrong:
                del answer
                raise PluginError(f"the built-in signature has {wrong}; is it the name of a region?")
        return answer

    def validate_description(self, ctx: ValidationContext) -> list[Problem]:
        """Return what is wrong with a description."""
        return list(self._manager.hook.validate_description(ctx=ctx) or ())

    def decode_response(self, ctx: ResponseContext) -> Any:
        """Return the object that a call returns."""
        answer = self._decode_response(ctx)
        return answer if answer is not None else self._needed("decode_response", None)

    def humanize_timestamp(self, seconds: int) -> str | int:
        """A time as text; the number itself when no plugin knows better."""
        answer = self._humanize_timestamp(TimestampContext(seconds))
        return seconds if answer is None else cast(str, answer)

    def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
        """A log, None when the region has none to give."""
        return cast("BinaryIO | None", self._manager.hook.fetch_log(ctx=ctx))

    def object_store(self, ctx: CallContext) -> ObjectStore | None:
        """Return the region's object store, None when no plugin has one."""
        return cast("ObjectStore | None", self._manager.hook.object_store(ctx=ctx))

    def _needed(self, hook: str, answer: object) -> object:
        if answer is None:
            raise PluginError(f"no plugin answered {hook}; is the built-in one blocked?")
        return answer

    def _origin(self, plugin: str) -> object:
        return self._plugins.origins.get(plugin, "a plugin")

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


def _is_wrapped(caller: Any) -> bool:
    return any(implementation.wrapper or implementation.hookwrapper for implementation in caller.get_hookimpls())


def _always(hook: str, config: Config) -> bool:
    return True
