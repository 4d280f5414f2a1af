"""Reference 1.1 and 1.2: how properties are given, read, changed, merged and left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from batchcompute import (
    FieldError,
    Image,
    Instance,
    Job,
    JobDescription,
    JsonError,
    ResourceDescription,
    Task,
    TaskDag,
    TaskDescription,
)
from batchcompute.values.jsonizable import Jsonizable

PROPERTIES = {"JobName": "find-prime", "JobTag": "Batchcompute"}
WRITABLE = [JobDescription, TaskDag, TaskDescription, ResourceDescription]
READ_ONLY = [Job, Task, Instance, Image]


@pytest.mark.parametrize(
    "given",
    [PROPERTIES, json.dumps(PROPERTIES), JobDescription(PROPERTIES)],
    ids=["dict", "JSON", "same class"],
)
def test_made_from_dict_json_or_same_class(given: Any) -> None:
    made = JobDescription(given)
    assert (made.JobName, made.JobTag) == ("find-prime", "Batchcompute")
    assert made["JobName"] == "find-prime"


def test_made_from_nothing() -> None:
    assert JobDescription().detail() == {"JobTag": "Batchcompute"}
    assert JobDescription(None).detail() == {"JobTag": "Batchcompute"}


@pytest.mark.parametrize("given", [5, 1.5, True, b"{}", ["JobName"], object(), TaskDag(), Job()])
def test_not_made_from_anything_else(given: Any) -> None:
    with pytest.raises(TypeError, match=r"dict, a JSON text or a JobDescription"):
        JobDescription(given)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "{'JobName': 1}", "[" * 100_000])
def test_a_text_that_is_no_json_object_is_refused(text: str) -> None:
    for use in (JobDescription, JobDescription().load, JobDescription().update):
        with pytest.raises(JsonError):
            use(text)


@pytest.mark.parametrize("cls", WRITABLE)
def test_writable_classes_take_every_property_by_attribute_and_by_key(cls: type[Jsonizable]) -> None:
    values = {"JobName": "a", "TaskDescMap": {"A": {}}, "ProgramName": "p", "Cpu": 900}
    (name, value) = next((name, value) for name, value in values.items() if name in cls._fields)
    by_attribute, by_key = cls(), cls()
    setattr(by_attribute, name, value)
    by_key[name] = value  # type: ignore[index]  # the writable ones have it
    assert by_attribute[name] == by_key[name] == cls({name: value})[name]
    assert by_key != cls()
    delattr(by_attribute, name)
    del by_key[name]  # type: ignore[attr-defined]  # the writable ones have it
    assert by_attribute == by_key == cls()


@pytest.mark.parametrize("cls", READ_ONLY)
def test_answered_classes_are_read_only(cls: type[Jsonizable]) -> None:
    made = cls({"State": "Running"} if "State" in cls._fields else {"ImageName": "x"})
    before = made.detail()
    for name in [*cls._fields, "Nonsense"]:
        with pytest.raises(AttributeError):
            setattr(made, name, None)
    with pytest.raises(TypeError):
        made["State"] = "Failed"  # type: ignore[index]  # wrong on purpose
    assert made.detail() == before


def test_reading_an_unknown_property_names_the_nearest() -> None:
    uses: list[Callable[[], object]] = [lambda: Job().Sate, lambda: Job()["Sate"]]  # type: ignore[attr-defined]  # wrong on purpose
    for use in uses:
        with pytest.raises(FieldError, match="Job has no property 'Sate'; did you mean 'State'"):
            use()
    for kind in (AttributeError, KeyError):
        with pytest.raises(kind):
            _ = JobDescription().TaskDga  # type: ignore[attr-defined]  # wrong on purpose
    assert not hasattr(Job(), "Sate")
    assert getattr(Job(), "Nonsense", 7) == 7
    with pytest.raises(FieldError):
        _ = Job()["detail"]  # a method is no property


def test_update_and_load_merge() -> None:
    desc = JobDescription({"JobName": "a", "Description": "b", "Priority": 3})
    desc.update({"Description": "c"})
    desc.load('{"Priority": 4, "JobTag": "t"}')
    assert desc.detail() == {"JobName": "a", "JobTag": "t", "Description": "c", "Priority": 4}
    desc.update(JobDescription({"Priority": 5}))
    desc.update('{"Description": null}')
    assert desc.detail() == {"JobName": "a", "JobTag": "Batchcompute", "Priority": 5}


@pytest.mark.parametrize("bad", [{}, None, b"{}", 5, JobDescription()])
def test_load_takes_a_text_only(bad: Any) -> None:
    with pytest.raises(TypeError, match="JSON text"):
        JobDescription().load(bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"JobName": "new", "Priority": "high"},
        {"JobName": "new", "TaskDag": {"TaskDescMap": {"A": {"Timeout": "x"}}}},
        {"TaskDag": {"TaskDescMap": {"A": {}}, "Dependencies": {"A": 5}}, "JobName": "new"},
    ],
)
def test_update_and_load_change_all_or_nothing(bad: dict[str, Any]) -> None:
    desc = JobDescription({"JobName": "old", "TaskDag": {"TaskDescMap": {"Old": {}}}})
    before = desc.detail()
    uses: list[Callable[[], object]] = [lambda: desc.update(bad), lambda: desc.load(json.dumps(bad))]
    for use in uses:
        with pytest.raises(TypeError):
            use()
        assert desc.detail() == before


def test_a_type_error_names_the_exact_place() -> None:
    task = {"ResourceDescription": {"Cpu": "fast"}}
    with pytest.raises(TypeError, match=r"^TaskDag\.TaskDescMap\.Find\.ResourceDescription\.Cpu: expected an int"):
        JobDescription({"TaskDag": {"TaskDescMap": {"Find": task}}})
    with pytest.raises(TypeError, match=r"^ResourceDescription\.Cpu: expected an int, got str 'fast'$"):
        ResourceDescription().Cpu = "fast"  # type: ignore[assignment]  # wrong on purpose


@pytest.mark.parametrize("empty", [None, "", {}, []])
def test_empty_values_are_left_out_and_take_a_property_away(empty: Any) -> None:
    task = TaskDescription({"ProgramName": empty, "EnvironmentVariables": empty, "Timeout": empty})
    plain = TaskDescription().detail()
    assert task.detail() == json.loads(task.dump()) == plain
    task = TaskDescription({"ProgramName": "x", "EnvironmentVariables": {"A": 1}, "Timeout": 5})
    task.ProgramName = empty
    task["EnvironmentVariables"] = empty
    task.update({"Timeout": empty})
    assert task.detail() == plain
    assert (task.ProgramName, task.EnvironmentVariables, task.Timeout) == ("", {}, None)


def test_zero_and_false_are_kept() -> None:
    assert JobDescription({"Priority": 0}).detail()["Priority"] == 0
    task = TaskDescription({"OssMappingLock": False, "Timeout": 0, "InstanceCount": 0})
    assert {name: task.detail()[name] for name in ("OssMappingLock", "Timeout", "InstanceCount")} == {
        "OssMappingLock": False,
        "Timeout": 0,
        "InstanceCount": 0,
    }
    assert '"OssMappingLock": false' in task.dump()
    assert ResourceDescription({"Cpu": 0}).Cpu == 0


@pytest.mark.parametrize("empty", [None, ""])
def test_defaults_come_back_when_emptied(empty: Any) -> None:
    for cls, name, default, other in (
        (JobDescription, "JobTag", "Batchcompute", "x"),
        (TaskDescription, "ProgramType", "python", "php"),
        (TaskDescription, "InstanceCount", 1, 7),
        (ResourceDescription, "Cpu", 800, 1600),
        (ResourceDescription, "Memory", 2000, 4000),
    ):
        made = cls()
        assert made[name] == made.detail()[name] == default
        made[name] = other
        assert made[name] == other
        made[name] = empty
        assert made[name] == made.detail()[name] == default


@pytest.mark.parametrize("count", [4, "4", " 4 "])
def test_instance_count_is_a_number_in_either_form(count: Any) -> None:
    task = TaskDescription()
    task.InstanceCount = count
    assert TaskDescription({"InstanceCount": count}).InstanceCount == task.InstanceCount == 4
    assert type(task.detail()["InstanceCount"]) is int


@pytest.mark.parametrize("count", [True, 4.0, "four", "-1", "4.0", [4], "٤", "9" * 25])
def test_instance_count_is_nothing_else(count: Any) -> None:
    with pytest.raises(TypeError, match="InstanceCount"):
        TaskDescription({"InstanceCount": count})


@pytest.mark.parametrize(
    ("cls", "name", "bad"),
    [
        (JobDescription, "JobName", 5),
        (JobDescription, "Priority", "5"),
        (JobDescription, "Priority", True),
        (JobDescription, "Priority", 5.0),
        (JobDescription, "TaskDag", 5),
        (JobDescription, "TaskDag", TaskDescription()),
        (TaskDag, "TaskDescMap", [TaskDescription()]),
        (TaskDag, "TaskDescMap", {5: {}}),
        (TaskDag, "TaskDescMap", {"": {}}),
        (TaskDag, "Dependencies", {"A": "B"}),
        (TaskDag, "Dependencies", {"A": [1]}),
        (TaskDescription, "OssMappingLock", 1),
        (TaskDescription, "EnvironmentVariables", {"A": None}),
        (TaskDescription, "EnvironmentVariables", {"A": []}),
        (Task, "InstanceList", "abc"),
        (Task, "InstanceList", [5]),
        (Job, "CreateTime", 1.5),
        (Job, "State", 77),
    ],
)
def test_wrong_types_are_refused(cls: type[Jsonizable], name: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=name):
        cls({name: bad})
    if cls in WRITABLE:
        with pytest.raises(TypeError, match=name):
            setattr(cls(), name, bad)


def test_detail_dump_and_str() -> None:
    desc = JobDescription({"JobName": "查找", "TaskDag": {"TaskDescMap": {"A": {"InstanceCount": 2}}}})
    detail = desc.detail()
    assert json.loads(desc.dump()) == json.loads(str(desc)) == detail
    assert "查找" in str(desc)
    assert type(detail["TaskDag"]["TaskDescMap"]["A"]) is dict
    detail["TaskDag"]["TaskDescMap"]["A"]["InstanceCount"] = 9
    assert desc.TaskDag.TaskDescMap["A"].InstanceCount == 2


@pytest.mark.parametrize(
    ("given", "state"),
    [*enumerate(["Init", "Waiting", "Running", "Finished", "Failed", "Stopped"]), ("Terminated", "Finished")],
)
def test_states_are_names_however_they_are_written(given: Any, state: str) -> None:
    for cls in (Job, Task, Instance):
        assert cls({"State": given}).State == cls.wrap({"State": given}, None).State == state
        assert cls({"State": state}).detail() == {"State": state}


@pytest.mark.parametrize("huge", [10**5000, [[0]] * 10**5, "x" * 10**6], ids=["int", "list", "str"])
def test_a_huge_wrong_value_is_still_a_short_type_error(huge: Any) -> None:
    with pytest.raises(TypeError) as caught:
        TaskDescription({"OssMappingLock": huge})
    assert len(str(caught.value)) < 200


def test_a_deep_wrong_value_is_still_a_type_error() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(TypeError):
        JobDescription({"JobName": deep})
