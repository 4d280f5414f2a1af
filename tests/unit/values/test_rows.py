"""Rows of large answers are the objects that dicts give: by every way to look at them, for whatever a service sends."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from batchcompute import Client, DecodeError, Job, Task
from batchcompute.values import rows
from batchcompute.values.responses import Image, Instance
from tests.support.stub import Stub

pytest.importorskip("msgspec")

JOB = {
    "ResourceId": "job-1",
    "Name": "n",
    "State": "Terminated",
    "Priority": 0,
    "CreateTime": 5,
    "EndTime": 0,
    "New": [1],
}
VECTOR = [{"InstanceId": number, "State": number % 6, "StartTime": 7} for number in range(6)]


@pytest.fixture(autouse=True, scope="module")
def of_any_size() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "LEAST_BYTES", 0)
        yield


STUB = Stub()


@cache
def make_client() -> Client:
    """Hypothesis calls a test often, and a Client takes longer than an example."""
    return STUB.client()


def as_dicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchcompute.builtins.decoding.read_rows", lambda *_: None)


def seen(items: Any) -> list[Any]:
    """Everything that reading shows of a list of answers; the error for what cannot be read."""
    found: list[Any] = []
    for position in range(len(items)):
        try:
            item = items[position]
        except DecodeError as error:
            found.append(str(error))
            continue
        for name in item._fields:
            try:
                value = getattr(item, name)
                found.append((name, type(value).__name__, seen(value) if name == "InstanceList" else value))
            except DecodeError as error:
                found.append((name, str(error), error.request_id))
        try:
            found += [item.detail(), item.keys(), len(item), repr(item), item.dump()]
        except DecodeError as error:
            found.append(str(error))
    return found


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.just({}),
)
states = st.one_of(st.sampled_from([*rows._STATES, "Suspended", 7, -1, True, 2.0]), scalars)


def objects(cls: type[Any], **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    kinds = {field.key: scalars for field in cls._fields.values()} | {"State": states, "Extra": scalars} | special
    good = {
        field.key: st.integers(0, 9) for field in cls._fields.values() if type(field).__name__ in ("Number", "Time")
    }
    return st.one_of(st.fixed_dictionaries({}, optional=good), st.fixed_dictionaries({}, optional=kinds), scalars)


instances = st.one_of(st.lists(objects(Instance), max_size=3), scalars)


@settings(deadline=None, max_examples=300)
@given(
    jobs=st.dictionaries(st.text(max_size=3), objects(Job), max_size=3),
    tasks=st.dictionaries(st.text(max_size=3), objects(Task, InstanceStatusVector=instances), max_size=3),
)
def test_rows_show_what_dicts_show(jobs: dict[str, Any], tasks: dict[str, Any]) -> None:
    shown: list[Any] = []
    STUB.prepare([])
    client = make_client()
    for plain in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if plain:
                as_dicts(patch)
            STUB.answer(json.dumps(jobs, ensure_ascii=plain).encode("utf-8", "surrogatepass"))
            STUB.answer(json.dumps(tasks).encode())
            try:
                shown.append([seen(client.list_jobs()), seen(client.list_tasks("job-1"))])
            except DecodeError as error:
                shown.append(str(error))
    assert repr(shown[0]) == repr(shown[1])  # by repr: NaN is not itself


@pytest.mark.parametrize("there", [True, False])
def test_what_can_be_done_with_an_element(stub: Stub, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    if not there:
        monkeypatch.setitem(sys.modules, "msgspec", None)
        monkeypatch.setattr(rows, "_decoders", {})
    stub.answer({"job-2": {**JOB, "ResourceId": None}, "job-1": JOB})
    jobs = stub.client().list_jobs()
    assert (type(jobs[0]) is Job) is not there  # with msgspec it is a row
    assert [job.JobId for job in jobs] == ["job-1", "job-2"]
    for job in jobs:
        assert isinstance(job, Job)
        assert (type(job).__name__, type(job).__module__) == ("Job", Job.__module__)
        assert (job.State, job["State"], job.StartTime, job.TotalTime, job.EndTime) == ("Finished", "Finished", 0, 0, 0)
        assert "StartTime" not in job
        assert (job.EndTime, "EndTime" in job) == (0, True)
        for same in (copy.copy(job), copy.deepcopy(job), pickle.loads(pickle.dumps(job)), Job(job), Job(job.dump())):
            assert type(same) is Job
            assert same == job
            assert hash(same) == hash(job)
        assert weakref.ref(job)() is job
        with pytest.raises(AttributeError, match=r"Job\.State cannot be set: a Job is read-only"):
            job.State = "Failed"
        with pytest.raises(AttributeError, match="has no property 'Stat'; did you mean"):
            job.Stat  # type: ignore[attr-defined]  # noqa: B018
    assert jobs[0] is jobs[0]
    assert jobs[0] is next(iter(jobs))
    jobs[0].update({"JobName": "changed", "Description": "", "Priority": None})
    assert (jobs[0].JobName, jobs[0].Priority, "Priority" in jobs[0]) == ("changed", 0, False)
    assert "job-2" in jobs
    jobs.sort(key=lambda job: job.JobId, reverse=True)
    assert [job.JobId for job in jobs] == ["job-2", "job-1"]
    again = pickle.loads(pickle.dumps(jobs))
    assert again == jobs
    assert again.RequestId == jobs.RequestId == "REQ-1"
    jobs[0] = {"ResourceId": "job-3"}
    assert [job.JobId for job in jobs] == ["job-3", "job-1"]


def test_tasks_have_rows_of_instances(stub: Stub) -> None:
    stub.answer({"B": {"State": 2, "InstanceStatusVector": VECTOR}, "A": {"State": 2}})
    tasks = stub.client().list_tasks("job-1")
    assert [(task.TaskName, len(task.InstanceList)) for task in tasks] == [("A", 0), ("B", 6)]
    found = tasks[1].InstanceList
    assert found is tasks[1].InstanceList
    assert type(found[0]) is not Instance
    assert isinstance(found[0], Instance)
    assert [one.State for one in found] == ["Init", "Waiting", "Running", "Finished", "Failed", "Stopped"]
    assert pickle.loads(pickle.dumps(tasks)) == tasks
    assert [type(one) for one in copy.deepcopy(tasks)[1].InstanceList] == [Instance] * 6


def test_one_bad_element_leaves_the_others_readable(stub: Stub) -> None:
    stub.answer({"job-1": JOB, "job-2": 5, "job-3": {"Priority": "high"}})
    jobs = stub.client().list_jobs()
    assert (jobs[0].State, jobs[2].JobId) == ("Finished", "job-3")
    for read in (lambda: jobs[1], lambda: jobs[2].Priority):
        with pytest.raises(DecodeError, match="bad Job") as caught:
            read()
        assert caught.value.request_id == "REQ-1"


def test_images_are_rows(stub: Stub) -> None:
    stub.answer({"img-1": {"Name": "n", "Platform": "Linux"}})
    (image,) = stub.client().list_images()
    assert image == Image({"ImageId": "img-1", "ImageName": "n", "Platform": "Linux"})


def test_a_list_keeps_less_than_seven_tenths_of_its_dicts(stub: Stub) -> None:
    """After every State was read once, the body included."""
    body = json.dumps({"T": {"State": 2, "InstanceStatusVector": [{**one, "EndTime": 10**9} for one in VECTOR * 2000]}})

    def kept(make: Any) -> int:
        make()  # what is made once
        tracemalloc.start()
        try:
            result = make()
            size = tracemalloc.get_traced_memory()[0]
            del result
            return size
        finally:
            tracemalloc.stop()

    def ours() -> Any:
        stub.prepare([])
        stub.answer(bytes(bytearray(body, "ascii")))
        tasks = stub.client().list_tasks("job-1")
        assert sum(one.State == "Finished" for one in tasks[0].InstanceList) == 2000
        return tasks

    assert kept(ours) < 0.7 * kept(lambda: json.loads(body))


def test_a_small_list_does_not_begin_with_an_import(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_decoders", {})
    monkeypatch.setattr(rows, "LEAST_BYTES", 1 << 18)
    for size, kind in ((1, True), (3000, False), (1, False)):
        stub.answer({f"job-{number:06}": {**JOB, "Description": "x" * 80} for number in range(size)})
        assert (type(stub.client().list_jobs()[0]) is Job) is kind
