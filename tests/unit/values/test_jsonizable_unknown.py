"""Properties that a class does not have, and the names that old scripts use by mistake."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import batchcompute
from batchcompute import Instance, Job, JobDescription, Task, TaskDag, TaskDescription, UnknownPropertyWarning
from batchcompute.values.properties import Origin
from batchcompute.values.responses import JobDescriptionResponse, JobResponse
from tests.support.stub import Stub

DAG = {"TaskDescMap": {"A": {"Timeout": 5}, "B": {}}, "Dependencies": {"A": ["B"]}}
OLD_DAG = {"TaskDescMap": DAG["TaskDescMap"], "Dependences": DAG["Dependencies"]}


def setattr_(desc: JobDescription, name: str, value: object) -> None:
    setattr(desc, name, value)


USES: dict[str, Callable[[JobDescription, str, object], Any]] = {
    "attribute": setattr_,
    "key": lambda desc, name, value: desc.__setitem__(name, value),
    "dict": lambda desc, name, value: JobDescription({name: value}),
    "update": lambda desc, name, value: desc.update({name: value}),
    "JSON": lambda desc, name, value: JobDescription(json.dumps({name: value})),
    "load": lambda desc, name, value: desc.load(json.dumps({name: value})),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_unknown_property_is_dropped_with_a_warning_at_the_callers_line(use: Callable[..., Any]) -> None:
    desc = JobDescription({"JobName": "a"})
    with pytest.warns(UnknownPropertyWarning) as caught:
        made = use(desc, "jobname", "b")
    assert [str(item.message) for item in caught] == [
        "JobDescription has no property 'jobname', it was dropped; did you mean 'JobName'?"
    ]
    assert caught[0].filename == __file__
    assert desc.detail() == {"JobName": "a", "JobTag": "Batchcompute"}
    assert made is None or made.detail() == {"JobTag": "Batchcompute"}
    assert not hasattr(desc, "jobname")


def test_an_unknown_property_that_is_near_to_nothing_has_no_hint() -> None:
    with pytest.warns(UnknownPropertyWarning) as caught:
        TaskDescription({"Qqq": 0})
    assert str(caught[0].message) == "TaskDescription has no property 'Qqq', it was dropped"


def test_unknown_properties_deep_inside_are_reported_at_the_callers_line() -> None:
    desc = JobDescription()
    with pytest.warns(UnknownPropertyWarning) as caught:
        desc.TaskDag.TaskDescMap = {"A": {"TimeOut": 5, "ResourceDescription": {"Memery": 1}}}
    assert {item.filename for item in caught} == {__file__}
    assert sorted(str(item.message) for item in caught) == [
        "ResourceDescription has no property 'Memery', it was dropped; did you mean 'Memory'?",
        "TaskDescription has no property 'TimeOut', it was dropped; did you mean 'Timeout'?",
    ]
    assert desc.TaskDag.TaskDescMap["A"] == TaskDescription()


@pytest.mark.filterwarnings("ignore::batchcompute.UnknownPropertyWarning")
def test_what_was_dropped_is_remembered_with_its_path() -> None:
    desc = JobDescription({"Jobname": "a", "TaskDag": {"TaskDescMap": {"A": {"TimeOut": 5}}}})
    task = TaskDescription()
    task.Qqq = 1  # type: ignore[attr-defined]  # wrong on purpose
    task.ResourceDescription["Memery"] = 2
    desc.TaskDag.add_task("B", task)
    assert [(problem.path, problem.hint, problem.value) for problem in desc.unknown_names()] == [
        ("Jobname", "JobName", None),
        ("TaskDag.TaskDescMap.A.TimeOut", "Timeout", None),
        ("TaskDag.TaskDescMap.B.Qqq", "", None),
        ("TaskDag.TaskDescMap.B.ResourceDescription.Memery", "Memory", None),
    ]
    assert str(desc.unknown_names()[2]).startswith(
        "TaskDag.TaskDescMap.B.Qqq: TaskDescription has no such property; allowed: PackageUri, ProgramName, "
    )
    for copied in (copy.copy(desc), copy.deepcopy(desc), pickle.loads(pickle.dumps(desc)), JobDescription(desc)):
        assert copied.unknown_names() == desc.unknown_names()
    desc.TaskDag.delete_task("B")
    assert len(desc.unknown_names()) == 2
    assert JobDescription(desc.detail()).unknown_names() == []


@pytest.mark.parametrize("name", ["_values", "__class__", "_x"])
def test_private_names_are_no_properties(name: str) -> None:
    desc = JobDescription({"JobName": "a"})
    with pytest.warns(UnknownPropertyWarning):
        desc[name] = {}
    with pytest.warns(UnknownPropertyWarning):
        assert JobDescription({name: {}}) == JobDescription()
    assert desc.JobName == "a"


def test_keys_that_are_no_text_are_dropped_too() -> None:
    for key in (1, None, ("a",), 1.5):
        with pytest.warns(UnknownPropertyWarning):
            assert JobDescription({key: 1}) == JobDescription()  # type: ignore[dict-item]  # wrong on purpose


def test_a_read_only_class_warns_on_what_the_user_wrote() -> None:
    with pytest.warns(UnknownPropertyWarning, match="'Status'") as caught:
        job = Job({"Status": "Running", "JobName": "a"})
    assert job.detail() == {"JobName": "a"}
    assert caught[0].filename == __file__


def test_what_a_service_answered_never_warns() -> None:
    answer = {"Name": "a", "JobName": "b", "Sate": 1, "Novel": {"x": 1}, "TaskDag": {"Strange": 1, **DAG}}
    origin = Origin("REQ-1", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert JobResponse.wrap(dict(answer), origin).detail() == {"JobName": "a"}
        desc = JobDescriptionResponse.from_wire(answer, origin)
        assert desc.TaskDag.detail() == TaskDag(DAG).detail()
        assert pickle.loads(pickle.dumps(desc)) == JobDescription(desc) == desc


def test_the_oldest_spelling_of_dependencies_in_an_answer_is_not_the_users_fault() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        desc = JobDescriptionResponse.from_wire({"TaskDag": OLD_DAG}, Origin("REQ-1", 200))
    assert desc.TaskDag.Dependencies == {"A": ["B"]}


def test_dependences_is_taken_as_dependencies() -> None:
    dag = TaskDag()
    uses: list[Callable[[], object]] = [
        lambda: dag.update(OLD_DAG),
        lambda: TaskDag(json.dumps(OLD_DAG)),
        lambda: setattr(dag, "Dependences", {"A": ["B"]}),
        lambda: dag.__setitem__("Dependences", {"A": ["B"]}),
        lambda: dag.Dependences,  # type: ignore[attr-defined]  # wrong on purpose
        lambda: dag["Dependences"],
    ]
    for use in uses:
        with pytest.warns(DeprecationWarning, match=r"TaskDag\.Dependences is called Dependencies") as caught:
            use()
        assert [item.filename for item in caught] == [__file__]
    assert dag.detail() == TaskDag(DAG).detail()
    assert "Dependences" not in dag.dump()


def test_instance_status_list_is_the_instance_list() -> None:
    task = Task({"InstanceList": [{"InstanceId": 3}]})
    uses: list[Callable[[], list[Instance]]] = [
        lambda: task.InstanceStatusList,  # type: ignore[attr-defined]  # wrong on purpose
        lambda: task["InstanceStatusList"],
    ]
    for use in uses:
        with pytest.warns(DeprecationWarning, match="is called InstanceList") as caught:
            assert [instance.InstanceId for instance in use()] == [3]
        assert caught[0].filename == __file__


@pytest.mark.parametrize("old", ["Jobdescription", "Taskdescription"])
def test_misspelt_classes_can_be_imported(old: str) -> None:
    right = {"Jobdescription": JobDescription, "Taskdescription": TaskDescription}[old]
    with pytest.warns(DeprecationWarning, match=rf"{old} is called {right.__name__}") as caught:
        assert getattr(batchcompute, old) is right
    assert caught[0].filename == __file__
    assert old not in batchcompute.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = batchcompute.Nonsense


def test_human_readabel_and_list_job_status(stub: Stub) -> None:
    with pytest.warns(DeprecationWarning, match="is called human_readable") as caught:
        client = stub.client(human_readabel=True)
    assert caught[0].filename.endswith("stub.py")  # where Client is called
    stub.answer({"job-1": {"CreateTime": 0, "StartTime": 86400 * 365}})
    with pytest.warns(DeprecationWarning, match="is called list_jobs") as caught:
        jobs = client.list_job_status()
    assert caught[0].filename == __file__
    assert str(jobs[0].StartTime).startswith(("1970-1", "1971-01-01"))
    assert (stub.requests[0].method, stub.requests[0].target) == ("GET", "/jobs")


def test_other_unknown_arguments_get_a_hint(stub: Stub) -> None:
    with pytest.raises(TypeError, match="'human_readible'; did you mean 'human_readable'"):
        stub.client(human_readible=True)
    with pytest.raises(TypeError, match=r"no argument 'zzz'$"):
        stub.client(zzz=True)
