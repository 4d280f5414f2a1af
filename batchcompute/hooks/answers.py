"""What hooks answer and raise, checked in one place. Every error names the plugin, its origin and the hook.

A message says what came by its type or by the name of a header, never by its value: that may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..config import Section
from ..credentials import Credentials, find_unusable
from ..errors import PluginError, Problem
from ..findings import Finding
from ..messages import RAISED
from ..regions import Region
from ..wire import Endpoint, Response

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """A plugin by its name, and `place`: its distribution, or the class of an object that was given to the Client."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.place})"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a hook may answer. `check` returns what is wrong with an answer, or with each item `of_items`; "" if it fits."""

    expected: str
    check: Callable[[Any], str]
    of_items: bool = False


def check_headers(headers: Any) -> str:
    """Return what is wrong with headers, by their names; "" if they can be sent."""
    if not isinstance(headers, Mapping):
        return _described(headers)
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return f"a header with the name {name!r}"
        if not isinstance(value, str):
            return f"the header {name!r} with {_described(value)} as its value"
        if not _VALUE.fullmatch(value):
            return f"the header {name!r} with a value that has a line break, or is not latin-1 text"
    return ""


def check_transport(name: str, transport: Any) -> Any:
    """Return what a TransportFactory has opened. Raises PluginError if it is no Transport."""
    wrong = _has("send", "close")(transport)
    if wrong:
        raise PluginError(f"transport {name!r} opened {wrong}, expected a Transport: `send(request)` and `close()`")
    return transport


def guard(hook: str, origin: Origin, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a plugin with its answers checked. What it raises gets a note that names the plugin."""
    rule = RULES.get(hook)
    if rule is None:  # an observer: answers are ignored, errors logged
        return function

    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = function(*args, **kwargs)
            if rule.of_items and isinstance(answer, Iterable) and not isinstance(answer, (str, bytes, Mapping)):
                answer = tuple(answer)  # a generator of a plugin fails here
        except Exception as error:
            blame(error, hook, origin)
            raise
        wrong = _find_wrong(rule, answer)
        if wrong:
            answer = None  # tools that show the variables of an error's frames shall not show it
            raise PluginError(f"{origin}: {hook} answered {wrong}, expected {rule.expected}")
        return _with_checked_result(origin, answer) if hook == "retry_policy" and answer is not None else answer

    return guarded


def guard_wrapper(hook: str, origin: Origin, function: Callable[..., Any]) -> Callable[..., Any]:
    """`guard` for a wrapper of pluggy, which answers in place of the plugins that it wraps."""
    rule = RULES.get(hook)
    if rule is None:
        return function

    def guarded(*args: Any, **kwargs: Any) -> Any:
        answer = yield from function(*args, **kwargs)
        for one in (
            answer if isinstance(answer, list) else [answer]
        ):  # a list: all answers of a hook that is not firstresult
            wrong = _find_wrong(rule, one)
            if wrong:
                answer = one = None
                raise PluginError(f"{origin}: {hook} answered {wrong}, expected {rule.expected}")
        return answer

    return guarded


def blame(error: BaseException, hook: str, origin: Origin) -> None:
    """Add a note that names the plugin; the first one stays, if the error passes another plugin."""
    if not any(note.startswith(RAISED) for note in getattr(error, "__notes__", ())):
        error.add_note(f"{RAISED}{origin.name!r} ({origin.place}) in the hook {hook}")


def _find_wrong(rule: Rule, answer: Any) -> str:
    if answer is None:
        return ""
    if not rule.of_items:
        return rule.check(answer)
    if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes, Mapping)):
        return _described(answer)
    for number, item in enumerate(answer):
        wrong = rule.check(item)
        if wrong:
            return f"items, of which number {number} is {wrong}"
    return ""


def _with_checked_result(origin: Origin, policy: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a retry policy whose result is checked: one that swallows the last error returns nothing.

    The function returns a Response, or for an operation on an object what a plugin for objects has.
    """

    def checked(fn: Any) -> Any:
        last: Any = None

        def noting() -> Any:
            nonlocal last
            last = fn()
            return last

        result = policy(noting)
        if result is None or not (isinstance(result, Response) or result is last):
            raise PluginError(
                f"{origin}: the policy of retry_policy returned {_described(result)}, expected the Response that its "
                "function returns; it must raise the last error, as tenacity does with reraise=True"
            )
        return result

    return checked


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}, not an object of it"
    kind = "None" if value is None else type(value).__name__
    return kind if value is None else f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _is(kind: type) -> Callable[[Any], str]:
    return lambda value: "" if isinstance(value, kind) else _described(value)


def _has(*methods: str, named: bool = False) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, type):
            return _described(value)
        if named and not isinstance(getattr(value, "name", None), str):
            return f"{_described(value)} without a name"
        missing = [method for method in methods if not callable(getattr(value, method, None))]
        return f"{_described(value)} without {missing[0]}()" if missing else ""

    return check


def _callable(value: Any) -> str:
    return "" if callable(value) and not isinstance(value, type) else _described(value)


def _credentials(value: Any) -> str:
    if not isinstance(value, Credentials):
        return _described(value)
    wrong = find_unusable(value)
    return f"Credentials whose {wrong}" if wrong else ""


def _command(value: Any) -> str:
    import click  # only the command line asks

    return "" if isinstance(value, click.Command) and value.name else _described(value)


RULES: Mapping[str, Rule] = {
    "register_settings": Rule("an iterable of Section", _is(Section), of_items=True),
    "register_regions": Rule("an iterable of Region", _is(Region), of_items=True),
    "register_credential_providers": Rule(
        "an iterable of CredentialProvider: `name` and `get()`", _has("get", named=True), of_items=True
    ),
    "register_transports": Rule(
        "an iterable of TransportFactory: `name` and `open(settings)`", _has("open", named=True), of_items=True
    ),
    "register_commands": Rule("an iterable of click.Command with a name", _command, of_items=True),
    "diagnose": Rule("an iterable of Finding", _is(Finding), of_items=True),
    "clock": Rule("a Clock or None: `monotonic()` and `sleep(seconds)`", _has("monotonic", "sleep")),
    "validate_description": Rule("an iterable of Problem, or None", _is(Problem), of_items=True),
    "resolve_endpoint": Rule("an Endpoint or None", _is(Endpoint)),
    "resolve_credentials": Rule("Credentials or None", _credentials),
    "request_headers": Rule("a mapping of header names to latin-1 text, or None", check_headers),
    "sign_request": Rule("a mapping of header names to latin-1 text, or None", check_headers),
    "retry_policy": Rule("a RetryPolicy or None: a call with a function", _callable),
    "decode_response": Rule("an object or None", lambda value: ""),
    "humanize_timestamp": Rule("a str or None", _is(str)),
    "fetch_log": Rule("a file of bytes, open for reading, or None", _has("read")),
    "object_store": Rule(
        "an ObjectStore or None: `put`, `open`, `exists`, `list`, `delete`",
        _has("put"),
    ),
}
"""By hook. Observers have none: their answers are ignored."""
