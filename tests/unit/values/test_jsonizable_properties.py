"""Hypothesis: whatever JSON comes in, the values hold what they promise."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from typing import Any

from hypothesis import example, given, settings, strategies as st

from batchcompute import (
    DecodeError,
    Image,
    Instance,
    Job,
    JobDescription,
    JsonError,
    ResourceDescription,
    Task,
    TaskDag,
    TaskDescription,
    UnknownPropertyWarning,
)
from batchcompute.values.jsonizable import Jsonizable
from batchcompute.values.properties import Origin
from batchcompute.values.responses import JobDescriptionResponse, JobResponse

CLASSES: list[type[Jsonizable]] = [
    JobDescription,
    TaskDag,
    TaskDescription,
    ResourceDescription,
    Job,
    Task,
    Instance,
    Image,
    JobResponse,
    JobDescriptionResponse,
]
NAMES = sorted({name for cls in CLASSES for name in cls._names} | {"Dependences", "Nonsense"})

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
names = st.sampled_from(NAMES) | st.text(max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
objects = st.dictionaries(names, values, max_size=5)
classes = st.sampled_from(CLASSES)

texts = st.text(max_size=5)
env = st.dictionaries(st.text(min_size=1, max_size=5), texts | st.integers() | st.booleans(), max_size=3)
tasks = st.fixed_dictionaries(
    {},
    optional={
        "PackageUri": texts,
        "ProgramName": texts,
        "InstanceCount": st.integers(0, 9) | st.integers(0, 9).map(str),
        "Timeout": st.none() | st.integers(),
        "EnvironmentVariables": env,
        "OssMapping": env,
        "OssMappingLock": st.booleans(),
        "ResourceDescription": st.fixed_dictionaries({}, optional={"Cpu": st.integers(), "Memory": st.integers()}),
    },
)
dags = st.fixed_dictionaries(
    {},
    optional={
        "TaskDescMap": st.dictionaries(st.text(min_size=1, max_size=3), tasks, max_size=3),
        "Dependencies": st.dictionaries(st.text(min_size=1, max_size=3), st.lists(texts, max_size=2), max_size=3),
    },
)
descriptions = st.fixed_dictionaries(
    {}, optional={"JobName": texts, "JobTag": texts, "Priority": st.integers(), "Description": texts, "TaskDag": dags}
)


def made(cls: type[Jsonizable], given: Any) -> Jsonizable | None:
    """An object, or None for an input that is refused as the reference says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPropertyWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return cls(given)
        except (TypeError, JsonError):
            return None


@settings(deadline=None, max_examples=200)
@given(cls=classes, value=values | objects)
def test_any_json_value_loads_or_is_refused_and_stays_as_it_was(cls: type[Jsonizable], value: Any) -> None:
    before = copy.deepcopy(value)
    for form in (value, json.dumps(value)):
        obj = made(cls, form)
        if obj is not None:
            assert all(name in cls._fields for name in obj.detail())
            json.loads(obj.dump())
    assert value == before


@settings(deadline=None, max_examples=100)
@given(text=st.text() | values.map(json.dumps).map(lambda text: text[:-1]))
def test_any_text_loads_or_is_refused(text: str) -> None:
    made(JobDescription, text)


@settings(deadline=None, max_examples=150)
@given(cls=classes, value=objects)
def test_what_was_loaded_makes_the_same_object_again(cls: type[Jsonizable], value: dict[str, Any]) -> None:
    obj = made(cls, value)
    if obj is None:
        return
    detail = obj.detail()
    loaded = cls()
    loaded.load(obj.dump())
    for again in (cls(detail), cls(obj), cls(obj.dump()), loaded, copy.copy(obj), copy.deepcopy(obj)):
        assert again == obj
        assert again.detail() == detail
    pickled = pickle.loads(pickle.dumps(obj))
    assert pickled == obj
    assert type(pickled) is cls


@settings(deadline=None, max_examples=150)
@given(value=descriptions)
def test_every_right_description_loads_and_survives(value: dict[str, Any]) -> None:
    before = copy.deepcopy(value)
    desc = JobDescription(value)
    assert JobDescription(desc.detail()).detail() == desc.detail()
    assert JobDescription(desc.dump()) == JobDescription(json.dumps(value)) == desc
    assert pickle.loads(pickle.dumps(desc)) == copy.deepcopy(desc) == desc
    desc.TaskDag.add_task("New", {"EnvironmentVariables": {"A": 1}})
    for task in desc.TaskDag.TaskDescMap.values():
        task.EnvironmentVariables["B"] = "2"
    assert value == before


@settings(deadline=None, max_examples=100)
@given(one=descriptions, two=descriptions)
def test_update_is_the_same_as_merging_the_dicts(one: dict[str, Any], two: dict[str, Any]) -> None:
    desc = JobDescription(one)
    desc.update(two)
    assert desc == JobDescription({**one, **two})
    loaded = JobDescription(one)
    loaded.load(json.dumps(two))
    assert loaded == desc


@settings(deadline=None, max_examples=200)
@given(cls=classes, value=objects)
@example(cls=ResourceDescription, value={"Cpu": None})
@example(cls=TaskDescription, value={"ResourceDescription": ":"})  # text is JSON to a user, not to a service
def test_whatever_a_service_answers_is_read_or_is_a_decode_error(cls: type[Jsonizable], value: dict[str, Any]) -> None:
    origin = Origin("REQ-1", 200)
    maker = cls.from_wire if cls in (JobDescription, TaskDag, TaskDescription, JobDescriptionResponse) else cls.wrap
    try:
        obj = maker(copy.deepcopy(value), origin)
        for name in cls._fields:
            assert obj[name] == getattr(obj, name)
        assert cls(obj).detail() == obj.detail()
        repr(obj)
    except DecodeError as error:
        assert error.request_id == "REQ-1"  # noqa: PT017  # both outcomes are right
