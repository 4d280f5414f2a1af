"""Answers in the shapes of protocol 1.7 become the types of the reference."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest

from batchcompute import (
    AmbiguousResultError,
    DecodeError,
    GetResponse,
    Instance,
    Job,
    JobDescription,
    ListResponse,
    Task,
)
from batchcompute.values.jsonizable import Record
from batchcompute.values.responses import JobResponse
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

META = {"RequestId": "REQ-1", "StatusCode": 200, "Date": "Tue, 30 Jun 2015 08:00:00 GMT"}
JOB = {
    "CreateTime": 1433579943,
    "Description": "d",
    "EndTime": 1433580854,
    "Name": "AB-C-DE-F_1433579943.46",
    "OwnerId": 1234567890123456,
    "Priority": 0,
    "ResourceId": "job-00000000552F996A0000000000000001",
    "StartTime": 0,
    "State": "Terminated",
    "TotalTime": 62,
    **{f"Num{state}Task": 1 for state in ("Total", "Finished", "Failed", "Waiting", "Running", "Stopped")},
    **{f"Num{state}Instance": 2 for state in ("Total", "Finished", "Failed", "Waiting", "Running", "Stopped")},
    "Novelty": {"Unknown": 1},
}
INSTANCE = {"InstanceId": 0, "State": 3, "StartTime": 5, "EndTime": 0, "WorkerStartTime": 6, "WorkerEndTime": 7}
TASKS = {
    "Zeta": {"StartTime": 5, "EndTime": 9, "State": 3, "UnfinishedInstances": [], "InstanceStatusVector": [INSTANCE]},
    "Beta": {"StartTime": 10, "EndTime": 0, "State": 2, "InstanceStatusVector": []},
    "Alpha": {"StartTime": 10, "EndTime": 0, "State": 2, "InstanceStatusVector": []},
    "_prepare": {"StartTime": 0, "EndTime": 0, "State": 1},
}


def test_get_job(stub: Stub) -> None:
    stub.answer(JOB)
    job = stub.client().get_job("job-1")
    assert isinstance(job, GetResponse)
    assert isinstance(job, Job)
    assert (job.JobId, job.JobName, job.State) == (JOB["ResourceId"], JOB["Name"], "Finished")
    assert (job.CreateTime, job.StartTime, job.EndTime, job.TotalTime) == (1433579943, 0, 1433580854, 62)
    assert job["OwnerId"] == 1234567890123456
    assert (job.NumTotalTask, job.NumStoppedInstance) == (1, 2)
    assert {name: job[name] for name in META} == META
    assert "Novelty" not in job
    assert set(job.detail()) == set(Job._fields)


@pytest.mark.parametrize("header", ["x-acs-request-id", "request-id"])
def test_either_header_names_the_request(stub: Stub, header: str) -> None:
    from batchcompute.wire import Response

    stub.answers.append(Response(200, {header: "REQ-9"}, b"{}"))
    stub.answers.append(Response(200, {}, b"{}"))
    assert stub.client().list_jobs().RequestId == "REQ-9"
    nameless = stub.client().get_job("job-1")
    assert (nameless.RequestId, nameless.Date) == ("", "")


def test_get_job_description(stub: Stub) -> None:
    """With what the service fills in (protocol 1.7): unknown to the reference, left out without a word."""
    filled = {
        "BlockDeviceMapping": {},
        "CreateSnapshotAfterTerminated": "",
        "LoadPreparedData": False,
        "MaxReplica": 0,
        "OssMapping": {},
        "OssMappingLocale": "GBK",
        "OssMappingLock": True,
    }
    stub.answer(describe_find(**filled, ResourceDescription={"Cpu": 1600, "Memory": 4000}))
    desc = stub.client().get_job_description("job-1")
    assert isinstance(desc, GetResponse)
    assert isinstance(desc, JobDescription)
    assert {name: desc[name] for name in META} == META
    task = desc.TaskDag.TaskDescMap["Find"]
    assert (task.OssMappingLocale, task.OssMappingLock, task.ResourceDescription.Memory) == ("GBK", True, 4000)
    desc.JobName = "again"  # what was answered can be changed and submitted again
    stub.answer({"ResourceId": "job-2"})
    assert stub.client().create_job(desc).JobId == "job-2"
    assert b'"again"' in stub.requests[1].body


def test_list_tasks_is_sorted_by_start_and_name(stub: Stub) -> None:
    stub.answer(TASKS)
    tasks = stub.client().list_tasks("job-1")
    assert isinstance(tasks, ListResponse)
    assert [task.TaskName for task in tasks] == ["_prepare", "Zeta", "Alpha", "Beta"]
    assert [task.State for task in tasks] == ["Waiting", "Finished", "Running", "Running"]
    (instance,) = tasks[1].InstanceList
    assert instance == Instance(INSTANCE)
    assert (instance.InstanceId, instance.State, instance.WorkerStartTime) == (0, "Finished", 6)
    assert {name: getattr(tasks, name) for name in META} == META
    assert tasks[0].InstanceList == []


def test_list_jobs_and_images_are_sorted_by_id(stub: Stub) -> None:
    stub.answer({"job-b": {"Name": "1", "ResourceId": "job-b"}, "job-a": {"Name": "2"}, "job-C": {"State": 4}})
    jobs = stub.client().list_jobs()
    assert [job.JobId for job in jobs] == ["job-C", "job-a", "job-b"]
    assert jobs[0].State == "Failed"
    assert "job-a" in jobs
    image = {"ResourceId": "img-2", "Name": "n", "Platform": "Linux", "OwnerId": 0, "CreateTime": 5}
    stub.answer({"img-2": image, "img-1": {"BlockDeviceMapping": {"/dev/vda": {"SnapshotId": "s"}}}})
    images = stub.client().list_images()
    assert [item.ImageId for item in images] == ["img-1", "img-2"]
    assert images[1].detail() == {"ImageId": "img-2", "ImageName": "n", "Platform": "Linux", "OwnerId": 0}


@pytest.mark.parametrize("body", [b"", b"{}", b"anything", b"<html>"])
def test_actions_answer_request_id_and_status_whatever_the_body(stub: Stub, body: bytes) -> None:
    stub.answer(body, 202)
    stopped = stub.client().stop_job("job-1")
    assert (stopped.RequestId, stopped.StatusCode) == ("REQ-1", 202)
    assert stopped.detail() == META | {"StatusCode": 202}


@pytest.mark.usefixtures("china_time")
def test_human_readable_times(stub: Stub) -> None:
    client = stub.client(True)
    stub.answer({"job-1": JOB, "job-2": JOB | {"State": 1, "EndTime": 0}})
    one, two = client.list_jobs()
    assert (one.CreateTime, one.EndTime) == ("2015-06-06 16:39:03", "2015-06-06 16:54:14")
    assert (one.StartTime, two.EndTime) == (0, 0)
    assert (one.TotalTime, two.Priority) == (62, 0)
    assert one.detail()["CreateTime"] == "2015-06-06 16:39:03"
    stub.answer(JOB)
    assert client.get_job("job-1").CreateTime == "2015-06-06 16:39:03"
    stub.answer(TASKS)
    task = client.list_tasks("job-1")[1]
    instance = task.InstanceList[0]
    assert (task.StartTime, instance.StartTime, instance.EndTime) == ("1970-01-01 08:00:05",) * 2 + (0,)
    assert (instance.WorkerStartTime, instance.WorkerEndTime) == ("1970-01-01 08:00:06", "1970-01-01 08:00:07")
    assert pickle.loads(pickle.dumps(task)).StartTime == copy.copy(task).StartTime == task.StartTime
    stub.answer({"img-1": {"CreateTime": 5}})
    assert client.list_images()[0].detail() == {"ImageId": "img-1"}


@pytest.mark.usefixtures("china_time")
def test_lists_are_sorted_before_times_become_text(stub: Stub) -> None:
    stub.answer({"A": {"StartTime": 10_000_000_000}, "B": {"StartTime": 9}, "C": {"StartTime": 0}})
    assert [task.TaskName for task in stub.client(True).list_tasks("job-1")] == ["C", "B", "A"]


def test_a_time_that_no_calendar_has_stays_a_number(stub: Stub) -> None:
    stub.answer({"CreateTime": 10**30})
    assert stub.client(True).get_job("job-1").CreateTime == 10**30


def test_the_clock_is_not_asked_for_plain_times(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: pytest.fail("formatted a time that nobody asked for"))
    stub.answer(JOB)
    assert stub.client().get_job("job-1").CreateTime == 1433579943


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b"\xff\xfe{", b"<html>", b"[" * 100_000])
@pytest.mark.parametrize("name", ["list_jobs", "get_job", "get_job_description", "list_tasks", "list_images"])
def test_an_answer_that_is_no_json_object(stub: Stub, name: str, body: bytes) -> None:
    stub.answer(body)
    with pytest.raises(DecodeError, match=r"the service answered .*\[HTTP 200, RequestId REQ-1\]$") as caught:
        getattr(stub.client(), name)(*([] if name in ("list_jobs", "list_images") else ["job-1"]))
    assert (caught.value.request_id, caught.value.status) == ("REQ-1", 200)
    assert len(stub.requests) == 1


@pytest.mark.parametrize("body", [{}, {"ResourceId": ""}, {"ResourceId": None}, {"ResourceId": 5}, []])
def test_a_new_job_without_an_id_may_have_been_made(stub: Stub, body: Any) -> None:
    stub.answer(body, 201)
    stub.answer({})
    with pytest.raises(AmbiguousResultError, match="create_job may or may not have been done") as caught:
        stub.client().create_job(describe_find())
    assert isinstance(caught.value.__cause__, DecodeError)
    assert caught.value.__cause__.request_id == "REQ-1"
    assert [request.method for request in stub.requests] == ["POST", "GET"]


def test_a_bad_property_is_reported_when_it_is_read(stub: Stub) -> None:
    stub.answer({"Name": "good", "Priority": "high", "State": [1]})
    job = stub.client().get_job("job-1")
    assert job.JobName == "good"
    for name in ("Priority", "State"):
        with pytest.raises(DecodeError, match=rf"bad JobResponse: {name}: expected .*REQ-1") as caught:
            getattr(job, name)
        assert caught.value.request_id == "REQ-1"


def test_a_bad_description_is_reported_with_its_place(stub: Stub) -> None:
    stub.answer(describe_find(InstanceCount=[1]))
    with pytest.raises(DecodeError, match=r"TaskDag\.TaskDescMap\.Find\.InstanceCount: expected an int.*REQ-1"):
        stub.client().get_job_description("job-1")


def test_a_bad_element_is_reported_when_it_is_read(stub: Stub) -> None:
    stub.answer({"job-1": {"State": 1}, "job-2": 5, "job-3": {"State": 99}})
    jobs = stub.client().list_jobs()
    assert len(jobs) == 3
    assert jobs[0].State == "Waiting"
    assert jobs[2].JobId == "job-3"
    read: Callable[[], object]
    for read in (lambda: jobs[1], lambda: list(jobs), lambda: jobs[2].State, lambda: pickle.dumps(jobs)):
        with pytest.raises(DecodeError) as caught:
            read()
        assert caught.value.request_id == "REQ-1"
    stub.answer({"A": {"InstanceStatusVector": [None, {"State": 1}]}, "B": {"InstanceStatusVector": {"a": 1}}})
    one, two = stub.client().list_tasks("job-1")
    assert one.InstanceList[1].State == "Waiting"
    for read in (lambda: one.InstanceList[0], lambda: two.InstanceList):
        with pytest.raises(DecodeError, match="REQ-1"):
            read()


def test_elements_are_made_when_they_are_read(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of 100,000 costs a parse, not 100,000 objects up front: where there are no rows, as with times for people."""
    made: list[type] = []
    wrap = Record.wrap.__func__  # type: ignore[attr-defined]  # a classmethod has it

    def counted(cls: type[Record], values: dict[str, Any], origin: Any) -> Any:
        made.append(cls)
        return wrap(cls, values, origin)

    monkeypatch.setattr(Record, "wrap", classmethod(counted))
    vector = [{"InstanceId": number, "State": 2} for number in range(1000)]
    stub.answer({f"T{number}": {"InstanceStatusVector": vector} for number in range(10)})
    tasks = stub.client(True).list_tasks("job-1")
    assert (made, len(tasks)) == ([], 10)
    assert tasks[3].InstanceList[7].State == "Running"
    assert made == [Task, Instance]
    assert tasks[3].InstanceList[7] is tasks[3].InstanceList[7]
    assert len(tasks[3].InstanceList) == 1000
    assert made == [Task, Instance]
    assert sum(1 for task in tasks for _ in task.InstanceList) == 10_000
    assert len(made) == 10 + 10_000


def test_a_plugin_can_show_times(stub: Stub) -> None:
    from batchcompute.hooks import TimestampContext, hookimpl

    class Short:
        @hookimpl
        def humanize_timestamp(self, ctx: TimestampContext) -> str:
            return f"@{ctx.seconds}"

    stub.answer({"job-1": {"CreateTime": 5, "StartTime": 0}, "job-2": {"CreateTime": 6}})
    jobs = stub.client(True, plugins=(Short(),)).list_jobs()
    assert [job.CreateTime for job in jobs] == ["@5", "@6"]
    assert jobs[0].StartTime == 0
    assert jobs[0]._origin is jobs[1]._origin


def test_a_plugin_can_decode(stub: Stub) -> None:
    from batchcompute.hooks import ResponseContext, hookimpl

    class Raw:
        @hookimpl
        def decode_response(self, ctx: ResponseContext) -> object:
            return ctx.response.body if ctx.call.operation.name == "list_jobs" else None

    stub.answer(b"raw")
    stub.answer({"State": 1})
    client = stub.client(plugins=(Raw(),))
    assert client.list_jobs() == b"raw"
    assert isinstance(client.get_job("job-1"), JobResponse)
