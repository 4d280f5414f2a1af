"""ROA signatures with HMAC-SHA1, as the service of 2015-06-30 checks them (protocol 1.4; test vectors there)."""

from __future__ import annotations

import hmac
import os
import time
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache

from ..errors import CredentialsError
from ..hooks import AttemptContext, hookimpl
from ..wire import API_VERSION

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=1)
def http_date(seconds: int) -> str:
    """A time as RFC 1123 wants it, whatever the locale (the original SDK's strftime was not, protocol 1.9 number 21)."""
    at = time.gmtime(seconds)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


def string_to_sign(method: str, target: str, headers: Mapping[str, str]) -> str:
    """Return the text that is signed (protocol 1.4). `headers` has lower-case names; the body is not covered."""
    get = headers.get
    lines = [method, get("accept", ""), get("content-md5", ""), get("content-type", ""), get("date", "")]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name[:6] == "x-acs-"]
    lines.append(target)
    return "\n".join(lines)


def signature(secret: str, text: str) -> str:
    """base64(HMAC-SHA1(secret, text))."""
    return b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


@hookimpl(trylast=True)
def sign_request(ctx: AttemptContext) -> dict[str, str]:
    """The default signature."""
    return default_signature(ctx)


def default_signature(ctx: AttemptContext) -> dict[str, str]:
    """A fresh Date and nonce, and the Authorization header: HMAC-SHA1 with `ctx.credentials` (protocol 1.4).

    The signature covers all `x-acs-` headers of `ctx.request`. Raises CredentialsError when there is no access key.
    """
    credentials = ctx.credentials
    if credentials is None:
        raise CredentialsError(
            f"no access key for region {ctx.endpoint.region}: pass access_key_id and access_key_secret to Client"
        )
    headers = {
        "date": http_date(int(time.time() + ctx.clock_offset)),
        "x-acs-access-key-id": credentials.access_key_id,
        "x-acs-region-id": ctx.endpoint.region,
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": os.urandom(16).hex(),
        "x-acs-signature-version": "1.0",
        "x-acs-version": API_VERSION,
    }
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
    request = ctx.request
    signed = signature(
        credentials.access_key_secret, string_to_sign(request.method, request.target, {**request.headers, **headers})
    )
    headers["authorization"] = f"acs {credentials.access_key_id}:{signed}"
    return headers
