"""use_cassette: modes, order, errors, waiting, threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from batchcompute import (
    BatchComputeError,
    Client,
    Config,
    ConfigError,
    ConnectError,
    RequestTimeoutError,
    ResponseLostError,
    RetryConfig,
    ServerError,
)
from batchcompute.testing import StubTransport, UnrecordedRequestError, replay
from batchcompute.testing.cassette import Exchange, read_cassette, write_cassette
from batchcompute.wire import Response

QUICK = Config(retry=RetryConfig(base_wait=0.001, max_wait=0.002))


def describe(**more: Any) -> dict[str, Any]:
    task = {"PackageUri": "oss://b/w.tar.gz", "ProgramName": "w.py", "ImageId": "img-1", "Timeout": 60, **more}
    return {"JobName": "x", "Priority": 1, "TaskDag": {"TaskDescMap": {"Work": task}, "Dependencies": {}}}


def state(word: str) -> dict[str, Any]:
    return {"ResourceId": "job-1", "State": word, "OwnerId": 77}


def test_once_records_and_then_replays(
    path: Path, stub: StubTransport, offline: Callable[[], AbstractContextManager[None]]
) -> None:
    stub.answer({})
    for _ in range(3):
        with replay.use_cassette(path) as plugin:
            assert list(Client("cn-qingdao", "id", "secret", plugins=[stub, plugin]).list_jobs()) == []
    assert len(stub.requests) == 1


def test_record_replaces_the_file(path: Path, stub: StubTransport, record: Callable[..., Any]) -> None:
    stub.answer({})
    record(lambda client: client.list_jobs())
    stub.answer({})
    record(lambda client: client.list_images())
    assert [exchange.target for exchange in read_cassette(path)] == ["/images"]


def test_a_session_that_raises_is_not_kept(path: Path, stub: StubTransport, record: Callable[..., Any]) -> None:
    stub.answer({})
    record(lambda client: client.list_jobs())
    before = path.read_bytes()
    stub.answer({})

    def broken(client: Client) -> None:
        client.list_images()
        raise LookupError

    with pytest.raises(LookupError):
        record(broken)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_session_without_requests_leaves_no_file(path: Path, record: Callable[..., Any]) -> None:
    record(lambda client: None)
    assert not path.exists()


def test_a_missing_cassette_is_named_at_the_first_request(path: Path, play: Callable[..., Any]) -> None:
    play(lambda client: None)
    with pytest.raises(UnrecordedRequestError, match=r"no cassette .*session\.yaml: record"):
        play(lambda client: client.list_jobs())


@pytest.mark.parametrize("text", ["", "nonsense", "interactions: [1]", "- request: {}\n  response: {}\n"])
def test_a_file_that_is_no_cassette_is_named(path: Path, play: Callable[..., Any], text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"session\.yaml is not a cassette"):
        play(lambda client: client.list_jobs())


def test_wrong_arguments(path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'replay'"), replay.use_cassette(path, "repaly"):  # type: ignore[arg-type]  # wrong on purpose
        pass
    with pytest.raises(ConfigError, match="list of values"), replay.use_cassette(path, scrub="secret"):
        pass
    with pytest.raises(ConfigError, match="not empty"), replay.use_cassette(path, scrub=[""]):
        pass


def test_polls_are_replayed_in_order_and_the_last_answer_stays(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    def poll(client: Client) -> list[str]:
        return [client.get_job("job-1").State for _ in range(4)]

    for word in ("Waiting", "Running", "Running", "Terminated"):
        stub.answer(state(word))
    assert record(poll) == ["Waiting", "Running", "Running", "Finished"]
    assert play(lambda client: poll(client) + poll(client)) == [
        "Waiting",
        "Running",
        "Running",
        "Finished",
        *["Finished"] * 4,
    ]


def test_a_change_is_never_replayed_twice(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    def create(client: Client) -> str:
        return client.create_job(describe()).JobId

    stub.answer({"ResourceId": "job-1"}, 201)
    stub.answer({"ResourceId": "job-2"}, 201)
    record(lambda client: [create(client), create(client)])

    def again(client: Client) -> None:
        assert [create(client), create(client)] == ["job-1", "job-2"]
        with pytest.raises(UnrecordedRequestError, match="POST /jobs was recorded 2 times, and is asked for once more"):
            create(client)

    play(again)


@pytest.mark.parametrize("call", ["stop_job", "start_job", "delete_job"])
def test_every_change_is_used_up(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any], call: str
) -> None:
    stub.answer()
    record(lambda client: getattr(client, call)("job-1"))

    def twice(client: Client) -> None:
        getattr(client, call)("job-1")
        with pytest.raises(UnrecordedRequestError, match="recorded once"):
            getattr(client, call)("job-1")

    play(twice)


def test_the_nearest_recorded_request_is_named(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    stub.always = Response(200, {}, b'{"ResourceId": "job-1", "State": "Running"}')
    record(lambda client: [client.get_job("job-1"), client.list_tasks("job-77")])

    def ask(client: Client) -> None:
        with pytest.raises(UnrecordedRequestError) as caught:
            client.get_job("job-2")
        assert caught.value.nearest == "GET /jobs/job-1"
        assert "nearest that was is GET /jobs/job-1" in str(caught.value)
        with pytest.raises(UnrecordedRequestError, match="nearest that was is GET"):
            client.list_images()

    play(ask)


def test_the_place_where_a_body_differs_is_named(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    stub.answer({"ResourceId": "job-1"}, 201)
    record(lambda client: client.create_job(describe(InstanceCount=2, EnvironmentVariables={"A": "canary-value-77"})))
    with pytest.raises(UnrecordedRequestError, match=r"differs at TaskDag\.TaskDescMap\.Work\.InstanceCount") as caught:
        play(lambda client: client.create_job(describe(InstanceCount=3, EnvironmentVariables={"A": "canary-value-78"})))
    assert "canary" not in str(caught.value)


def test_an_unrecorded_request_is_not_retried(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    stub.answer({})
    record(lambda client: client.list_jobs())
    with pytest.raises(UnrecordedRequestError) as caught:
        play(lambda client: client.list_images())
    assert caught.value.attempts == 1
    assert isinstance(caught.value, BatchComputeError)


@pytest.mark.parametrize("kind", [ConnectError, ResponseLostError, RequestTimeoutError])
def test_connection_errors_are_recorded_as_such(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any], kind: Any
) -> None:
    def fail(client: Client) -> object:
        with pytest.raises(kind, match="gone") as caught:
            client.list_jobs()
        return caught.value.sent

    for _ in range(4):
        stub.fail(kind("the service is gone"))
    assert record(fail) == play(fail)


def test_retries_are_replayed_without_waiting(
    stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    stub.fail(ConnectError("not yet"))
    stub.answer({"Code": "Busy", "Message": "later"}, 503, {"Retry-After": "0"})
    stub.answer({})
    assert list(record(lambda client: client.list_jobs())) == []
    assert len(stub.requests) == 3
    began = time.monotonic()
    slow = Config(retry=RetryConfig(base_wait=1000, max_wait=1000, deadline=10_000))
    assert list(play(lambda client: client.list_jobs(), config=slow)) == []
    assert time.monotonic() - began < 5


def test_a_long_retry_after_takes_no_time(stub: StubTransport, path: Path, play: Callable[..., Any]) -> None:
    busy = Response(503, {"retry-after": "300"}, b'{"Code":"Busy","Message":"later"}')
    write_cassette(path, [Exchange("GET", "/jobs", busy), Exchange("GET", "/jobs", Response(200, {}, b"{}"))])
    began = time.monotonic()
    play(lambda client: client.list_jobs(), config=Config(retry=RetryConfig(deadline=1000)))
    assert time.monotonic() - began < 5
    # as in the recorded session, the policy gives up when the wait would end too late
    with pytest.raises(ServerError, match="later"):
        play(lambda client: client.list_jobs(), config=Config(retry=RetryConfig(deadline=10)))
