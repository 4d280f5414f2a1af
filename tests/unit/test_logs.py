"""Logs that the service gives in pieces: which services are asked, and what a plugin for objects is left."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from batchcompute import Client
from batchcompute.hooks import LogContext, hookimpl
from tests.support.stub import Stub

TASK: dict[str, Any] = {
    "ProgramName": "x",
    "PackageUri": "oss://b/p.tar.gz",
    "ImageId": "i",
    "Timeout": 1,
    "InstanceCount": 1,
}


def described(**more: Any) -> dict[str, Any]:
    return {"JobName": "j", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": TASK | more}}}


def piece(data: bytes, size: int, file: str = "7") -> dict[str, Any]:
    return {"Data": b64encode(data).decode(), "Size": size, "File": file}


def elsewhere(stub: Stub) -> Client:
    return Client("http://127.0.0.1:9", "id", "secret", plugins=[stub])


def test_the_pieces_are_put_together_and_are_of_one_file(stub: Stub) -> None:
    for answer in (described(), piece(b"", 6), piece(b"abc", 6), piece(b"def", 6)):
        stub.answer(answer)
    assert elsewhere(stub).read_log("job-1", "A", 0, "stdout") == b"abcdef"
    asked = [request.target.partition("?")[2] for request in stub.requests[1:]]
    same = "Task=A&Instance=0&Stream=stdout"
    assert asked == [
        f"{same}&Start=0&Limit=0",
        f"{same}&Start=0&Limit=262144&File=7",
        f"{same}&Start=3&Limit=262144&File=7",
    ]


def test_a_log_that_became_shorter_ends(stub: Stub) -> None:
    for answer in (described(), piece(b"", 6), piece(b"abc", 6), piece(b"", 2)):
        stub.answer(answer)
    assert elsewhere(stub).read_log("job-1", "A") == b"abc"


def test_a_log_that_goes_away_while_it_is_read_is_an_error(stub: Stub) -> None:
    for answer in (described(), piece(b"", 6), {"Missing": "it runs again"}):
        stub.answer(answer)
    with pytest.raises(OSError, match="the log is gone: it runs again"):
        elsewhere(stub).read_log("job-1", "A")


def test_no_log_is_none_and_no_attempt_a_lookup_error(stub: Stub) -> None:
    client = elsewhere(stub)
    for answer in (described(), {"Missing": "it has not started"}):
        stub.answer(answer)
    assert client.read_log("job-1", "A") is None
    details = {"Reason": "", "Round": 1, "Slots": {"Total": 1, "Taken": 0, "ByJob": {}}, "Tasks": {}}
    details["Tasks"] = {"A": {"Reason": "", "MaxRetryCount": 0, "Leftovers": 0, "Instances": {}, "More": 0}}
    for answer in (described(), details, {"Missing": "attempts with a log: 1"}):
        stub.answer(answer)
    with pytest.raises(LookupError, match="attempts with a log: 1"):
        client.read_log("job-1", "A", attempt=3)


def test_an_attempt_that_runs_is_the_newest_though_its_host_is_not_stored_yet(stub: Stub) -> None:
    asked: list[LogContext] = []

    class Watch:
        @hookimpl
        def fetch_log(self, ctx: LogContext) -> None:
            asked.append(ctx)

    attempt: dict[str, Any] = {"Round": 1, "EndTime": 0, "WorkerEndTime": 0, "ExitCode": None, "Signal": None}
    attempt |= {"Reason": "", "Host": "", "TimedOut": False, "Leftovers": [], "State": "Running", "StartTime": 1.0}
    for begun, newest in ((0, 1), (2.0, 2)):
        attempts = [
            attempt | {"Attempt": 1, "Host": "h", "WorkerStartTime": 1.0},
            attempt | {"Attempt": 2, "WorkerStartTime": begun},
        ]
        instance = {"State": "Running", "Reason": "", "Retries": 1, "Attempts": attempts}
        task = {"Reason": "", "MaxRetryCount": 1, "Leftovers": 0, "Instances": {"0": instance}, "More": 0}
        details = {"Reason": "", "Round": 1, "Slots": {"Total": 1, "Taken": 0, "ByJob": {}}, "Tasks": {"A": task}}
        for answer in (described(), details, piece(b"", 0)):
            stub.answer(answer)
        with Client("http://127.0.0.1:9", "id", "secret", plugins=[stub, Watch()]) as client:
            client.read_log("job-1", "A", attempt=2)
        assert asked.pop().newest_attempt == newest


def test_a_region_of_the_cloud_is_not_asked(stub: Stub) -> None:
    stub.answer(described())
    assert stub.client().read_log("job-1", "A") is None
    assert len(stub.requests) == 1


def test_a_log_with_a_redirect_path_is_left_to_the_objects(stub: Stub) -> None:
    stub.answer(described(StdoutRedirectPath="oss://b/logs/"))
    assert elsewhere(stub).read_log("job-1", "A", 0, "stdout") is None
    assert all("/log" not in request.target for request in stub.requests)


def test_a_service_that_does_not_know_logs_may_know_details(stub: Stub) -> None:
    client = elsewhere(stub)
    stub.answer(described())
    stub.answer({"Code": "InvalidUrlPattern"}, 400)
    assert client.read_log("job-1", "A") is None
    stub.answer(described())
    assert client.read_log("job-1", "A") is None
    assert len(stub.requests) == 3, "it is not asked again for logs"
    stub.answer({"Slots": {"Total": 1, "Taken": 0, "ByJob": {}}, "Jobs": {}})
    assert client.list_job_details() is not None
