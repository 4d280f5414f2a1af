"""Canaries: an access key secret, a token or an environment variable never shows where people look."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import threading
import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from batchcompute import (
    BatchComputeError,
    Client,
    Config,
    ConfigError,
    ConnectError,
    Credentials,
    ResponseLostError,
    RetryConfig,
    TransportConfig,
    ValidationError,
)
from batchcompute.hooks import AttemptContext, hookimpl
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.server import Handler, Server
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


class Frames:
    """Finds a text in the variables of our own frames of an error, as tools that record variables would."""

    def __init__(self, *wanted: str) -> None:
        self._wanted = wanted

    def find(self, error: BaseException | None) -> list[str]:
        found = []
        while error is not None:
            for frame, line in traceback.walk_tb(error.__traceback__):
                path = frame.f_code.co_filename
                if f"{os.sep}batchcompute{os.sep}" in path:
                    names = [name for name, value in frame.f_locals.items() if self._has(value)]
                    found += [f"{path}:{line} {name}" for name in names]
            error = error.__cause__ or error.__context__
        return found

    def _has(self, value: object, depth: int = 6) -> bool:
        if isinstance(value, (bytes, bytearray)):
            value = value.decode("latin-1")
        if isinstance(value, str):
            return any(text in value for text in self._wanted)
        if depth and isinstance(value, Mapping):
            return any(self._has(part, depth - 1) for pair in value.items() for part in pair)
        if depth and isinstance(value, (list, tuple, set, frozenset)):
            return any(self._has(part, depth - 1) for part in value)
        return any(text in repr(value) for text in self._wanted)


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        *((fault, False) for fault in ("refused", "cut", "error", "timeout", "proxy", "unusable header")),
        *((fault, True) for fault in ("cut", "error", "timeout", "unusable header")),
    ],
)
def test_no_frame_of_ours_has_a_token_in_its_variables(server: Server, fault: str, kept: bool) -> None:
    """kept: over a connection that an earlier call has left open."""
    release = threading.Event()
    url, transport = f"http://127.0.0.1:{server.server_port}", TransportConfig()
    plugins: list[object] = []
    match fault:
        case "refused":
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                url = "http://{}:{}".format(*taken.getsockname())
        case "cut":
            server.reply = cut
        case "error":
            server.reply = lambda handler: handler.say(b'{"Code":"X"}', 500)
        case "timeout":
            server.reply = lambda handler: release.wait(10)
        case "proxy":
            server.reply = cut
            url, transport = "http://batch.example", TransportConfig(http_proxy=url)
        case "unusable header":
            plugins = [Signer(when=1 if kept else 0)]
    broken = server.reply
    config = Config(retry=RetryConfig(attempts=2, base_wait=0), transport=transport)
    with Client(url, "testid", SECRET, security_token=TOKEN, config=config, plugins=plugins) as client:
        if kept:
            server.reply = lambda handler: handler.say(b"{}")
            client.list_jobs()
            server.reply = broken
        with pytest.raises((BatchComputeError, ValueError)) as caught:
            client.list_jobs(timeout=0.5 if fault == "timeout" else 30)
    release.set()
    assert Frames(TOKEN, "acs testid:").find(caught.value) == []


def cut(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 2")
    handler.close_connection = True


class Signer:
    """Signs what cannot be sent, after so many calls."""

    def __init__(self, when: int) -> None:
        self.left = when

    @hookimpl
    def sign_request(self, ctx: AttemptContext) -> dict[str, str]:
        self.left -= 1
        if self.left >= 0:
            return {"authorization": "acs testid:x"}
        return {"authorization": "acs testid:x\r\ny", "x-acs-security-token": TOKEN}
