"""`Client(..., strict=True)`: a name that does not exist is an error; otherwise a warning."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from batchcompute import (
    Client,
    Config,
    JobDescription,
    RequestTimeoutError,
    ServiceWarning,
    UnknownPropertyWarning,
    ValidationError,
)
from batchcompute.wire import Request, Response
from tests.support.clock import Clock
from tests.support.stub import Stub, response

TASK = {"PackageUri": "oss://b/k", "ProgramName": "a.py", "ImageId": "img-one", "Timeout": 60}


def job(**task: Any) -> dict[str, Any]:
    return {"JobName": "a", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": TASK | task}}}


def client(stub: Stub, **more: Any) -> Client:
    return Client("cn-qingdao", "testid", "testsecret", plugins=[stub], **more)


@pytest.mark.filterwarnings("ignore::batchcompute.UnknownPropertyWarning")
def test_all_names_are_refused_at_once_with_everything_else(stub: Stub) -> None:
    with pytest.raises(ValidationError) as caught:
        client(stub, strict=True).create_job(job(Timout=5, InstanceCount=0) | {"JobNmae": "b"})
    assert str(caught.value).splitlines()[1:] == [
        "  JobNmae: JobDescription has no such property; did you mean 'JobName'?",
        "  TaskDag.TaskDescMap.A.Timout: TaskDescription has no such property; did you mean 'Timeout'?",
        "  TaskDag.TaskDescMap.A.InstanceCount: is out of range, got 0; allowed: at least 1 [reference section 2.1]",
    ]
    assert stub.requests == []


def test_without_it_a_name_is_a_warning_and_images_are_not_asked_for(stub: Stub) -> None:
    stub.answer({"ResourceId": "job-1"})
    with pytest.warns(UnknownPropertyWarning, match="did you mean 'Timeout'"):
        assert client(stub).create_job(job(Timout=5)).JobId == "job-1"
    assert [request.method for request in stub.requests] == ["POST"]


@pytest.mark.parametrize("given", [{"strict": True}, {"config": Config(strict=True)}])
def test_an_image_that_the_region_does_not_have(stub: Stub, given: dict[str, Any]) -> None:
    stub.answer({"img-one": {}, "img-two": {}})
    stub.answer({"img-one": {}, "img-two": {}})
    stub.answer({"ResourceId": "job-1"})
    strict = client(stub, **given)
    with pytest.raises(ValidationError) as caught:
        strict.create_job(job(ImageId="img-ome"))
    assert str(caught.value).splitlines()[1:] == [
        "  TaskDag.TaskDescMap.A.ImageId: is not an image of this region, got 'img-ome'; allowed: img-one, img-two; "
        "did you mean 'img-one'? [list_images()]"
    ]
    assert strict.create_job(job()).JobId == "job-1"
    assert [request.method for request in stub.requests] == ["GET", "GET", "POST"]


def test_the_argument_wins_over_the_setting(stub: Stub) -> None:
    stub.answer({"ResourceId": "job-1"})
    assert client(stub, config=Config(strict=True), strict=False).create_job(job()).JobId == "job-1"
    with pytest.raises(TypeError, match="strict must be True, False or None, not int"):
        client(stub, strict=1)


def test_what_a_service_says_about_a_request_is_a_warning_at_the_callers_line(stub: Stub) -> None:
    stub.answer(
        {"ResourceId": "job-1"},
        headers={"x-acs-warning": "there is no image 'img-%C3%A9', its tasks run as with img-local"},
    )
    with pytest.warns(ServiceWarning) as caught:
        client(stub).create_job(job())
    assert str(caught[0].message) == "the service warns: there is no image 'img-é', its tasks run as with img-local"
    assert caught[0].filename == __file__
    stub.answer({"ResourceId": "job-1"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client(stub).create_job(job())


def test_the_questions_before_a_job_count_for_its_timeout(stub: Stub, clock: Clock) -> None:
    """create_job(timeout=) is for the call in all, also when the region is asked for its images and its ranges first."""

    def answer_late(request: Request) -> Response:
        clock.now += 4
        return response({"img-one": {}} if request.target.startswith("/images") else {"ResourceId": "job-1"})

    stub.prepare([answer_late] * 2)
    client(stub, strict=True).create_job(job(), timeout=10)
    assert [request.timeout for request in stub.requests] == [10, 6]
    stub.requests.clear()
    elsewhere = Client("https://lab.example", "testid", "testsecret", plugins=[stub], strict=True)
    stub.prepare([lambda request: answer_late(request) and response({}, 404), answer_late])
    with pytest.raises(ValidationError):
        elsewhere.check_job(JobDescription(job(Timeout=10**6)), timeout=10)
    stub.prepare([answer_late])
    with pytest.raises(RequestTimeoutError, match="create_job did not end in time"):
        elsewhere.create_job(job(), timeout=3)
    assert [request.timeout for request in stub.requests] == [10, 3], "nothing is sent that nobody waits for"
