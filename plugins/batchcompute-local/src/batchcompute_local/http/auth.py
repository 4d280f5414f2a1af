"""Authentication: the signature of API 2015-06-30 (protocol 1.3, 1.4, 2.11) and the Date window."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import takewhile
from urllib.parse import unquote

from batchcompute_local.errors import ServiceError
from batchcompute_local.http.accounts import Account, Accounts
from batchcompute_local.http.nonces import WINDOW_SECONDS, Nonces

VERSION = "2015-06-30"
MOST_HEADERS = 100
_SAME_SECONDS = 2.0


def sign(secret: str, text: str) -> str:
    """Return base64(HMAC-SHA1(secret, text)). Header bytes beyond ASCII are signed unchanged."""
    digest = hmac.new(secret.encode(), text.encode("latin-1", "replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def strings_to_sign(method: str, target: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the texts that a client may have signed: with the target as sent, and as the JavaScript SDK does (protocol 1.4)."""
    acs = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-acs-"))
    start = (
        f"{method}\n{headers.get('accept', '')}\n{headers.get('content-md5', '')}\n{headers.get('content-type', '')}\n"
    )
    date = headers.get("date", "")
    yield f"{start}{date}\n{acs}{target}"
    path, _, query = target.partition("?")
    # latin-1: every byte stays the same, as in the headers
    pairs = sorted(unquote(part, "latin-1").removesuffix("=") for part in query.split("&") if part)
    decoded = unquote(path, "latin-1") + ("?" + "&".join(pairs) if pairs else "")
    yield f"{start}{headers.get('x-acs-date', date)}\n{acs}{decoded}"


class Authenticator:
    """Finds the account that signed a request. Not thread-safe: one event loop uses it."""

    def __init__(
        self,
        accounts: Accounts,
        clock: Callable[[], float] = time.time,
        nonces: Nonces | None = None,
        require_nonce: bool = False,
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._nonces = nonces or Nonces()
        self._require_nonce = require_nonce
        self._recent: dict[tuple[str, str], float] = {}

    def check(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> Account:
        """Return the account that signed the request; `target` is as sent. Raises ServiceError with the gateway's codes."""
        single = _single(headers)
        key, signature = _authorization(single)
        if single.get("x-acs-version", VERSION) != VERSION:
            raise ServiceError(403, "InvalidVersion.NotFound", f"This service speaks API version {VERSION} only.")
        if single.get("x-acs-signature-method", "HMAC-SHA1").upper() != "HMAC-SHA1":
            raise ServiceError(400, "InvalidSignatureMethod", "Specified signature method is not HMAC-SHA1.")
        account = self._accounts.lookup(key)
        if account is None:
            raise ServiceError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if not account.enabled:
            raise ServiceError(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        expected = (sign(account.access_key_secret, text) for text in strings_to_sign(method, target, single))
        given = signature.encode("latin-1", "replace")
        if not any(hmac.compare_digest(one.encode(), given) for one in expected):
            raise ServiceError(
                400, "SignatureDoesNotMatch", "The signature we calculated does not match the one you provided."
            )
        sent = self._check_time(single)
        nonce = single.get("x-acs-signature-nonce")
        if nonce:
            self._use_nonce(key, nonce, sent)
        else:
            self._use_signature(key, signature, sent)
        return account

    def _check_time(self, headers: Mapping[str, str]) -> float:
        # x-acs-date first: if it is sent, Date may not be signed
        text = headers.get("x-acs-date") or headers.get("date")
        if not text:
            raise ServiceError(400, "MissingDate", "Date is mandatory for this action.")
        try:
            sent = _seconds(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            raise ServiceError(400, "InvalidTimeStamp.Format", "Specified date is not well formatted.") from None
        now = self._clock()
        if abs(now - sent) > WINDOW_SECONDS:
            raise ServiceError(400, "InvalidTimeStamp.Expired", "Specified date is more than 15 minutes off.")
        if sent < self._nonces.floor(now):
            raise ServiceError(
                400, "InvalidTimeStamp.Expired", "Specified date is from before the service's machine was started."
            )
        return sent

    def _use_signature(self, key: str, signature: str, sent: float) -> None:
        """Use the signature as the nonce, since the JavaScript SDK sends no nonce.

        Its dates are whole seconds: two equal requests of one second have the same signature. So a signature may come
        again for a short time.
        """
        if self._require_nonce:
            raise ServiceError(400, "MissingSignatureNonce", "x-acs-signature-nonce is mandatory for this action.")
        now = self._clock()
        for old in list(takewhile(lambda one: now - self._recent[one] >= _SAME_SECONDS, self._recent)):
            del self._recent[old]
        if (key, signature) not in self._recent:
            self._use_nonce(key, signature, sent)
            self._recent[key, signature] = now

    def _use_nonce(self, key: str, nonce: str, sent: float) -> None:
        if self._nonces.full:
            raise ServiceError(
                400, "Throttling.User", "Too many requests in a quarter of an hour; send it again later."
            )
        # its Date is signed, so the request cannot be used again after it has left the window
        if not self._nonces.use(key, nonce, sent + WINDOW_SECONDS, self._clock()):
            raise ServiceError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")


@lru_cache(maxsize=16)  # many requests of one second have the same date
def _seconds(text: str) -> float:
    date = parsedate_to_datetime(text)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def check_body(headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Compare the body with Content-MD5 (base64 or hex) and contentMd5 (hex), if sent. Raises ServiceError 400."""
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
    values: dict[str, str] = {}
    for count, (name, value) in enumerate(headers, start=1):
        if count > MOST_HEADERS:
            raise ServiceError(400, "InvalidParameter", f"At most {MOST_HEADERS} headers are allowed.")
        signed = name.startswith("x-acs-") or name in _SIGNED
        if signed and name in values:
            raise ServiceError(400, "InvalidParameter", f"Header {name[:60]} was sent more than once.")
        values[name] = value
    return values


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
