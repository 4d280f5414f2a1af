"""What the API has no place for: which services are asked, and how their answers are read."""

from __future__ import annotations

from typing import Any

import pytest

from batchcompute import (
    Attempt,
    AuthenticationError,
    Client,
    ClientError,
    DecodeError,
    InstanceDetails,
    JobDetails,
    JobDetailsList,
    Leftover,
    NotFoundError,
    Slots,
    TaskDetails,
)
from tests.support.clock import Clock
from tests.support.stub import Stub, response

SLOTS = {"Total": 4, "Taken": 4, "ByJob": {"job-2": 3, "": 1}}
ATTEMPT = {
    "Attempt": 2,
    "Round": 1,
    "State": "Failed",
    "StartTime": 1.5,
    "EndTime": 2,
    "WorkerStartTime": 1.6,
    "WorkerEndTime": 1.9,
    "ExitCode": None,
    "Signal": 9,
    "Reason": "why",
    "Host": "h",
    "TimedOut": True,
    "Leftovers": [{"Pid": 7, "Command": "sleep", "Signal": "SIGTERM"}],
    "Later": "unknown",
}
INSTANCE = {"State": "Waiting", "Reason": "pause", "Retries": 1, "Attempts": [ATTEMPT]}
TASK = {"Reason": "r", "MaxRetryCount": 3, "Leftovers": 1, "Instances": {"5": INSTANCE}, "More": 2}
DETAILS: dict[str, Any] = {"Reason": "waits", "Round": 2, "Slots": SLOTS, "Tasks": {"A": TASK}}


def _elsewhere(stub: Stub) -> Client:
    return Client("http://127.0.0.1:9", "id", "secret", plugins=[stub])


def test_a_cloud_region_is_not_asked(stub: Stub) -> None:
    client = stub.client()
    assert (client.list_job_details(), client.get_job_details("job-1")) == (None, None)
    assert stub.requests == []


def test_details_are_read(stub: Stub) -> None:
    stub.answer(DETAILS)
    found = _elsewhere(stub).get_job_details("job-1", "a b", 3)
    assert stub.requests[0].target == "/-/jobs/job-1?Task=a%20b&Instance=3"
    attempt = Attempt(2, 1, "Failed", 1.5, 2, 1.6, 1.9, None, 9, "why", "h", True, (Leftover(7, "sleep", "SIGTERM"),))
    task = TaskDetails("r", 3, 1, {5: InstanceDetails("Waiting", "pause", 1, (attempt,))}, 2)
    assert found == JobDetails("waits", 2, Slots(4, 4, {"job-2": 3, "": 1}), {"A": task})


def test_the_list_is_read(stub: Stub) -> None:
    jobs = {"job-1": {"Reason": "waits", "Leftovers": 0}, "job-2": {"Reason": "", "Leftovers": 3}}
    stub.answer({"Slots": SLOTS, "Jobs": jobs})
    found = _elsewhere(stub).list_job_details()
    assert stub.requests[0].target == "/-/jobs"
    assert found == JobDetailsList(Slots(4, 4, {"job-2": 3, "": 1}), {"job-1": "waits"}, {"job-2": 3})


@pytest.mark.parametrize(
    ("status", "code"), [(400, "InvalidUrlPattern"), (404, "NoSuchPath"), (405, "MethodNotAllowed"), (501, "")]
)
def test_a_service_that_does_not_know_the_path_is_asked_once(stub: Stub, status: int, code: str) -> None:
    stub.always = None
    for _ in range(5):  # a 5xx may be tried again
        stub.answer({"Code": code}, status)
    client = _elsewhere(stub)
    assert client.get_job_details("job-1") is None
    asked = len(stub.requests)
    assert client.list_job_details() is None
    assert len(stub.requests) == asked


def test_it_is_asked_again_after_a_while(stub: Stub, clock: Clock) -> None:
    """What answered may have been a gateway, or a service that another one has replaced."""
    client = _elsewhere(stub)
    stub.prepare([response({}, 404)])
    assert client.get_job_details("job-1") is None
    clock.now += 299
    assert client.get_job_details("job-1") is None
    clock.now += 1
    stub.answer(DETAILS)
    assert client.get_job_details("job-1") is not None


def test_a_refused_key_does_not_mean_that_the_path_is_unknown(stub: Stub) -> None:
    client = _elsewhere(stub)
    stub.answer({"Code": "InvalidAccessKeyId.NotFound"}, 404)
    with pytest.raises(AuthenticationError):
        client.get_job_details("job-1")
    stub.answer(DETAILS)
    assert client.get_job_details("job-1") is not None


@pytest.mark.parametrize(("status", "code"), [(404, "ResourceNotFound"), (400, "InvalidParameter"), (403, "Forbidden")])
def test_other_errors_are_raised(stub: Stub, status: int, code: str) -> None:
    stub.answer({"Code": code}, status)
    with pytest.raises(ClientError) as caught:
        _elsewhere(stub).get_job_details("job-1")
    assert isinstance(caught.value, NotFoundError) == (status == 404)


@pytest.mark.parametrize(
    "change",
    [
        {"Round": "2"},
        {"Round": True},
        {"Slots": None},
        {"Slots": SLOTS | {"ByJob": {"job-1": "x"}}},
        {"Tasks": {"A": TASK | {"Instances": {"x": INSTANCE}}}},
        {"Tasks": {"A": TASK | {"Instances": {"5": INSTANCE | {"Attempts": [ATTEMPT | {"ExitCode": "1"}]}}}}},
        {"Tasks": []},
    ],
)
def test_an_answer_that_is_not_as_documented_is_an_error(stub: Stub, change: dict[str, Any]) -> None:
    stub.answer(DETAILS | change)
    with pytest.raises(DecodeError, match="the service answered details of a job that cannot be read"):
        _elsewhere(stub).get_job_details("job-1")


def test_an_instance_needs_its_task(stub: Stub) -> None:
    with pytest.raises(ValueError, match="instance_id needs a task_name"):
        stub.client().get_job_details("job-1", instance_id=3)


def test_a_job_is_named_as_everywhere(stub: Stub) -> None:
    with pytest.raises(ValueError, match="the job id is empty"):
        _elsewhere(stub).get_job_details("")
