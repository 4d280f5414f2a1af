"""Signatures against those that the official clients make, and against each change of a request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import oss2
import pytest
from batchcompute_local.oss.errors import OssError
from batchcompute_local.oss.signatures import Checker, Signed

from tests.support.oss import ANN, OWN, REGION, Known, signed_v1, signed_v4

PARAMETERS = {"acl": "", "prefix": "a/b c", "response-content-type": "text/é"}
HEADERS = {"content-type": "text/x", "x-oss-meta-a": "b", "host": "a.example"}
CHECKER = Checker(Known(OWN, ANN))


def code_of(signed: Signed, checker: Checker = CHECKER) -> str:
    try:
        checker.check(signed)
    except OssError as error:
        return error.code
    return ""


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize(("bucket", "key"), [("", ""), ("mine", ""), ("mine", "é/a b+%2F~*'().txt")])
def test_as_oss2_signs(version: int, bucket: str, key: str) -> None:
    kind = oss2.AuthV4 if version == 4 else oss2.Auth
    auth = kind(OWN.access_key_id, OWN.access_key_secret)
    headers = {name: value for name, value in HEADERS.items() if name != "host"}
    request = oss2.http.Request(
        "GET", "http://x/", params=dict(PARAMETERS), headers=headers, region=REGION, product="oss"
    )
    auth._sign_request(request, bucket, key)
    sent = {name.lower(): value for name, value in request.headers.items() if value is not None}
    assert code_of(Signed("GET", bucket, key, PARAMETERS, sent)) == ""


def v1(**more: Any) -> Signed:
    headers = signed_v1("GET", "mine", "k", PARAMETERS, HEADERS, **more)
    return Signed("GET", "mine", "k", PARAMETERS, headers)


def v4(**more: Any) -> Signed:
    headers = signed_v4("GET", "mine", "k", PARAMETERS, HEADERS, **more)
    return Signed("GET", "mine", "k", PARAMETERS, headers)


def with_header(signed: Signed, name: str, value: str) -> Signed:
    return replace(signed, headers={**signed.headers, name: value})


def with_parameter(signed: Signed, name: str, value: str) -> Signed:
    return replace(signed, parameters={**signed.parameters, name: value})


@pytest.mark.parametrize("make", [v1, v4])
def test_each_change_is_seen(make: Any) -> None:
    signed = make()
    assert code_of(signed) == ""
    changed = [
        replace(signed, method="PUT"),
        replace(signed, method="HEAD"),
        replace(signed, key="other"),
        replace(signed, bucket="other"),
        replace(signed, bucket="", key=""),
        with_header(signed, "x-oss-meta-a", "other"),
        with_header(signed, "x-oss-meta-new", ""),
        with_header(signed, "x-oss-forbid-overwrite", "false"),
        with_header(signed, "content-type", "text/y"),
        with_header(signed, "content-md5", "x"),
        with_parameter(signed, "acl", "x"),
        with_parameter(signed, "uploads", ""),
        with_parameter(signed, "response-content-type", "text/html"),
    ]
    assert [code_of(each) for each in changed] == ["SignatureDoesNotMatch"] * len(changed)
    # the host is signed only if V4 lists it; other parameters only by V4
    assert code_of(with_header(signed, "host", "b.example")) == ""
    assert code_of(with_parameter(signed, "prefix", "")) == ("" if make is v1 else "SignatureDoesNotMatch")


def test_headers_that_v4_lists() -> None:
    signed = v4(listed=("host",))
    assert code_of(signed) == ""
    assert code_of(with_header(signed, "host", "b.example")) == "SignatureDoesNotMatch"
    gone = {name: value for name, value in signed.headers.items() if name != "host"}
    assert code_of(replace(signed, headers=gone)) == "InvalidArgument"


@pytest.mark.parametrize("make", [v1, v4])
def test_dates(make: Any) -> None:
    now = time.time()
    assert code_of(make(moment=now - 890)) == code_of(make(moment=now + 890)) == ""
    assert code_of(make(moment=now - 910)) == code_of(make(moment=now + 910)) == "RequestTimeTooSkewed"
    name = "date" if make is v1 else "x-oss-date"
    assert code_of(with_header(make(), name, "yesterday")) != ""


def url(version: int, account: Any, expires: int) -> Signed:
    """A signed URL, as oss2 makes it."""
    kind = oss2.AuthV4 if version == 4 else oss2.Auth
    auth = kind(account.access_key_id, account.access_key_secret)
    request = oss2.http.Request("GET", "http://x/", params=dict(PARAMETERS), headers={}, region=REGION, product="oss")
    auth._sign_url(request, "mine", "k", expires)
    return Signed("GET", "mine", "k", dict(request.params), {"host": "x"})


@pytest.mark.parametrize(("version", "ends"), [(1, "Expires"), (4, "x-oss-expires")])
def test_urls(version: int, ends: str) -> None:
    signed = url(version, OWN, 60)
    assert CHECKER.check(signed) is OWN
    assert CHECKER.check(signed) is OWN  # it may come again
    assert CHECKER.check(url(version, ANN, 60)) is ANN
    now = time.time()
    late, early = Checker(Known(OWN), lambda: now + 70), Checker(Known(OWN), lambda: now - 1000)
    assert code_of(signed, late) == "AccessDenied"
    assert code_of(signed, early) == ("" if version == 1 else "AccessDenied")
    longer = str(int(signed.parameters[ends]) + 1000)
    assert code_of(with_parameter(signed, ends, longer)) == "SignatureDoesNotMatch"
    assert code_of(replace(signed, method="DELETE")) == "SignatureDoesNotMatch"
    both = with_header(signed, "authorization", v1().headers["authorization"])
    assert code_of(both) == "InvalidArgument"


def test_keys() -> None:
    assert code_of(v1(account=replace(OWN, access_key_id="LTAIother"))) == "InvalidAccessKeyId"
    assert code_of(v1(account=replace(OWN, access_key_secret="other"))) == "SignatureDoesNotMatch"
    disabled = Checker(Known(replace(OWN, enabled=False)))
    assert code_of(v4(), disabled) == "InvalidAccessKeyId"
    assert code_of(Signed("GET", "mine", "k", {}, {})) == "AccessDenied"


@pytest.mark.parametrize(
    "text",
    [
        "OSS",
        "OSS :x",
        "OSS2 AccessKeyId:x,Signature:y",
        "Basic eDp5",
        "OSS4-HMAC-SHA256",
        "OSS4-HMAC-SHA256 Credential=LOCALKEY/20260101/r/s3/aliyun_v4_request,Signature=x",
        "OSS4-HMAC-SHA256 Credential=LOCALKEY,Signature=x",
    ],
)
def test_headers_that_are_no_signature(text: str) -> None:
    assert code_of(with_header(v4(), "authorization", text)) == "InvalidArgument"


def test_only_an_unsigned_payload() -> None:
    signed = signed_v4("PUT", "mine", "k", {}, {"x-oss-content-sha256": "a" * 64})
    assert code_of(Signed("PUT", "mine", "k", {}, signed)) == "InvalidArgument"


def test_security_tokens() -> None:
    assert code_of(with_header(v1(), "x-oss-security-token", "x")) == "InvalidSecurityToken"
    assert code_of(with_parameter(v1(), "security-token", "x")) == "InvalidSecurityToken"


def test_header_bytes_beyond_ascii() -> None:
    headers: Mapping[str, str] = signed_v1("PUT", "mine", "k", {}, {"x-oss-meta-a": "\xc3\xa9"})
    assert code_of(Signed("PUT", "mine", "k", {}, headers)) == ""
