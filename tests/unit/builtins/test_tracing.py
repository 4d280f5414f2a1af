"""Events of calls, attempts and decisions: what is in them, where they go, and that they hold no secrets."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from batchcompute import ClientError, Config, DecodeError, PluginConfig, ResponseLostError, RetryConfig, TracingConfig
from batchcompute.builtins import tracing
from batchcompute.hooks import hookimpl
from batchcompute.wire import Endpoint
from tests.support.descriptions import describe_find
from tests.support.stub import Stub, response

CANARY = "zq9-canary"


def traced(level: str, style: str = "json", **config: Any) -> Config:
    return Config(**{"tracing": TracingConfig(level, style), "retry": RetryConfig(base_wait=0), **config})


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def usual_level() -> Iterator[None]:
    """As in a program that has not configured logging; the suite logs at DEBUG."""
    logger = logging.getLogger("batchcompute")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What reaches a handler of the program."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger = logging.getLogger("batchcompute")
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, Keep()])
    return records


def lines(records: list[logging.LogRecord]) -> list[dict[str, Any]]:
    return events("\n".join(record.getMessage() for record in records))


def test_an_attempt_and_a_call(stub: Stub, handled: list[logging.LogRecord]) -> None:
    stub.answer({"Code": "InternalError", "Message": CANARY}, 503)
    stub.answer({"ResourceId": "job-1"})
    stub.client(config=traced("debug")).get_job("job-1")
    logged = [event for event in lines(handled) if event["event"] != "decision"]
    for event in logged:
        assert event.pop("timestamp").endswith("Z")
        assert 0 <= event.pop("elapsed") < 60
    common = {"operation": "get_job", "region": "cn-qingdao", "bytes_sent": 0, "request_id": "REQ-1"}
    where = {
        "endpoint": "batchcompute.cn-qingdao.aliyuncs.com",
        "transport": "urllib3",
        "credentials": "arguments",
        "level": "debug",
        "event": "attempt",
    }
    failed = {"status": 503, "bytes_received": 50, "error": "ServerError", "code": "InternalError"}
    assert logged == [
        common | where | failed | {"attempt": 1},
        common | where | {"attempt": 2, "status": 200, "bytes_received": 23},
        common | {"level": "info", "event": "call", "attempts": 2, "status": 200, "bytes_received": 23},
    ]


def broken_off(status: int, request_id: str) -> ResponseLostError:
    error = ResponseLostError(CANARY)
    error.status, error.request_id = status, request_id
    return error


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            response({"Code": "NotThere"}, 404),
            {"status": 404, "request_id": "REQ-1", "bytes_received": 20, "code": "NotThere"},
        ),
        (response(b"{"), {"status": 200, "request_id": "REQ-1", "bytes_received": 1}),
        (broken_off(200, "REQ-2"), {"status": 200, "request_id": "REQ-2"}),
        (broken_off(0, ""), {}),
    ],
)
def test_a_failed_call_says_what_a_good_one_says(
    stub: Stub, handled: list[logging.LogRecord], answer: Any, expected: dict[str, Any]
) -> None:
    stub.prepare([answer])
    with pytest.raises((ClientError, DecodeError, ResponseLostError)) as caught:
        stub.client(config=traced("warning", retry=RetryConfig(attempts=1))).get_job("job-1")
    (event,) = lines(handled)
    assert event["event"] == "call"
    assert event.pop("error") == type(caught.value).__name__
    assert {key: event[key] for key in event if key in ("status", "request_id", "bytes_received", "code")} == expected


def test_decisions_name_the_plugin(stub: Stub, handled: list[logging.LogRecord]) -> None:
    class Detour:
        name = "detour"

        @hookimpl
        def resolve_endpoint(self, ctx: Any) -> Endpoint:
            return Endpoint("http", "detour.example", 80, "x")

    stub.answer(b"{}")
    stub.client(plugins=(Detour(),), config=traced("debug")).list_jobs()
    logged = {event["hook"]: event for event in lines(handled) if event["event"] == "decision"}
    assert (logged["resolve_endpoint"]["plugin"], logged["resolve_endpoint"]["answer"]) == (
        "detour",
        "http://detour.example:80 by urllib3",
    )
    assert (logged["resolve_credentials"]["plugin"], logged["resolve_credentials"]["answer"]) == (
        "credentials",
        "arguments",
    )
    assert (logged["sign_request"]["plugin"], logged["sign_request"]["answer"]) == ("signing", "dict")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("off", ["warning"]), ("warning", ["warning"]), ("info", ["info", "warning"]), ("debug", ["info", "warning"])],
)
def test_levels_and_off_is_that_of_the_logger(
    level: str, expected: list[str], stub: Stub, handled: list[logging.LogRecord]
) -> None:
    client = stub.client(config=traced(level))
    stub.answer(b"{}")
    client.list_jobs()
    stub.answer(b"", 404)
    with pytest.raises(ClientError):
        client.list_jobs()
    assert [event["level"] for event in lines(handled) if event["event"] == "call"] == expected
    assert [record.levelname.lower() for record in handled if "attempts" in record.getMessage()] == expected


def test_console_is_one_line_of_pairs(stub: Stub, handled: list[logging.LogRecord]) -> None:
    stub.answer(b"{}")
    stub.client(config=traced("info", "console")).list_jobs()
    line = handled[0].getMessage()
    assert line.startswith("timestamp='")
    assert " level='info' event='call' attempts=1 operation='list_jobs' region='cn-qingdao' elapsed=" in line
    assert "\n" not in line


def test_two_clients_keep_their_own_ways(stub: Stub, handled: list[logging.LogRecord]) -> None:
    before = list(logging.getLogger("batchcompute").handlers)
    loud, quiet, off = (stub.client(config=traced(*args)) for args in (("debug",), ("info", "console"), ("off",)))
    for client in (loud, quiet, off, loud):
        stub.answer(b"{}")
        client.list_jobs()
    calls = [record.getMessage()[0] for record in handled if "'call'" in record.getMessage() or '"call"' in record.msg]
    assert calls == ["{", "t", "{"]
    assert logging.getLogger("batchcompute").handlers == before


def test_off_leaves_it_to_the_program(
    stub: Stub, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    client = stub.client(config=traced("off"))
    stub.answer(b"{}")
    client.list_jobs()
    assert caplog.messages == []
    with caplog.at_level(logging.DEBUG, "batchcompute"):
        stub.answer(b"{}")
        client.list_jobs()
    assert [event["event"] for event in events("\n".join(caplog.messages))] == ["attempt", "call"]
    assert capsys.readouterr() == ("", "")


def test_logging_disable_has_the_last_word(stub: Stub, handled: list[logging.LogRecord]) -> None:
    logging.disable(logging.INFO)
    try:
        stub.answer(b"{}")
        stub.client(config=traced("debug")).list_jobs()
    finally:
        logging.disable(logging.NOTSET)
    assert handled == []


def test_contextvars_of_the_program_are_merged(stub: Stub, handled: list[logging.LogRecord]) -> None:
    stub.answer(b"{}")
    with structlog.contextvars.bound_contextvars(trace_id="t-1", operation="theirs", thing=object()):
        stub.client(config=traced("info")).list_jobs()
    (event,) = lines(handled)
    assert (event["trace_id"], event["operation"]) == ("t-1", "list_jobs")


def test_blocked_is_silent(stub: Stub, handled: list[logging.LogRecord]) -> None:
    stub.answer(b"{}")
    stub.client(config=traced("debug", plugins=PluginConfig(frozenset({"tracing"})))).list_jobs()
    assert handled == []


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_event_holds_a_secret(style: str, stub: Stub, handled: list[logging.LogRecord]) -> None:
    config = traced("debug", style, access_key_secret=CANARY)
    client = stub.client(security_token=CANARY, config=config)
    stub.answer({"ResourceId": "job-1"}, 201)
    client.create_job(describe_find(EnvironmentVariables={"P": CANARY}, ProgramArguments=CANARY))
    stub.answer({"Code": "Bad", "Message": CANARY}, 400, x_other=CANARY)
    with pytest.raises(ClientError):
        client.list_jobs()
    stub.prepare([ConnectionError(CANARY)])
    with pytest.raises(ConnectionError):
        client.list_jobs()
    logged = "\n".join(record.getMessage() for record in handled)
    assert "attempt" in logged
    for secret in ("zq9", "testsecret", "acs testid", "signature"):
        assert secret not in logged


def test_only_listed_keys_are_reported(handled: list[logging.LogRecord]) -> None:
    tracing._tell(traced("debug"), logging.DEBUG, "call", operation="x", secret=CANARY)
    assert "zq9" not in handled[0].getMessage()
    assert "operation" in handled[0].getMessage()


PROGRAM = """
import logging, sys
from batchcompute import Client, Config, TracingConfig
from batchcompute.hooks import hookimpl
class Failing:
    name = "urllib3"
    def open(self, settings): return self
    def send(self, request): raise KeyError("x")
    def close(self): pass
class Plugin:
    @hookimpl
    def register_transports(self, ctx): return [Failing()]
def call(level):
    clients = [
        Client("cn-qingdao", "a", "b", plugins=[Plugin()], config=Config(tracing=TracingConfig(level))) for _ in "123"
    ]
    try:
        clients[0].list_jobs()
    except KeyError:
        pass
"""


def program(code: str) -> list[str]:
    """What a program without any logging of its own writes to stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_off_loads_no_structlog() -> None:
    assert program('call("off"); assert "structlog" not in sys.modules') == []


def test_events_go_to_stderr_once_where_the_program_logs_nothing() -> None:
    (line,) = program('call("info"); import structlog; assert not structlog.is_configured()')
    assert "event='call'" in line


def test_events_go_to_the_handlers_of_a_program_that_has_some() -> None:
    (line,) = program('logging.basicConfig(format="MINE %(message)s"); call("info")')
    assert line.startswith("MINE timestamp=")


def test_stderr_is_the_one_of_the_moment() -> None:
    assert program('import io; sys.stderr = io.StringIO(); call("info"); assert "call" in sys.stderr.getvalue()') == []


def test_a_program_may_disable_the_logger() -> None:
    assert program('logging.getLogger("batchcompute").disabled = True; call("debug")') == []
