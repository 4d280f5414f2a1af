"""The ranges that a service at a URL of its own answers, and when it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from batchcompute import (
    AuthenticationError,
    Client,
    ConfigError,
    ConnectError,
    JobDescription,
    Ranges,
    ValidationError,
)
from batchcompute.hooks import CallContext, hookimpl
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.stub import Stub, response

ANSWER = {
    "Name": "far",
    "ProgramTypes": ["python", "command"],
    "PackagelessTypes": ["command"],
    "Extensions": ["MaxRetryCount"],
    "Ranges": {"Cpu": [1, None]},
}
COMMAND = {"ProgramType": "command", "PackageUri": "", "ResourceDescription": {"Cpu": 1, "Memory": 2000}}


def _command(**more: Any) -> dict[str, Any]:
    description = describe_find()
    description["TaskDag"]["TaskDescMap"]["Find"] |= COMMAND | more
    return description


def _client(stub: Stub, endpoint: str) -> Client:
    return Client(endpoint, "testid", "testsecret", plugins=[stub])


def test_a_service_that_nobody_declared_is_asked_once(stub: Stub) -> None:
    client = _client(stub, "http://far.example:8888")
    client.check_job(JobDescription(describe_find()))
    assert stub.requests == []
    stub.answer(ANSWER)
    client.check_job(JobDescription(_command()))
    client.check_job(JobDescription(_command(MaxRetryCount=10)))
    with pytest.raises(ValidationError, match=r"MaxRetryCount: is out of range, got 11; allowed: \[0, 10\]"):
        client.check_job(JobDescription(_command(MaxRetryCount=11)))
    with pytest.raises(ValidationError, match="allowed: python, command"):
        client.check_job(JobDescription(_command(ProgramType="perl")))
    assert [(request.method, request.target) for request in stub.requests] == [("GET", "/-/region")]


def test_a_service_says_the_port_of_its_objects() -> None:
    assert Ranges.from_wire({"ObjectsPort": 40123}).objects_port == 40123
    assert Ranges.from_wire({}).objects_port is None
    for wrong in (0, 65536, "80", True, None):
        with pytest.raises(ValueError, match="expected a port"):
            Ranges.from_wire({"ObjectsPort": wrong})


class Asking:
    """A plugin that keeps what it is given for objects."""

    @hookimpl
    def object_store(self, ctx: CallContext) -> None:
        assert ctx.find_oss_endpoint is not None
        self.endpoint = ctx.find_oss_endpoint()
        assert ctx.find_credentials is not None
        self.key = ctx.find_credentials().access_key_id


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("http://far.example:8888", "http://far.example:40123"),
        ("https://far.example", "https://far.example:40123"),
        ("http://[::1]:8888", "http://[::1]:40123"),
        ("cn-qingdao", "https://oss-cn-qingdao.aliyuncs.com"),
    ],
)
def test_the_objects_are_on_the_host_of_the_api_and_a_region_of_the_cloud_has_its_own(
    stub: Stub, where: str, expected: str
) -> None:
    stub.answer({**ANSWER, "ObjectsPort": 40123})
    asking = Asking()
    with Client(where, "testid", "testsecret", plugins=[stub, asking]) as client:
        for _ in range(2):
            with pytest.raises(ConfigError, match="no plugin offers an object store"):
                _ = client.objects
    assert (asking.endpoint, asking.key) == (expected, "testid")
    assert len(stub.requests) == (0 if where == "cn-qingdao" else 1)


def test_a_service_without_an_answer_has_no_objects_and_a_failure_is_raised(stub: Stub) -> None:
    stub.answer({"Code": "InvalidUrlPattern", "Message": "no"}, 404)
    asking = Asking()
    client = Client("http://far.example:8888", "testid", "testsecret", plugins=[stub, asking])
    for _ in range(2):
        with pytest.raises(ConfigError, match="no plugin offers an object store"):
            _ = client.objects
    assert (asking.endpoint, len(stub.requests)) == (None, 1)
    stub.answer({"Code": "InvalidAccessKeyId.NotFound", "Message": "no"}, 404)
    with pytest.raises(AuthenticationError):
        _ = Client("http://far.example:8888", "testid", "testsecret", plugins=[stub, asking]).objects


@pytest.mark.parametrize("answer", [{"Ranges": 3}, {"Ranges": {"Cpu": ["a", "b"]}}, {"ProgramTypes": "python"}, None])
def test_without_an_answer_the_reference_counts(stub: Stub, answer: Any) -> None:
    stub.answer(answer) if answer else stub.answer({"Code": "InvalidUrlPattern", "Message": "no"}, 404)
    client = _client(stub, "http://far.example:8888")
    for _ in range(2):
        with pytest.raises(ValidationError, match=r"allowed: python, php \[reference section 2\.1\]"):
            client.check_job(JobDescription(_command()))
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "failure", [ConnectError("down"), response({}, 503), response({"Code": "InvalidAccessKeyId.NotFound"}, 404)]
)
def test_a_service_that_could_not_answer_is_asked_again(stub: Stub, failure: Any) -> None:
    client = _client(stub, "http://far.example:8888")
    stub.prepare([failure])
    with pytest.raises(ValidationError, match="allowed: python, php"):
        client.check_job(JobDescription(_command()))
    stub.answer(ANSWER)
    client.check_job(JobDescription(_command()))
    assert len(stub.requests) == 2


def test_a_service_that_did_not_know_is_asked_again_after_a_while(stub: Stub, clock: Clock) -> None:
    client = _client(stub, "http://far.example:8888")
    stub.prepare([response({}, 404)])
    for _ in range(2):
        with pytest.raises(ValidationError, match="allowed: python, php"):
            client.check_job(JobDescription(_command()))
    clock.now += 300
    stub.answer(ANSWER)
    client.check_job(JobDescription(_command()))


@pytest.mark.parametrize("endpoint", ["cn-qingdao", "https://batchcompute.cn-beijing.aliyuncs.com"])
def test_the_cloud_is_not_asked(stub: Stub, endpoint: str) -> None:
    with pytest.raises(ValidationError, match="allowed: python, php"):
        _client(stub, endpoint).check_job(JobDescription(_command()))
    assert stub.requests == []
