"""JSON texts of descriptions: no name twice, and numbers as they are written."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest

from batchcompute import JobDescription, TaskDescription
from batchcompute.errors import JsonError
from batchcompute.values.texts import DoubledNameError, Scalar, SpelledFloat, parse_json

TWICE = """{"JobName": "dup", "TaskDag": {"TaskDescMap": {
 "Align": {"ProgramName": "a.py", "ProgramArguments": "sample1"},
 "Align": {"ProgramName": "a.py", "ProgramArguments": "sample2"}}}}"""


def test_a_task_that_is_given_twice_is_named_with_its_places() -> None:
    with pytest.raises(
        JsonError,
        match=r"^TaskDag\.TaskDescMap\.Align is given twice, at line 2 column 2 and line 3 column 2; keep one$",
    ):
        JobDescription(TWICE)
    description = JobDescription({"JobName": "before"})
    with pytest.raises(JsonError, match="is given twice"):
        description.load(TWICE)
    assert description.JobName == "before", "nothing was changed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "a": 1}', "a is given twice, at line 1 column 2 and line 1 column 10"),
        ('{"A": {"Timeout": 1,\n"Timeout": 2}}', "A.Timeout is given twice, at line 1 column 8 and line 2 column 1"),
        ('{"x": "}{\\"a\\": [", "a": [{"b": 1}, {"b": 1, "b": 2}]}', "a.b is given twice, at line 1 column 38 and"),
        ('{"\\u0041": 1, "A": 2}', "A is given twice"),
        ('{"a": {"a": 1}, "b": "a", "c": ["a", "a"], "b": {}}', "b is given twice, at line 1 column 17 and line 1"),
        ('{"": 1, "": 2}', " is given twice"),
    ],
)
def test_doubled_names(text: str, expected: str) -> None:
    with pytest.raises(DoubledNameError, match=expected):
        parse_json(text)


def test_all_other_texts_are_read_as_by_the_standard_library() -> None:
    for text in ('{"a": {"a": 1}, "b": [{"c": 1}, {"c": 1.5}]}', "[1, null, true]", '"x"', "1e3", '\ufeff{"a": 1}'):
        try:
            expected = json.loads(text)
        except ValueError as error:
            with pytest.raises(json.JSONDecodeError, match=re.escape(str(error))):
                parse_json(text)
            continue
        assert parse_json(text) == expected
        assert parse_json(text.encode("utf-16")) == expected


def test_numbers_keep_their_spelling_where_text_belongs() -> None:
    task = TaskDescription('{"EnvironmentVariables": {"RATE": 1e-3, "VERSION": 1.10, "N": 7}, "LeftoverSeconds": 1.50}')
    assert task.EnvironmentVariables == {"RATE": "1e-3", "VERSION": "1.10", "N": "7"}
    assert type(task.LeftoverSeconds) is float
    assert json.loads(task.dump())["LeftoverSeconds"] == 1.5
    with pytest.raises(TypeError, match=r"InstanceCount: expected an int, got float 4\.0"):
        TaskDescription('{"InstanceCount": 4.0}')


def test_a_spelled_float_is_a_float() -> None:
    value = SpelledFloat("1e3")
    assert (value, str(value), repr(value), json.dumps(value)) == (1000.0, "1e3", "1000.0", "1000.0")
    assert [str(copied) for copied in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)))] == ["1e3", "1e3"]


@pytest.mark.parametrize(
    ("text", "typed"),
    [("5", 5), ("-5", -5), ("1.5", 1.5), ("1e3", 1000.0), ("yes", True), ("Off", False), ("TRUE", True)]
    + [
        (text, text) for text in ("010", "0x10", "0b1", "0o7", "1_000", "12:30", "2020-01-02", "~", "", ".inf", "1.2.3")
    ],
)
def test_scalars(text: str, typed: object) -> None:
    found = Scalar(text).typed
    assert (found, type(found) is Scalar) == (typed, isinstance(typed, str))
