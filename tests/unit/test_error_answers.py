"""What the service answers when it refuses (protocol 1.5, 2.11), as errors of the tree."""

from __future__ import annotations

import pickle
import re
import time
from email.utils import formatdate
from pathlib import Path

import pytest

import batchcompute
from batchcompute import (
    AmbiguousResultError,
    AuthenticationError,
    BatchComputeError,
    ClientError,
    ClockSkewWarning,
    Config,
    NotFoundError,
    PermissionDeniedError,
    RetryConfig,
    ServerError,
    StateConflictError,
    ThrottlingError,
)
from batchcompute.error_answers import date_of
from batchcompute.errors import client_error
from batchcompute.wire import Response
from tests.support.stub import Stub

ONCE = Config(retry=RetryConfig(attempts=1))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", ClientError),
        (400, "BadDAG", ClientError),
        (403, "Forbidden", PermissionDeniedError),
        (403, "Forbidden.RAM", PermissionDeniedError),
        (400, "Forbidden.SubUser", PermissionDeniedError),
        (403, "NoRights", PermissionDeniedError),
        (404, "InvalidAccessKeyId.NotFound", AuthenticationError),
        (403, "InvalidAccessKeyId.Inactive", AuthenticationError),
        (400, "InvalidSecurityToken.Expired", AuthenticationError),
        (403, "SecurityTokenExpired", AuthenticationError),
        (400, "MissingSecurityToken", AuthenticationError),
        (401, "TokenTooOld", AuthenticationError),
        (401, "InvalidParameter.ImageId", ClientError),
        (403, "QuotaExhausted.Jobs", ClientError),
        (403, "MissingPriority", ClientError),
        (429, "Forbidden", PermissionDeniedError),
        (404, "ResourceNotFound", NotFoundError),
        (409, "StateConflict", StateConflictError),
        (429, "TooMany", ThrottlingError),
        (400, "Throttling.User", ThrottlingError),
        (503, "Throttling", ThrottlingError),
        (500, "InternalError", ServerError),
        (503, "Busy", ServerError),
        (302, "Moved", ClientError),
        (304, "NotModified", ClientError),
    ],
)
def test_each_answer_becomes_its_error(stub: Stub, status: int, code: str, kind: type[ClientError]) -> None:
    stub.answer({"Code": code, "Message": "because"}, status)
    with pytest.raises(ClientError) as caught:
        stub.client(config=ONCE).get_job("job-1")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.message, error.request_id) == (status, code, "because", "REQ-1")
    assert (error.get_status_code(), error.get_code()) == (status, code)
    assert (error.get_msg(), error.get_requestid()) == ("because", "REQ-1")
    assert str(error) == f"{code}: because [HTTP {status}, RequestId REQ-1]"
    assert isinstance(error, BatchComputeError)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"ErrorCode": "Old", "Message": "m"}, "Old", "m"),
        ({"Code": "New", "ErrorCode": "Old"}, "New", "the service gave no reason"),
        ({"Code": 5, "Message": [1]}, "5", "[1]"),
        ({}, "HTTP404", "the service gave no reason"),
        (b"", "HTTP404", "the service gave no reason"),
        (b"<html><body>404 Not Found</body></html>", "HTTP404", "the service gave no reason"),
        (b"[1]", "HTTP404", "the service gave no reason"),
        (b"\xff\xfe", "HTTP404", "the service gave no reason"),
        (b"[" * 100_000, "HTTP404", "the service gave no reason"),
    ],
)
def test_any_error_body_will_do(stub: Stub, body: object, code: str, message: str) -> None:
    stub.answer(body, 404)
    with pytest.raises(NotFoundError) as caught:
        stub.client().get_job("job-1")
    assert (caught.value.code, caught.value.message) == (code, message)


def test_the_request_id_may_be_in_the_body(stub: Stub) -> None:
    stub.answers.append(Response(404, {}, b'{"Code": "X", "RequestId": "BODY-1"}'))
    stub.answers.append(Response(404, {}, b""))
    client = stub.client()
    with pytest.raises(NotFoundError) as caught:
        client.get_job("job-1")
    assert caught.value.request_id == "BODY-1"
    with pytest.raises(NotFoundError, match="RequestId unknown"):
        client.get_job("job-1")


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("0", 0.0), ("", None), ("soon", None), ("-1", None)])
def test_retry_after(stub: Stub, header: str, seconds: float | None) -> None:
    stub.answer({}, 429, retry_after=header)
    with pytest.raises(ThrottlingError) as caught:
        stub.client(config=ONCE).get_job("job-1")
    assert caught.value.retry_after == seconds


AUTHENTICATION = {
    *("InvalidAccessKeyId.NotFound", "InvalidAccessKeyId.Inactive", "SignatureDoesNotMatch", "InvalidSignatureMethod"),
    *("InvalidSecurityToken.Expired", "InvalidSecurityToken.Malformed", "MissingSecurityToken"),
    *("MissingAuthorization", "InvalidAuthorization"),
}


def documented_codes() -> list[tuple[int, str]]:
    """Every status and code in the tables of protocol 2.11."""
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = page.partition("### 2.11 ")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (\d+)(?: or (\d+))? \| (.*?) \|", section, re.MULTILINE)
    return [
        (int(status), code)
        for one, other, codes in rows
        for status in filter(None, (one, other))
        for code in re.findall(r"`([A-Z][A-Za-z.]+)`", codes)
    ]


@pytest.mark.parametrize(("status", "code"), documented_codes())
def test_a_documented_code_decides_before_the_status(status: int, code: str) -> None:
    error = client_error(status, code, "because", "REQ-1")
    assert isinstance(error, AuthenticationError) == (code in AUTHENTICATION)
    assert isinstance(error, PermissionDeniedError) == code.startswith("Forbidden")
    if code not in AUTHENTICATION and status == 403 and not code.startswith("Forbidden"):
        assert type(error) is ClientError


def test_the_page_has_every_code_of_authentication() -> None:
    assert {code for _, code in documented_codes()} >= AUTHENTICATION


def test_retry_after_as_a_date(stub: Stub) -> None:
    stub.answer({}, 503, retry_after=formatdate(time.time() + 100, usegmt=True))
    stub.answer({}, 503, retry_after=formatdate(time.time() - 100, usegmt=True))
    waits: list[float] = []
    for _ in range(2):
        with pytest.raises(ServerError) as caught:
            stub.client(config=ONCE).get_job("job-1")
        assert caught.value.retry_after is not None
        waits.append(caught.value.retry_after)
    assert 95 < waits[0] <= 100
    assert waits[1] == 0


def test_errors_can_be_pickled() -> None:
    for error in (
        client_error(409, "StateConflict", "m", "REQ-1", 2.0),
        batchcompute.DecodeError("m", "REQ-1"),
        batchcompute.ValidationError([batchcompute.Problem("a", 1, "b")]),
        batchcompute.JobFailedError("m", batchcompute.Job({"JobId": "job-1"}), "log"),
        AmbiguousResultError("create_job", "why", [], "token"),
        batchcompute.ConnectError("m"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_the_tree() -> None:
    for name, others in {
        "ConfigError": (ValueError,),
        "JsonError": (ValueError,),
        "ValidationError": (ValueError,),
        "DecodeError": (ValueError,),
        "FieldError": (AttributeError, KeyError),
        "ConnectError": (batchcompute.TransportError, ConnectionError),
        "ResponseLostError": (batchcompute.TransportError, ConnectionError),
        "RequestTimeoutError": (batchcompute.TransportError, TimeoutError),
        "AmbiguousResultError": (batchcompute.TransportError,),
        "WaitTimeoutError": (batchcompute.WaitError, TimeoutError),
        "JobFailedError": (batchcompute.WaitError,),
        "JobStoppedError": (batchcompute.WaitError,),
        "NotFoundError": (ClientError,),
        "AuthenticationError": (ClientError,),
        "PermissionDeniedError": (ClientError,),
        "PluginError": (),
        "CredentialsError": (),
    }.items():
        kind = getattr(batchcompute, name)
        assert all(issubclass(kind, other) for other in (BatchComputeError, *others)), name
        assert name in batchcompute.errors.__doc__  # the tree is drawn there


# --- a clock that is off


@pytest.mark.parametrize("code", ["InvalidTimeStamp.Expired", "IllegalTimestamp"])
def test_a_wrong_clock_is_corrected_once_from_the_services_date(stub: Stub, code: str) -> None:
    there = time.time() + 3600
    stub.answer({"Code": code}, 400, date=formatdate(there, usegmt=True))
    stub.answer({})
    stub.answer({})
    client = stub.client()
    with pytest.warns(ClockSkewWarning, match="-3600 seconds|-3599 seconds") as caught:
        client.list_jobs()
    assert caught[0].filename == __file__
    client.list_jobs()  # the right time from the start, and no second warning
    from email.utils import parsedate_to_datetime

    sent = [parsedate_to_datetime(request.headers["date"]).timestamp() for request in stub.requests]
    assert sent[0] < there - 3590
    assert all(abs(at - there) < 10 for at in sent[1:])


def test_a_service_that_keeps_refusing_the_time_is_believed(stub: Stub) -> None:
    for _ in range(2):
        stub.answer({"Code": "InvalidTimeStamp.Expired"}, 400, date=formatdate(time.time() + 3600, usegmt=True))
    with pytest.warns(ClockSkewWarning), pytest.raises(ClientError, match="Expired"):
        stub.client().list_jobs()
    assert len(stub.requests) == 2


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_without_a_date_the_refusal_stands(stub: Stub, date: str) -> None:
    stub.answer({"Code": "InvalidTimeStamp.Expired"}, 400, date=date)
    with pytest.raises(ClientError, match="Expired"):
        stub.client().list_jobs()
    assert len(stub.requests) == 1


@pytest.mark.parametrize("zone", [" GMT", " -0000", " +0000", ""])
def test_a_date_of_the_service_is_utc_wherever_we_are(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert date_of(Response(200, {"date": f"Tue, 30 Jun 2015 08:00:00{zone}"}, b"")) == 1_435_651_200
    finally:
        monkeypatch.undo()
        time.tzset()
