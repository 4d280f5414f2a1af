"""What never reaches a cassette. Everything is hidden that is not known to be harmless; nobody has to think of it.

By place: only listed headers are written; values of environment variables, account ids, a submitter's interpreter and PATH,
and whatever is called an access key, token, secret, signature or password, in bodies and queries. By value, wherever it
stands: the access key, its secret and token, the host or data folder, the home folder, the values of unlisted headers and of
environment variables, account ids, and what the caller names. One value has one placeholder in all of a cassette.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from ..credentials import Credentials
from ..errors import ConfigError, TransportError
from ..wire import IDEMPOTENCY_HEADER, Response
from .cassette import Exchange

REQUEST_HEADERS = frozenset({"accept", "content-type", "x-acs-version"})
RESPONSE_HEADERS = frozenset({"content-type", "request-id", "retry-after", "x-acs-request-id"})
PLACEHOLDER = re.compile(r"<scrubbed:[^<>]*>|(?<![0-9A-Za-z])9990000000000\d{3,}(?![0-9A-Za-z])")
_FIRST_NUMBER = 9990000000000000
_HARMLESS = REQUEST_HEADERS | {
    "accept-encoding",
    "connection",
    "content-length",
    "user-agent",
    "x-acs-region-id",
    "x-acs-signature-method",
    "x-acs-signature-version",
}
# Another one each time: looked for in the answer to the same request only.
_FRESH = frozenset({"authorization", "content-md5", "contentmd5", "date", IDEMPOTENCY_HEADER, "x-acs-signature-nonce"})
_ACCOUNTS = frozenset({"accountid", "ownerid"})
_SECRETS = frozenset(
    {"accesskey", "accesskeyid", "accesskeysecret", "authorization", "password", "secret", "securitytoken", "token"}
    | {"signature", "signaturenonce"}
)
_PATHS = frozenset({"interpreter", "path"})
"""Paths of the submitter's machine, in the surroundings of a job."""
_SHORTEST = 8  # shorter values are hidden where they stand, but not looked for elsewhere
_WORDS = frozenset({"Batchcompute", "Finished", "Terminated", "Priority"})  # long words of the protocol's own


def is_hidden(name: str) -> bool:
    """Return whether the values under this name of a body or query are hidden by place."""
    folded = _folded(name)
    return folded in _ACCOUNTS or folded in _SECRETS


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


class Scrubber:
    """Learns what must be hidden, and hides it."""

    def __init__(self, scrub: Iterable[str] = ()) -> None:
        """`scrub`: further values to hide. Raises ConfigError for an empty one."""
        self._known: dict[str, str] = {}
        self._numbers: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        for number, value in enumerate(scrub, 1):
            if not isinstance(value, str) or not value:
                raise ConfigError("scrub: each value to hide must be a str that is not empty")
            self._learn(value, f"value-{number}", 1)

    # --- learning

    def _learn(self, value: str, name: str, shortest: int = _SHORTEST) -> None:
        """Look for a value everywhere from now on, unless it is too common."""
        if len(value) >= shortest and value not in _WORDS and value not in self._known:
            self._known[value] = self._hidden_account(value) if value.isdigit() else _placeholder(name)
            self._pattern = None

    def _hidden_account(self, value: str) -> str:
        """A number for a number, so that it can stand where one must stand; another one for each."""
        return self._numbers.setdefault(value, str(_FIRST_NUMBER + len(self._numbers) + 1))

    def learn_credentials(self, credentials: Credentials) -> None:
        """An access key, its secret and its token."""
        self._learn(credentials.access_key_secret, "access-key-secret", 1)
        self._learn(credentials.access_key_id, "access-key-id", 1)
        if credentials.security_token:
            self._learn(credentials.security_token, "security-token", 1)

    def learn_host(self, host: str) -> None:
        """A host, or the folder that stands in its place."""
        self._learn(host, "host", 4)
        self._learn(os.path.expanduser("~"), "home", 6)

    def learn_headers(self, headers: Mapping[str, str]) -> None:
        """The values of headers that are not known to be harmless."""
        for name, value in headers.items():
            if name.lower() not in _HARMLESS | _FRESH:
                self._learn(value, name.lower())

    def _learn_body(self, value: object, name: str = "") -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if name == "EnvironmentVariables" and isinstance(item, str):
                    self._learn(item, key, 10 if item.isdigit() else _SHORTEST)
                else:
                    self._learn_body(item, key)
        elif isinstance(value, list):
            for item in value:
                self._learn_body(item, name)
        elif _is_account(name, value):
            self._learn(str(value), name)
        elif isinstance(value, str) and _folded(name) in _SECRETS | _PATHS:
            self._learn(value, name)

    # --- hiding

    def clean(self, exchanges: Iterable[Exchange]) -> list[Exchange]:
        """Return the exchanges as they may be written. All are looked at first: what one of them tells is hidden in all."""
        raw = list(exchanges)
        for exchange in raw:
            for body in _bodies(exchange):
                self._learn_body(parsed(body))
        return [self._cleaned(exchange) for exchange in raw]

    def _cleaned(self, exchange: Exchange) -> Exchange:
        fresh = {
            part: f"<scrubbed:{name.lower()}>"
            for name, value in exchange.headers.items()
            if name.lower() in _FRESH
            for part in (value, *re.split(r"[\s:]+", value))
            if len(part) >= _SHORTEST
        }
        answer = exchange.answer
        if isinstance(answer, TransportError):
            answer = type(answer)(self.text(_replaced(str(answer), fresh)))
        else:
            kept = {n: self.text(_replaced(v, fresh)) for n, v in answer.headers.items() if n in RESPONSE_HEADERS}
            answer = Response(answer.status, kept, self._body(answer.body, fresh))
        headers = {n.lower(): self.text(v) for n, v in exchange.headers.items() if n.lower() in REQUEST_HEADERS}
        body = self._body(exchange.body, fresh)
        return Exchange(exchange.method, self.target(exchange.target), answer, body, headers)

    def target(self, target: str) -> str:
        """A request target, or URI, without secrets in its path and query."""
        path, mark, query = target.partition("?")
        pairs = []
        for pair in query.split("&"):
            name, equals, value = pair.partition("=")
            if value and is_hidden(unquote(name)):
                value = quote(self._by_place(unquote(value), unquote(name)), safe="")
            pairs.append(f"{name}{equals}{value}")
        return self.text(path + mark + "&".join(pairs))

    def text(self, text: str) -> str:
        """A text without the values that are known."""
        if not self._known:
            return text
        if self._pattern is None:
            self._forms = {form: hidden for value, hidden in self._known.items() for form in _forms(value)}
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_expression, longest_first)))
        return self._pattern.sub(lambda match: self._forms[match[0]], text)

    def _body(self, body: bytes, fresh: Mapping[str, str]) -> bytes:
        data = parsed(body)
        plain = self.text(_replaced(body.decode("utf-8", "surrogateescape"), fresh)).encode("utf-8", "surrogateescape")
        if isinstance(data, bytes):
            return plain
        hidden = self._hidden(data, "", fresh)
        if hidden == data and plain == body:  # JSON may hold what its reader does not see: a key that comes twice
            return body
        return json.dumps(hidden, separators=(",", ":")).encode("ascii")

    def _hidden(self, value: Any, name: str, fresh: Mapping[str, str]) -> Any:
        if name == "EnvironmentVariables":
            return _without_values(value)
        if isinstance(value, dict):
            return {self.text(key): self._hidden(item, key, fresh) for key, item in value.items()}
        if isinstance(value, list):
            return [self._hidden(item, name, fresh) for item in value]
        if _is_account(name, value):
            return type(value)(self._by_place(str(value), name))
        if isinstance(value, str) and _folded(name) in _PATHS:
            return f"/{_placeholder(name)}"  # what must be absolute stays it
        if isinstance(value, str):
            return _placeholder(name) if _folded(name) in _SECRETS else self.text(_replaced(value, fresh))
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in self._known:
            return int(self._known[str(value)])
        return value

    def _by_place(self, value: str, name: str) -> str:
        return self._hidden_account(value) if value.isdigit() else _placeholder(name)


def _placeholder(name: str) -> str:
    return f"<scrubbed:{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}>"


def parsed(body: bytes) -> Any:
    """A body as JSON; the bytes themselves where they are none."""
    if not body:
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _bodies(exchange: Exchange) -> tuple[bytes, ...]:
    return (exchange.body,) if isinstance(exchange.answer, TransportError) else (exchange.body, exchange.answer.body)


def _is_account(name: str, value: object) -> bool:
    """Return whether an account id stands here; 0 is the service itself."""
    if _folded(name) not in _ACCOUNTS or isinstance(value, bool):
        return False
    return value > 0 if isinstance(value, int) else isinstance(value, str) and bool(value)


def _without_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _placeholder(key) for key in value}
    return "<scrubbed:EnvironmentVariables>" if value else value


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, values[value])
    return text


def _forms(value: str) -> set[str]:
    """A value as it may stand in a text: plain, percent-encoded, inside JSON."""
    return {
        value,
        quote(value, safe=""),
        quote(value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    }


def _expression(form: str) -> str:
    escaped = re.escape(form)
    return rf"(?<![0-9A-Za-z]){escaped}(?![0-9A-Za-z])" if form.isdigit() else escaped
