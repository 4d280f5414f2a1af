"""The signatures of protocol 1.4, made with the original SDK: 0.1a5 (text/html) and 0.1a13 (application/json)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from batchcompute import Client, Credentials, CredentialsError
from batchcompute.builtins.signing import http_date, sign_request, signature, string_to_sign
from batchcompute.hooks import AttemptContext, CallContext, RegistrationContext, hookimpl, loading
from batchcompute.operations import OPERATIONS
from batchcompute.regions import CLOUD_REGIONS
from batchcompute.wire import Request, Response

DATE = "Tue, 30 Jun 2015 08:00:00 GMT"
SECONDS = 1435651200
NONCE = "00000000-0000-1000-8000-000000000000"
HTML, JSON = "text/html", "application/json"

# method, target, content type, token, signature
VECTORS = [
    ("GET", "/jobs", HTML, "", "ardeLAM3VdYbAOzW0gZxjJsnWMQ="),
    ("GET", "/jobs", JSON, "", "2zymSd4IQiLP+5hvpqHEpyjY1IM="),
    ("POST", "/jobs", HTML, "", "W7exzvP1PjYpfaEDZTKSM5pqtIU="),
    ("POST", "/jobs", JSON, "", "QCFTHev+wgq8Gb2EErTFuPHUd9I="),
    ("PUT", "/jobs/job-1?Action=Stop", HTML, "", "b+HqARsPGdrvPhT9mbcp+OKAy4w="),
    ("PUT", "/jobs/job-1?Action=Stop", JSON, "", "7MtaRzktBfenDkJXEGkOcpcvzUQ="),
    ("PUT", "/jobs/job-1/Priority", HTML, "", "SUAoZ/HynjR7Ddk4FO1RoThC/sA="),
    ("PUT", "/jobs/job-1/Priority", JSON, "", "IzOqeZ/5iGsBKHlJenvj1+eSUIk="),
    ("DELETE", "/jobs/job-1", HTML, "", "rSsCF5ZgxEeqgGEt+cQ/SX/nh/4="),
    ("DELETE", "/jobs/job-1", JSON, "", "7XDubE0Z/s1aC/duvie9bq0xWRg="),
    ("GET", "/images", HTML, "", "zPaS+3ntcQvEPhpt0wuPY1ext1c="),
    ("GET", "/images", JSON, "", "uWpfbodpCHqtSxa2Zvyydq0Cq1Y="),
    ("GET", "/jobs", JSON, "tok", "AiTJxNKvFIDFqanmAww+a1PuDF8="),
]
vectors = pytest.mark.parametrize(("method", "target", "content_type", "token", "expected"), VECTORS)


def headers_of(content_type: str, token: str) -> dict[str, str]:
    headers = {
        "accept": "application/json",
        "content-type": content_type,
        "date": DATE,
        "user-agent": "not signed",
        "contentmd5": "not signed",
        "x-acs-access-key-id": "testid",
        "x-acs-region-id": "cn-qingdao",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": NONCE,
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
    }
    return headers | ({"x-acs-security-token": token} if token else {})


def page(name: str, section: str) -> str:
    """The text of a section of a page in docs."""
    text = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    return text.partition(f"\n### {section} ")[2].partition("\n#")[0]


def test_the_page_shows_these_vectors() -> None:
    """And the headers that they are made with: who signs what the page shows gets what it shows."""
    text = page("protocol.md", "1.4")
    (block,) = re.findall(r"^```text\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    shown = dict(line.lower().split(": ", 1) for line in block.splitlines())
    found = []
    for request, *signatures in re.findall(r"^\| (`[A-Z]+ /.*?) \| (.*?) \| (.*?) \|$", text, flags=re.MULTILINE):
        (method, target), token = request.split("`")[1].split(" "), request.partition("security-token: ")[2].rstrip("`")
        for kind, one in zip((HTML, JSON), signatures, strict=True):
            if one != "-":
                found.append((method, target, kind, token, one.strip("`")))
    assert found == VECTORS
    signed = {name: value for name, value in headers_of(HTML, "").items() if value != "not signed"}
    assert shown == {name: value.lower() for name, value in signed.items() if name != "content-type"}
    assert "The key is `testid`, the secret `testsecret`." in text


def test_the_page_is_right_about_other_signatures() -> None:
    """The vectors of ACS3-HMAC-SHA256, by a computation that follows the page, and the one of HMAC-SHA1."""
    text = page("protocol-credentials.md", "3.2")
    (query,) = re.findall(r"`(ImageId=\S+)`", text)
    rows = re.findall(r"^\| `(2023\S+)` \| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", text, flags=re.MULTILINE)
    assert len(rows) == 2
    for date, nonce, hashed, expected in rows:
        headers = {
            "host": "ecs.cn-shanghai.aliyuncs.com",
            "x-acs-action": "RunInstances",
            "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
            "x-acs-date": date,
            "x-acs-signature-nonce": nonce,
            "x-acs-version": "2014-05-26",
        }
        lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
        canonical = f"POST\n/\n{query}\n{lines}\n{';'.join(sorted(headers))}\n{headers['x-acs-content-sha256']}"
        assert hashlib.sha256(canonical.encode()).hexdigest() == hashed
        to_sign = f"ACS3-HMAC-SHA256\n{hashed}".encode()
        assert hmac.digest(b"YourAccessKeySecret", to_sign, "sha256").hex() == expected
    simple = base64.b64encode(hmac.digest(b"secret", b"stringtosign", "sha1")).decode()
    assert f'`base64(HMAC-SHA1("secret", "stringtosign"))` is `{simple}`' in page("protocol-credentials.md", "3.1")


@vectors
def test_the_functions(method: str, target: str, content_type: str, token: str, expected: str) -> None:
    text = string_to_sign(method, target, headers_of(content_type, token))
    assert signature("testsecret", text) == expected


def test_the_text_that_is_signed() -> None:
    assert string_to_sign("GET", "/jobs", headers_of(HTML, "tok")) == (
        "GET\napplication/json\n\ntext/html\nTue, 30 Jun 2015 08:00:00 GMT\n"
        "x-acs-access-key-id:testid\nx-acs-region-id:cn-qingdao\nx-acs-security-token:tok\n"
        "x-acs-signature-method:HMAC-SHA1\nx-acs-signature-nonce:00000000-0000-1000-8000-000000000000\n"
        "x-acs-signature-version:1.0\nx-acs-version:2015-06-30\n/jobs"
    )


class _Nonce(bytes):
    """Random bytes whose hexadecimal form is the nonce of the vectors."""

    def hex(self, *_: object) -> str:
        return NONCE


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: SECONDS + 0.9)
    monkeypatch.setattr(os, "urandom", lambda size: _Nonce(size))


def context(method: str, target: str, content_type: str, token: str) -> AttemptContext:
    region = CLOUD_REGIONS[0]
    request = Request(method, target, {"accept": "application/json", "content-type": content_type}, b"200")
    credentials = Credentials("testid", "testsecret", token or None)
    from batchcompute import Config

    call = CallContext(OPERATIONS["list_jobs"], region, Config(), request)
    return AttemptContext(call, 1, request, region.endpoint, credentials)


@pytest.mark.usefixtures("frozen")
@vectors
def test_the_hook(method: str, target: str, content_type: str, token: str, expected: str) -> None:
    added = sign_request(context(method, target, content_type, token))
    assert added["authorization"] == f"acs testid:{expected}"
    assert added["date"] == DATE
    assert added.get("x-acs-security-token", "") == token
    assert {name: value for name, value in headers_of(content_type, token).items() if name in added} | {
        "authorization": f"acs testid:{expected}"
    } == added


def test_the_hook_without_credentials() -> None:
    ctx = replace(context("GET", "/jobs", JSON, ""), credentials=None)
    with pytest.raises(CredentialsError, match="no access key for region cn-qingdao"):
        sign_request(ctx)


class _Ear:
    name = "urllib3"

    def __init__(self) -> None:
        self.heard: list[Request] = []

    @hookimpl
    def register_transports(self, ctx: RegistrationContext) -> list[_Ear]:
        return [self]

    def open(self, settings: object) -> _Ear:
        return self

    def send(self, request: Request) -> Response:
        self.heard.append(request)
        return Response(200, {"request-id": "REQ-1"}, b"{}")

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    ("call", "method", "target"),
    [
        (lambda client: client.list_jobs(), "GET", "/jobs"),
        (lambda client: client.stop_job("job-1"), "PUT", "/jobs/job-1?Action=Stop"),
        (lambda client: client.update_job_priority("job-1", 200), "PUT", "/jobs/job-1/Priority"),
        (lambda client: client.delete_job("job-1"), "DELETE", "/jobs/job-1"),
        (lambda client: client.list_images(), "GET", "/images"),
    ],
)
@pytest.mark.parametrize("token", ["", "tok"])
def test_a_whole_call(monkeypatch: pytest.MonkeyPatch, call: object, method: str, target: str, token: str) -> None:
    monkeypatch.setattr(loading, "installed_plugins", lambda: ())
    ear = _Ear()
    with Client("cn-qingdao", "testid", "testsecret", security_token=token, plugins=[ear]) as client:
        call(client)  # type: ignore[operator]  # the functions of the table
    known: Mapping[tuple[str, str, str, str], str] = {(m, t, kind, tok): sig for m, t, kind, tok, sig in VECTORS}
    expected = known.get((method, target, JSON, token)) or signature(
        "testsecret", string_to_sign(method, target, headers_of(JSON, token))
    )
    assert ear.heard[0].headers["authorization"] == f"acs testid:{expected}"


def test_dates_do_not_depend_on_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "周二, 30 六月 2015 08:00:00 GMT")
    assert http_date(SECONDS) == DATE
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(951782399) == "Mon, 28 Feb 2000 23:59:59 GMT"
