"""The ten operations: what is sent for each (protocol 1.2, 1.3)."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest

from batchcompute import Client, CreateResponse, Job, JobDescription, ListResponse
from batchcompute.operations import OPERATIONS, Call
from batchcompute.values.properties import Origin
from batchcompute.values.responses import JobDescriptionResponse, JobResponse
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

CALLS: dict[str, tuple[Callable[[Client], Any], str, str, bytes]] = {
    "list_jobs": (lambda client: client.list_jobs(), "GET", "/jobs", b""),
    "get_job": (lambda client: client.get_job("job-1"), "GET", "/jobs/job-1", b""),
    "get_job_description": (
        lambda client: client.get_job_description("job-1"),
        "GET",
        "/jobs/job-1/description",
        b"",
    ),
    "update_job_priority": (
        lambda client: client.update_job_priority("job-1", 200),
        "PUT",
        "/jobs/job-1/Priority",
        b"200",
    ),
    "stop_job": (lambda client: client.stop_job("job-1"), "PUT", "/jobs/job-1?Action=Stop", b""),
    "start_job": (lambda client: client.start_job("job-1"), "PUT", "/jobs/job-1?Action=Start", b""),
    "delete_job": (lambda client: client.delete_job("job-1"), "DELETE", "/jobs/job-1", b""),
    "list_tasks": (lambda client: client.list_tasks("job-1"), "GET", "/jobs/job-1/tasks", b""),
    "list_images": (lambda client: client.list_images(), "GET", "/images", b""),
    "get_region": (lambda client: client.get_region(), "GET", "/-/region", b""),
}
BEYOND = {"list_job_details", "get_job_details", "get_surroundings", "get_log"}
"""Not asked of the cloud: test_details.py, test_surroundings.py and test_logs.py have them."""
PIECES = {"get_log": "read_log"}
"""Operations that another method of the Client repeats until it has all."""
ON_JOBS = {name: call for name, call in CALLS.items() if "job-1" in call[2]}
operations = pytest.mark.parametrize(("call", "method", "target", "body"), CALLS.values(), ids=CALLS)


def test_all_are_here() -> None:
    assert {*CALLS, "create_job", *BEYOND} == set(OPERATIONS)
    assert all(callable(getattr(Client, PIECES.get(name, name))) for name in OPERATIONS)


@operations
def test_method_target_and_body(stub: Stub, call: Any, method: str, target: str, body: bytes) -> None:
    stub.answer({})
    call(stub.client())
    (request,) = stub.requests
    assert (request.method, request.target, request.body) == (method, target, body)
    assert stub.endpoints[0].url == "https://batchcompute.cn-qingdao.aliyuncs.com:443"


@operations
def test_headers(stub: Stub, call: Any, method: str, target: str, body: bytes) -> None:
    stub.answer({})
    call(stub.client(security_token="tok"))
    headers = dict(stub.requests[0].headers)
    assert headers.pop("authorization").startswith("acs testid:")
    assert len(headers.pop("x-acs-signature-nonce")) == 32
    assert headers.pop("date").endswith(" GMT")
    assert headers.pop("user-agent").startswith("batchcompute-python/")
    assert headers.pop("contentmd5", "") == (md5(body).hexdigest() if body else "")
    assert headers == {
        "accept": "application/json",
        "content-type": "application/json",
        "x-acs-access-key-id": "testid",
        "x-acs-region-id": "cn-qingdao",
        "x-acs-security-token": "tok",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
    }


def test_without_a_token_none_is_sent(stub: Stub) -> None:
    stub.answer({})
    stub.client().list_jobs()
    assert "x-acs-security-token" not in stub.requests[0].headers


@pytest.mark.parametrize("form", [dict, json.dumps, JobDescription])
def test_create_job(stub: Stub, form: Callable[[dict[str, Any]], Any]) -> None:
    stub.answer({"ResourceId": "job-7"}, 201)
    description = describe_find(InstanceCount="4", ProgramArguments="查找")
    created = stub.client().create_job(form(description))
    (request,) = stub.requests
    assert (request.method, request.target) == ("POST", "/jobs")
    assert request.body.isascii()  # the original services decode ASCII (protocol 1.5)
    sent = json.loads(request.body)
    assert sent == JobDescription(description).detail()
    task = sent["TaskDag"]["TaskDescMap"]["Find"]
    assert (task["InstanceCount"], task["ProgramArguments"], task["ProgramType"]) == (4, "查找", "python")
    assert (sent["JobTag"], sent["Priority"]) == ("Batchcompute", 0)
    assert request.headers["contentmd5"] == md5(request.body).hexdigest()
    assert (created.JobId, created.StatusCode, created.RequestId) == ("job-7", 201, "REQ-1")
    assert created.Date == "Tue, 30 Jun 2015 08:00:00 GMT"


@pytest.mark.parametrize(
    "job",
    [
        "job-1",
        CreateResponse.wrap({"ResourceId": "job-1"}, Origin()),
        Job({"JobId": "job-1"}),
        JobResponse.wrap({"ResourceId": "job-1"}, Origin()),
        ListResponse(Job, [{"ResourceId": "job-1"}])[0],
    ],
    ids=["str", "CreateResponse", "Job", "GetResponse", "from a list"],
)
@pytest.mark.parametrize("name", ON_JOBS)
def test_a_job_is_named_in_many_ways(stub: Stub, name: str, job: Any) -> None:
    stub.answer({})
    more = [200] if name == "update_job_priority" else []
    getattr(stub.client(), name)(job, *more)
    assert stub.requests[0].target == ON_JOBS[name][2]


@pytest.mark.parametrize("name", ON_JOBS)
def test_an_empty_or_wrong_job_is_refused(stub: Stub, name: str) -> None:
    client = stub.client()
    more = [200] if name == "update_job_priority" else []
    for empty in ("", "  ", Job(), CreateResponse.wrap({}, Origin())):
        with pytest.raises(ValueError, match="job id is empty"):
            getattr(client, name)(empty, *more)
    for wrong in (None, 5, b"job-1", JobDescription(), JobDescriptionResponse.wrap({}, Origin()), {"JobId": "job-1"}):
        with pytest.raises(TypeError, match="a job is given by its id"):
            getattr(client, name)(wrong, *more)
    assert stub.requests == []


@pytest.mark.parametrize(
    ("job", "target"),
    [
        ("a/b", "/jobs/a%2Fb"),
        ("a?Action=Stop", "/jobs/a%3FAction%3DStop"),
        ("a#b", "/jobs/a%23b"),
        ("a%2Fb", "/jobs/a%252Fb"),
        ("ä", "/jobs/%C3%A4"),
        ("../images", "/jobs/..%2Fimages"),
        ("a\r\nHost: x", "/jobs/a%0D%0AHost%3A%20x"),
    ],
)
def test_a_strange_job_id_cannot_change_the_path(stub: Stub, job: str, target: str) -> None:
    stub.answer({})
    stub.client().get_job(job)
    assert stub.requests[0].target == target


@pytest.mark.parametrize("job", [".", ".."])
def test_a_job_id_that_servers_take_for_a_folder_is_refused(stub: Stub, job: str) -> None:
    """DELETE /jobs/.. is DELETE / to whatever resolves dots on the way."""
    with pytest.raises(ValueError, match="job id"):
        stub.client().delete_job(job)
    assert stub.requests == []


@operations
def test_every_call_takes_a_timeout(stub: Stub, call: Any, method: str, target: str, body: bytes) -> None:
    stub.answer({})
    call(stub.client(timeout=7.0))
    (timeout,) = (request.timeout for request in stub.requests)
    assert timeout is not None
    assert 6 < timeout <= 7


def test_the_calls_timeout_wins(stub: Stub) -> None:
    stub.answer({})
    stub.answer({})
    client = stub.client(timeout=7.0)
    client.list_jobs(timeout=100)
    timeout = stub.requests[0].timeout
    assert timeout is not None
    assert 99 < timeout <= 100
    stub.client().list_jobs()
    assert stub.requests[1].timeout is None
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="more than 0"):
            client.list_jobs(timeout=bad)
    wrong: Any
    for wrong in ("5", True, [1]):
        with pytest.raises(TypeError, match="must be seconds"):
            client.list_jobs(timeout=wrong)
        with pytest.raises(TypeError, match="must be seconds"):
            stub.client(timeout=wrong)


def test_the_table_has_what_a_service_needs() -> None:
    """No two operations share verb, path and action; a route is found by the path and chosen by the action."""
    table = OPERATIONS.values()
    assert len({(operation.method, operation.path, operation.action) for operation in table}) == len(table) == 15
    assert [operation.name for operation in table if "?" in operation.path] == []
    assert {operation.name: operation.action for operation in table if operation.action} == {
        "stop_job": "Stop",
        "start_job": "Start",
    }
    assert {operation.name for operation in table if operation.status != 200} == {"create_job"}
    assert OPERATIONS["create_job"].status == 201


def test_a_call_hides_its_body() -> None:
    """It may hold environment variables."""
    call = Call(OPERATIONS["create_job"], body=b'{"PASSWORD": "x"}', timeout=5.0)
    assert "PASSWORD" not in repr(call)
    assert call.target == "/jobs"
    assert Call(OPERATIONS["stop_job"], "a/b").target == "/jobs/a%2Fb?Action=Stop"
