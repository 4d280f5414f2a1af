"""The signature: the vectors of protocol 1.4, tampering, the window, the nonces."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.http.accounts import Account
from batchcompute_local.http.auth import Authenticator, check_body, sign, strings_to_sign

NOW = datetime(2015, 6, 30, 8, tzinfo=UTC).timestamp()
VECTORS = [
    ("GET", "/jobs", "ardeLAM3VdYbAOzW0gZxjJsnWMQ=", "2zymSd4IQiLP+5hvpqHEpyjY1IM="),
    ("POST", "/jobs", "W7exzvP1PjYpfaEDZTKSM5pqtIU=", "QCFTHev+wgq8Gb2EErTFuPHUd9I="),
    ("PUT", "/jobs/job-1?Action=Stop", "b+HqARsPGdrvPhT9mbcp+OKAy4w=", "7MtaRzktBfenDkJXEGkOcpcvzUQ="),
    ("PUT", "/jobs/job-1/Priority", "SUAoZ/HynjR7Ddk4FO1RoThC/sA=", "IzOqeZ/5iGsBKHlJenvj1+eSUIk="),
    ("DELETE", "/jobs/job-1", "rSsCF5ZgxEeqgGEt+cQ/SX/nh/4=", "7XDubE0Z/s1aC/duvie9bq0xWRg="),
    ("GET", "/images", "zPaS+3ntcQvEPhpt0wuPY1ext1c=", "uWpfbodpCHqtSxa2Zvyydq0Cq1Y="),
]


def _headers(signature: str, content_type: str = "application/json", **more: str) -> dict[str, str]:
    return {
        "accept": "application/json",
        "content-type": content_type,
        "date": "Tue, 30 Jun 2015 08:00:00 GMT",
        "x-acs-version": "2015-06-30",
        "x-acs-access-key-id": "testid",
        "x-acs-region-id": "cn-qingdao",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-version": "1.0",
        "x-acs-signature-nonce": "00000000-0000-1000-8000-000000000000",
        "authorization": f"acs testid:{signature}",
    } | {name.replace("_", "-"): value for name, value in more.items()}


class OneAccount:
    """Knows a single account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def lookup(self, access_key_id: str) -> Account | None:
        return self._account if access_key_id == self._account.access_key_id else None


def _authenticator(clock: Any = lambda: NOW, **account: Any) -> Authenticator:
    return Authenticator(OneAccount(Account(7, "testid", "testsecret", **account)), clock)


def _code(headers: dict[str, str] | list[tuple[str, str]], checker: Authenticator | None = None, **on: str) -> str:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    with pytest.raises(ServiceError) as caught:
        (checker or _authenticator()).check(on.get("method", "GET"), on.get("target", "/jobs"), pairs)
    assert caught.value.status < 500
    return caught.value.code


@pytest.mark.parametrize(("method", "target", "html", "json"), VECTORS)
def test_vectors(method: str, target: str, html: str, json: str) -> None:
    for content_type, signature in (("text/html", html), ("application/json", json)):
        account = _authenticator().check(method, target, _headers(signature, content_type).items())
        assert account.owner == 7


def test_vector_with_a_token() -> None:
    headers = _headers("AiTJxNKvFIDFqanmAww+a1PuDF8=", x_acs_security_token="tok")
    assert _authenticator().check("GET", "/jobs", headers.items()).owner == 7


def test_the_variant_of_the_javascript_sdk() -> None:
    headers = _headers("", x_acs_date="Tue, 30 Jun 2015 08:00:00 GMT")
    text = list(strings_to_sign("GET", "/jobs/a%20b?b=2&a=", headers))[1]
    assert text.endswith("\n/jobs/a b?a&b=2")
    headers["authorization"] = f"acs testid:{sign('testsecret', text)}"
    assert _authenticator().check("GET", "/jobs/a%20b?b=2&a=", headers.items()).owner == 7


GOOD = VECTORS[0][3]


def test_what_is_altered_is_noticed() -> None:
    assert _code(_headers(GOOD), method="DELETE") == "SignatureDoesNotMatch"
    assert _code(_headers(GOOD), target="/jobs?x") == "SignatureDoesNotMatch"
    assert _code(_headers(GOOD) | {"x-acs-region-id": "cn-x"}) == "SignatureDoesNotMatch"
    assert _code(_headers(GOOD) | {"x-acs-more": "1"}) == "SignatureDoesNotMatch"
    assert _code(_headers(GOOD) | {"accept": "*/*"}) == "SignatureDoesNotMatch"
    assert _code(_headers("ü")) == "SignatureDoesNotMatch"
    assert _code([*_headers(GOOD).items(), ("x-acs-region-id", "x")]) == "InvalidParameter"


def test_what_is_missing_or_foreign() -> None:
    assert _code(_headers(GOOD) | {"authorization": ""}) == "MissingAuthorization"
    assert _code(_headers(GOOD) | {"authorization": "Bearer x"}) == "InvalidAuthorization"
    assert _code(_headers(GOOD) | {"authorization": "acs other:x"}) == "InvalidAccessKeyId.NotFound"
    assert _code(_headers(GOOD) | {"x-acs-version": "2015-11-11"}) == "InvalidVersion.NotFound"
    assert _code(_headers(GOOD) | {"x-acs-signature-method": "NONE"}) == "InvalidSignatureMethod"
    assert _code(_headers(GOOD), _authenticator(enabled=False)) == "InvalidAccessKeyId.Inactive"
    for change, code in (
        ({"date": ""}, "MissingDate"),
        ({"date": "yesterday"}, "InvalidTimeStamp.Format"),
    ):
        headers = _headers("") | change
        text = next(strings_to_sign("GET", "/jobs", headers))
        assert _code(headers | {"authorization": f"acs testid:{sign('testsecret', text)}"}) == code


def test_the_window_and_the_nonces() -> None:
    now = [NOW]
    checker = _authenticator(lambda: now[0])
    for off in (-901, 901):
        now[0] = NOW + off
        assert _code(_headers(GOOD), checker) == "InvalidTimeStamp.Expired"
    now[0] = NOW - 899
    checker.check("GET", "/jobs", _headers(GOOD).items())
    now[0] = NOW + 899  # the end of its window, as long after as can be
    assert _code(_headers(GOOD), checker) == "SignatureNonceUsed"


def test_the_body_under_a_digest() -> None:
    digest = hashlib.md5(b"200", usedforsecurity=False)
    for value in (digest.hexdigest(), base64.b64encode(digest.digest()).decode()):
        check_body([("content-md5", value)], b"200")
        check_body([("contentmd5", value)], b"200")
        with pytest.raises(ServiceError):
            check_body([("content-md5", value)], b"201")
    with pytest.raises(ServiceError):
        check_body([("contentmd5", "!!")], b"200")


def test_a_date_that_was_not_signed_does_not_count() -> None:
    headers = _headers("", x_acs_date="Tue, 30 Jun 2015 08:00:00 GMT")
    text = list(strings_to_sign("GET", "/jobs", headers))[1]
    headers["authorization"] = f"acs testid:{sign('testsecret', text)}"
    later = _authenticator(lambda: NOW + 5000)
    headers["date"] = "Tue, 30 Jun 2015 09:23:00 GMT"  # whoever replays it can write what they like
    assert _code(headers, later) == "InvalidTimeStamp.Expired"


def test_a_request_without_a_nonce_may_only_come_again_at_once() -> None:
    headers = _headers("")
    del headers["x-acs-signature-nonce"]
    text = next(strings_to_sign("POST", "/jobs", headers))
    headers["authorization"] = f"acs testid:{sign('testsecret', text)}"
    now = [NOW]
    checker = _authenticator(lambda: now[0])
    for seconds in (0.0, 0.5, 1.9):
        now[0] = NOW + seconds
        checker.check("POST", "/jobs", headers.items())
    for seconds in (2.0, 500.0, 899.0):
        now[0] = NOW + seconds
        assert _code(headers, checker, method="POST") == "SignatureNonceUsed"
    strict = Authenticator(OneAccount(Account(7, "testid", "testsecret")), lambda: NOW, require_nonce=True)
    assert _code(headers, strict, method="POST") == "MissingSignatureNonce"


def test_letters_of_all_languages_in_a_decoded_path() -> None:
    headers = _headers("", x_acs_date="Tue, 30 Jun 2015 08:00:00 GMT")
    text = list(strings_to_sign("GET", "/jobs/%E4%BD%A0", headers))[1]
    assert text.encode("latin-1").endswith("/jobs/你".encode())
    headers["authorization"] = f"acs testid:{sign('testsecret', text)}"
    assert _code(headers, target="/jobs/%E4%BD%A1") == "SignatureDoesNotMatch"
    _authenticator().check("GET", "/jobs/%E4%BD%A0", headers.items())


def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        headers = _headers("") | {"date": "Tue, 30 Jun 2015 08:00:00 -0000"}
        text = next(strings_to_sign("GET", "/jobs", headers))
        headers["authorization"] = f"acs testid:{sign('testsecret', text)}"
        _authenticator().check("GET", "/jobs", headers.items())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_too_many_headers() -> None:
    assert _code([*_headers(GOOD).items(), *((f"h{n}", "") for n in range(100))]) == "InvalidParameter"
