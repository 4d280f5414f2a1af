"""Who asks? The signature of API 2015-06-30 (facts 1.3, 1.4, 2.11), the Date window, the nonces."""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from batchcompute_local.errors import ServiceError

WINDOW_SECONDS = 15 * 60
VERSION = "2015-06-30"
_LOCAL_OWNER = 1000


@dataclass(frozen=True)
class Account:
    """One who may use the service. `owner` is the OwnerId on the wire."""

    owner: int
    access_key_id: str
    access_key_secret: str = field(repr=False)
    enabled: bool = True


class Accounts(Protocol):
    """Where accounts are looked up."""

    def lookup(self, access_key_id: str) -> Account | None:
        """The account of that key; None if there is none."""


class OneAccount:
    """The account that the daemon made for the user of this data folder."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def lookup(self, access_key_id: str) -> Account | None:
        """See Accounts."""
        return self._account if access_key_id == self._account.access_key_id else None


def ensure_credentials(path: Path) -> Account:
    """The account in the file at `path`, made and written with mode 0600 if there is none. Raises OSError, ValueError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        values = {"access_key_id": f"LOCAL{secrets.token_hex(10).upper()}", "access_key_secret": secrets.token_hex(20)}
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    if not isinstance(values, dict) or not all(isinstance(values.get(key), str) for key in _KEYS):
        raise ValueError(f"{path} is not a credentials file")
    return Account(_LOCAL_OWNER, *(values[key] for key in _KEYS))


_KEYS = ("access_key_id", "access_key_secret")


def sign(secret: str, text: str) -> str:
    """base64(HMAC-SHA1(secret, text)); header bytes that are not ASCII count as they came."""
    digest = hmac.new(secret.encode(), text.encode("latin-1", "replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def strings_to_sign(method: str, target: str, headers: Mapping[str, str]) -> Iterator[str]:
    """What a client may have signed: first with the target as sent, then as the JavaScript SDK does (facts 1.4)."""
    acs = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-acs-"))
    start = (
        f"{method}\n{headers.get('accept', '')}\n{headers.get('content-md5', '')}\n{headers.get('content-type', '')}\n"
    )
    date = headers.get("date", "")
    yield f"{start}{date}\n{acs}{target}"
    path, _, query = target.partition("?")
    pairs = sorted(unquote(part).removesuffix("=") for part in query.split("&") if part)
    decoded = unquote(path) + ("?" + "&".join(pairs) if pairs else "")
    yield f"{start}{headers.get('x-acs-date', date)}\n{acs}{decoded}"


class Authenticator:
    """Decides whether a request comes from an account. Not thread-safe: one event loop uses it."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float] = time.time) -> None:
        self._accounts = accounts
        self._clock = clock
        self._nonces: set[tuple[str, str]] = set()
        self._expiry: list[tuple[float, tuple[str, str]]] = []

    def check(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> Account:
        """The account that signed the request, `target` being as sent. Raises ServiceError with the gateway's codes."""
        known = _single(headers)
        key, signature = _authorization(known)
        if known.get("x-acs-version", VERSION) != VERSION:
            raise ServiceError(403, "InvalidVersion.NotFound", f"This service speaks API version {VERSION} only.")
        if known.get("x-acs-signature-method", "HMAC-SHA1").upper() != "HMAC-SHA1":
            raise ServiceError(400, "InvalidSignatureMethod", "Specified signature method is not HMAC-SHA1.")
        account = self._accounts.lookup(key)
        if account is None:
            raise ServiceError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if not account.enabled:
            raise ServiceError(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        expected = [sign(account.access_key_secret, text) for text in strings_to_sign(method, target, known)]
        given = signature.encode("latin-1", "replace")
        if not any(hmac.compare_digest(one.encode(), given) for one in expected):
            raise ServiceError(
                400, "SignatureDoesNotMatch", "The signature we calculated does not match the one you provided."
            )
        self._check_time(known)
        self._use_nonce(key, known.get("x-acs-signature-nonce", ""))
        return account

    def _check_time(self, headers: Mapping[str, str]) -> None:
        text = headers.get("date") or headers.get("x-acs-date")
        if not text:
            raise ServiceError(400, "MissingDate", "Date is mandatory for this action.")
        try:
            sent = parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            raise ServiceError(400, "InvalidTimeStamp.Format", "Specified date is not well formatted.") from None
        if abs(self._clock() - sent) > WINDOW_SECONDS:
            raise ServiceError(400, "InvalidTimeStamp.Expired", "Specified date is more than 15 minutes off.")

    def _use_nonce(self, key: str, nonce: str) -> None:
        if not nonce:
            raise ServiceError(400, "MissingSignatureNonce", "x-acs-signature-nonce is mandatory for this action.")
        now = self._clock()
        while self._expiry and self._expiry[0][0] < now:
            self._nonces.discard(heapq.heappop(self._expiry)[1])
        if (key, nonce) in self._nonces:
            raise ServiceError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces.add((key, nonce))
        # a Date may lie ahead of us by the window, and then stays good for another one
        heapq.heappush(self._expiry, (now + 2 * WINDOW_SECONDS, (key, nonce)))


def check_body(headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Hold the body against Content-MD5 (base64, or hex) and contentMd5 (hex), if sent. Raises ServiceError 400."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    for name, value in headers:
        if name in ("content-md5", "contentmd5") and value and not _same_digest(value, digest):
            raise ServiceError(400, "InvalidContentMD5", "The body does not have the MD5 that the header names.")


def _same_digest(value: str, digest: bytes) -> bool:
    if value.lower() == digest.hex():
        return True
    try:
        return base64.b64decode(value, validate=True) == digest
    except (binascii.Error, ValueError):
        return False


def _single(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    known: dict[str, str] = {}
    for name, value in headers:
        signed = name.startswith("x-acs-") or name in _SIGNED
        if signed and name in known:
            raise ServiceError(400, "InvalidParameter", f"Header {name[:60]} was sent more than once.")
        known[name] = value
    return known


_SIGNED = frozenset({"accept", "content-md5", "content-type", "date", "authorization"})


def _authorization(headers: Mapping[str, str]) -> tuple[str, str]:
    text = headers.get("authorization", "")
    if not text:
        raise ServiceError(400, "MissingAuthorization", "Authorization is mandatory for this action.")
    scheme, _, rest = text.partition(" ")
    key, colon, signature = rest.strip().partition(":")
    if scheme.lower() != "acs" or not colon or not key:
        raise ServiceError(400, "InvalidAuthorization", "Authorization must be of the form: acs <id>:<signature>.")
    return key, signature
