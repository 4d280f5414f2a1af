"""Signatures V1 and V4 of OSS, in the header or in the URL, and the times within which they count.

V1 signs the method, Content-MD5, Content-Type, the date, all x-oss-* headers, the resource and its subresources with HMAC-SHA1.
V4 signs all parameters too, and the further headers that it lists, with a key made of secret, date, region and product.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from batchcompute_local.errors import ServiceError
from batchcompute_local.http.accounts import Account, Accounts
from batchcompute_local.oss.errors import OssError, invalid

WINDOW_SECONDS = 15 * 60
MOST_SECONDS = 7 * 24 * 3600
"""How long a URL with a signature V4 may count."""
_V4 = "OSS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"

_NAMES = """
accessPoint accessPointPolicy acl append asyncFetch bucketArchiveDirectRead bucketInfo callback callback-var
cleanRestoredObject cname comp continuation-token cors delete encryption endTime group httpsConfig img inventory
inventoryId lifecycle link live location logging metaQuery objectInfo objectMeta partNumber policy position
publicAccessBlock qos qosInfo redundancyTransition referer regionList regions replication replicationLocation
replicationProgress requestPayment resourceGroup response-cache-control response-content-disposition response-
content-encoding response-content-language response-content-type response-expires restore seal security-token
sequential startTime stat status style styleName symlink tagging transferAcceleration uploadId uploads versionId
versioning versions vod website worm wormExtend wormId x-oss-ac-forward-allow x-oss-ac-source-ip x-oss-ac-subnet-
mask x-oss-ac-vpc-id x-oss-async-process x-oss-process x-oss-request-payer x-oss-traffic-limit x-oss-write-get-
object-response
"""
SUBRESOURCES = frozenset(_NAMES.split())
"""The parameters that V1 signs."""


@dataclass(frozen=True)
class Signed:
    """What is signed of a request: `headers` in lower case, each once; bucket and key decoded; parameters decoded."""

    method: str
    bucket: str
    key: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


class Checker:
    """Finds the account that signed a request."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float] = time.time) -> None:
        self._accounts = accounts
        self._clock = clock

    def check(self, signed: Signed) -> Account:
        """Return the account. Raises OssError."""
        authorization = signed.headers.get("authorization", "")
        parameters = signed.parameters
        in_url = "Signature" in parameters or "x-oss-signature" in parameters
        if authorization and in_url:
            raise OssError("InvalidArgument", "The request has a signature both in its header and in its URL.")
        if "x-oss-security-token" in signed.headers or parameters.keys() & {"security-token", "x-oss-security-token"}:
            raise OssError("InvalidSecurityToken", "This service issues no security tokens, and accepts none.")
        if authorization:
            scheme, _, rest = authorization.partition(" ")
            if scheme == "OSS":
                return self._v1_header(signed, rest.strip())
            if scheme == _V4:
                return self._v4_header(signed, rest)
            raise OssError("InvalidArgument", f"The signature is of another kind than OSS (V1) and {_V4} (V4).")
        if "Signature" in parameters:
            return self._v1_url(signed)
        if "x-oss-signature" in parameters:
            return self._v4_url(signed)
        raise OssError("AccessDenied", "The request has no signature, and nobody may come in without one.")

    def _v1_header(self, signed: Signed, rest: str) -> Account:
        key, colon, signature = rest.partition(":")
        if not colon or not key:
            raise OssError("InvalidArgument", "Authorization has to be of the form: OSS <id>:<signature>.")
        account = self._find(key)
        date = signed.headers.get("x-oss-date") or signed.headers.get("date", "")
        _compare(sign_v1(account.access_key_secret, signed, date), signature)
        self._check_date(_http_date(date))
        return account

    def _v1_url(self, signed: Signed) -> Account:
        account = self._find(_needed(signed.parameters, "OSSAccessKeyId"))
        expires = _needed(signed.parameters, "Expires")
        _compare(sign_v1(account.access_key_secret, signed, expires), signed.parameters["Signature"])
        if not expires.isdecimal() or len(expires) > 12:
            raise invalid("Expires", expires, "seconds since 1970")
        if self._clock() > int(expires):
            raise OssError("AccessDenied", "Request has expired.", {"Expires": expires})
        return account

    def _v4_header(self, signed: Signed, rest: str) -> Account:
        fields = dict(each.strip().partition("=")[::2] for each in rest.split(","))
        date = signed.headers.get("x-oss-date", "")
        credential = _needed(fields, "Credential")
        self._check_payload(signed)
        account = self._check_v4(
            signed, credential, date, fields.get("AdditionalHeaders", ""), fields.get("Signature", "")
        )
        self._check_date(_v4_date(date))
        return account

    def _v4_url(self, signed: Signed) -> Account:
        given = signed.parameters
        if given.get("x-oss-signature-version") != _V4:
            raise invalid("x-oss-signature-version", given.get("x-oss-signature-version", ""), _V4)
        date, expires = _needed(given, "x-oss-date"), _needed(given, "x-oss-expires")
        account = self._check_v4(
            signed,
            _needed(given, "x-oss-credential"),
            date,
            given.get("x-oss-additional-headers", ""),
            given["x-oss-signature"],
        )
        if not expires.isdecimal() or len(expires) > 8 or not 0 < int(expires) <= MOST_SECONDS:
            raise invalid("x-oss-expires", expires, f"1 to {MOST_SECONDS} seconds")
        begin, now = _v4_date(date), self._clock()
        if now > begin + int(expires):
            raise OssError("AccessDenied", "Request has expired.", {"Expires": expires})
        if begin > now + WINDOW_SECONDS:
            raise OssError("AccessDenied", "Request is not valid yet.")
        return account

    def _check_v4(self, signed: Signed, credential: str, date: str, listed: str, signature: str) -> Account:
        key, _, scope = credential.partition("/")
        account = self._find(key)
        parts = scope.split("/")
        if len(parts) != 4 or parts[0] != date[:8] or parts[2:] != ["oss", "aliyun_v4_request"]:
            raise invalid(
                "Credential", credential, "<id>/<date>/<region>/oss/aliyun_v4_request, with the day of x-oss-date"
            )
        headers = [each.lower() for each in listed.split(";") if each]
        missing = [each for each in headers if each not in signed.headers]
        if missing:
            raise OssError("InvalidArgument", f"The signature names a header that was not sent: {missing[0][:60]}.")
        _compare(sign_v4(account.access_key_secret, signed, date, scope, headers), signature)
        return account

    @staticmethod
    def _check_payload(signed: Signed) -> None:
        sent = signed.headers.get("x-oss-content-sha256", "")
        if sent != _UNSIGNED:
            raise invalid("x-oss-content-sha256", sent, _UNSIGNED)

    def _check_date(self, sent: float) -> None:
        now = self._clock()
        if abs(now - sent) > WINDOW_SECONDS:
            raise OssError(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                {
                    "MaxAllowedSkewMilliseconds": str(WINDOW_SECONDS * 1000),
                    "ServerTime": _iso(now),
                    "RequestTime": _iso(sent),
                },
            )

    def _find(self, key: str) -> Account:
        try:
            account = self._accounts.lookup(key)
        except ServiceError as error:
            raise OssError("InvalidAccessKeyId", error.message) from None
        if account is None:
            raise OssError(
                "InvalidAccessKeyId", "The access key id does not exist here.", {"OSSAccessKeyId": key[:100]}
            )
        if not account.enabled:
            raise OssError("InvalidAccessKeyId", "The access key is disabled.", {"OSSAccessKeyId": key[:100]})
        return account


def sign_v1(secret: str, signed: Signed, date: str) -> str:
    """Return the signature V1. `date` is that of the header, or the end of a URL in seconds since 1970."""
    headers = "".join(
        f"{name}:{signed.headers[name]}\n" for name in sorted(signed.headers) if name.startswith("x-oss-")
    )
    named = [name for name in sorted(signed.parameters) if name in SUBRESOURCES]
    query = "&".join(f"{name}={signed.parameters[name]}" if signed.parameters[name] else name for name in named)
    resource = f"/{signed.bucket}/{signed.key}" if signed.bucket else "/"
    start = (
        f"{signed.method}\n{signed.headers.get('content-md5', '')}\n{signed.headers.get('content-type', '')}\n{date}\n"
    )
    # header values are bytes of latin-1 here, the resource is UTF-8
    text = f"{start}{headers}".encode("latin-1", "replace") + f"{resource}{'?' if query else ''}{query}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()


def sign_v4(secret: str, signed: Signed, date: str, scope: str, listed: Iterable[str]) -> str:
    """Return the signature V4. `listed` are the names of the headers that are signed beyond those that always are."""
    also = sorted(set(listed))
    path = f"/{signed.bucket}/{signed.key}" if signed.bucket else "/"
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in signed.parameters.items())
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs if name != "x-oss-signature")
    headers = "".join(
        f"{name}:{signed.headers[name]}\n" for name in sorted(signed.headers) if _is_signed(name) or name in also
    )
    payload = signed.headers.get("x-oss-content-sha256", _UNSIGNED)
    lines = f"{signed.method}\n{quote(path, safe='/')}\n{query}\n{headers}\n{';'.join(also)}\n{payload}"
    text = f"{_V4}\n{date}\n{scope}\n{hashlib.sha256(lines.encode('latin-1', 'replace')).hexdigest()}"
    key = f"aliyun_v4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _is_signed(name: str) -> bool:
    return name.startswith("x-oss-") or name in ("content-type", "content-md5")


def _compare(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.strip().encode("utf-8", "replace")):
        raise OssError(
            "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
        )


def _needed(values: Mapping[str, str], name: str) -> str:
    found = values.get(name, "")
    if not found:
        raise OssError("InvalidArgument", f"The signature has no {name}.", {"ArgumentName": name})
    return found


def _http_date(text: str) -> float:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise OssError("AccessDenied", "OSS authentication requires a valid Date.") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _v4_date(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise OssError("AccessDenied", "OSS authentication requires a valid x-oss-date.") from None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
