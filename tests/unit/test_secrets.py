"""Canaries: an access key secret, a token or an environment variable never shows where people look."""

from __future__ import annotations

import logging
import pickle
import traceback
from typing import Any

import pytest

from batchcompute import (
    BatchComputeError,
    Client,
    ConfigError,
    ConnectError,
    Credentials,
    ResponseLostError,
    ValidationError,
)
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

SECRET, TOKEN, VALUE = "canary-secret", "canary-token", "canary-value"


def assert_clean(*texts: str) -> None:
    for text in texts:
        assert "canary" not in text


@pytest.fixture
def client(stub: Stub) -> Client:
    return Client("cn-qingdao", "testid", SECRET, security_token=TOKEN, plugins=[stub])


def test_reprs(client: Client) -> None:
    credentials = Credentials("testid", SECRET, TOKEN, source="arguments")
    assert_clean(repr(client), str(client), repr(credentials), str(credentials))
    assert "testid" in repr(credentials)
    assert repr(client) == "Client('cn-qingdao')"


@pytest.mark.parametrize(
    "given",
    [
        {"access_key_secret": SECRET},
        {"access_key_id": "id", "security_token": TOKEN},
        {"access_key_id": "id", "access_key_secret": SECRET + "\n\x00"},
        {"access_key_id": "id", "access_key_secret": SECRET + "é"},
        {"access_key_id": "id", "access_key_secret": [SECRET]},
        {"access_key_id": "id", "access_key_secret": SECRET, "security_token": {TOKEN: 1}},
        {"access_key_id": "id", "access_key_secret": SECRET, "security_token": TOKEN + "\r\nx"},
        {"access_key_id": "id", "access_key_secret": SECRET, "endpoint": f"https://id:{SECRET}@host"},
        {"access_key_id": "id", "access_key_secret": SECRET, "human_readable": TOKEN},  # SDK 0.1a13's order
    ],
)
def test_errors_of_the_constructor(given: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, TypeError)) as caught:
        Client(**{"endpoint": "cn-qingdao", **given})
    assert_clean(str(caught.value), repr(caught.value))


def test_logs_at_debug(stub: Stub, client: Client, caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    stub.prepare([ConnectError("refused")])
    stub.answer({"ResourceId": "job-1"}, 201)
    stub.answer(describe_find(EnvironmentVariables={"PASSWORD": VALUE}))
    stub.answer({"Code": "Forbidden", "Message": "no"}, 403)
    with caplog.at_level(logging.DEBUG):
        client.create_job(describe_find(EnvironmentVariables={"PASSWORD": VALUE}))
        client.get_job_description("job-1")
        with pytest.raises(BatchComputeError):
            client.get_job("job-1")
    events = [record.getMessage() for record in caplog.records if record.name == "batchcompute"]
    assert len([event for event in events if "decision" not in event]) == 4 + 3  # attempts and calls
    for needle in ("create_job", "REQ-1", "Forbidden", "cn-qingdao"):
        assert any(needle in event for event in events)
    assert_clean(*events, *(str(vars(record)) for record in caplog.records))
    for request in stub.requests:
        authorization = request.headers["authorization"]
        assert not any(authorization in event for event in events)


def test_nothing_is_printed(stub: Stub, client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    stub.answer({}, 404)
    with pytest.raises(BatchComputeError):
        client.get_job("job-1")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("answer", [ResponseLostError("lost"), ConnectError("refused"), 500, 403, b"not JSON"])
def test_errors_and_their_tracebacks(stub: Stub, client: Client, clock: Clock, answer: Any) -> None:
    if isinstance(answer, Exception):
        stub.prepare([answer] * 5)
    else:
        stub.answer(answer if isinstance(answer, bytes) else {}, 200 if isinstance(answer, bytes) else answer)
        stub.answer({})
    with pytest.raises(BatchComputeError) as caught:
        client.create_job(describe_find(EnvironmentVariables={"PASSWORD": VALUE}))
    shown = "".join(traceback.format_exception(caught.value))
    assert_clean(shown, repr(caught.value), str(caught.value))
    assert_clean(pickle.dumps(caught.value).decode("latin-1"))


def test_validation_shows_what_is_wrong_and_nothing_else(client: Client) -> None:
    with pytest.raises(ValidationError) as caught:
        client.create_job(describe_find(EnvironmentVariables={"PASSWORD": VALUE}, Timeout=0))
    assert_clean(str(caught.value), repr(caught.value))


def test_a_request_shows_no_secrets(stub: Stub, client: Client) -> None:
    """Frames of a traceback and debuggers show reprs: what plugins receive keeps its secrets too."""
    stub.answer({"ResourceId": "job-1"})
    client.create_job(describe_find(EnvironmentVariables={"PASSWORD": VALUE}))
    request = stub.requests[0]
    assert "x-acs-security-token" in request.headers
    assert_clean(repr(request))
    assert request.headers["authorization"] not in repr(request)
