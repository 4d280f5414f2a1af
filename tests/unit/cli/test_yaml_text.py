"""YAML descriptions: what is written is what the job gets, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from batchcompute import JobDescription
from batchcompute.cli.failures import Refused
from batchcompute.cli.reading import read_description
from batchcompute.cli.yaml_text import parse_yaml

AS_WRITTEN = [
    "no",
    "Yes",
    "off",
    "true",
    "1e3",
    "1.10",
    "0x10",
    "0b1",
    "010",
    "007",
    "1_000",
    "12:30",
    "2020-01-02",
    "=",
    ".5",
]


def read(folder: Path, text: str) -> JobDescription:
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return read_description(str(path))


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_places_for_text_get_what_is_written(tmp_path: Path, text: str) -> None:
    job = read(
        tmp_path,
        f"JobName: {text}\nTaskDag:\n  TaskDescMap:\n    {text}:\n      ProgramArguments: {text}\n"
        f"      EnvironmentVariables: {{A: {text}, {text}: x}}\n  Dependencies: {{{text}: [{text}]}}\n",
    )
    task = job.TaskDag.TaskDescMap[text]
    assert (job.JobName, task.ProgramArguments, task.EnvironmentVariables) == (text, text, {"A": text, text: "x"})
    assert job.TaskDag.Dependencies == {text: [text]}
    assert type(job.JobName) is type(task.EnvironmentVariables["A"]) is str


def test_other_places_get_their_types(tmp_path: Path) -> None:
    job = read(
        tmp_path,
        """
        Priority: 5
        JobTag:
        JobFailOnInstanceFail: no
        TaskDag: {TaskDescMap: {
            A: {InstanceCount: 4, Timeout: ~, LeftoverSeconds: 1e1, OssMappingLock: yes, EnvironmentVariables: null},
            B: {InstanceCount: "4", LeftoverSeconds: 2, MaxRetryCount: 3}, C: , D: ~}}
        """,
    )
    tasks = job.TaskDag.TaskDescMap
    assert (job.Priority, job.JobTag, job.JobFailOnInstanceFail) == (5, "Batchcompute", False)
    assert (tasks["A"].InstanceCount, tasks["A"].Timeout, tasks["A"].OssMappingLock) == (4, None, True)
    assert (tasks["A"].LeftoverSeconds, tasks["B"].InstanceCount, tasks["B"].MaxRetryCount) == (10.0, 4, 3)
    assert tasks["C"] == tasks["D"]
    json.loads(job.dump())


@pytest.mark.parametrize("text", ["010", "0x10", "1_000", "12:30", "yes", "many"])
@pytest.mark.parametrize("place", ["Priority", "TaskDag: {TaskDescMap: {A: {InstanceCount"])
def test_numbers_on_which_readers_differ_are_refused(tmp_path: Path, place: str, text: str) -> None:
    closing = "}" * place.count("{")
    with pytest.raises(
        Refused, match=rf"{place.split()[-1].strip('{')}: expected an int in decimal digits, got '{text}'"
    ):
        read(tmp_path, f"{place}: {text}{closing}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("JobName: ~", "JobName: expected a text, in quotes if this is one, got '~'"),
        ("JobName: null", "got 'null'"),
        (
            "TaskDag: {TaskDescMap: {A: {EnvironmentVariables: {B: ~}}}}",
            "EnvironmentVariables.B: expected a str, got a null",
        ),
        ("TaskDag: {Dependencies: {A: B}}", "Dependencies.A: expected a list of task names, got 'B'"),
        ("TaskDag: {TaskDescMap: {A: a.py}}", "TaskDescMap.A: expected a dict, got 'a.py'"),
        ("TaskDag: {TaskDescMap: {A: {OssMappingLock: 1}}}", "OssMappingLock: expected a bool, got '1'"),
        ("? [a]\n: 1", "is not YAML: found unhashable key, line 1"),
    ],
)
def test_refusals(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "TaskDag:\n  TaskDescMap:\n    Align: {ProgramName: a}\n    Align: {ProgramName: b}\n",
            r"job\.yaml: TaskDag\.TaskDescMap\.Align is given twice, at line 3 column 5 and line 4 column 5; keep one",
        ),
        ("JobName: a\nPriority: 1\n'JobName': b\n", "JobName is given twice, at line 1 column 1 and line 3 column 1"),
        (
            "TaskDag: {TaskDescMap: {A: {EnvironmentVariables: {1: a, '1': b}}}}",
            "EnvironmentVariables.1 is given twice",
        ),
    ],
)
def test_doubled_keys(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        read(tmp_path, text)


def test_doubled_keys_of_json(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{"TaskDag": {"TaskDescMap": {\n"A": {"Timeout": 1},\n"A": {"Timeout": 2}}}}', encoding="utf-8")
    expected = r"job\.json: TaskDag\.TaskDescMap\.A is given twice, at line 2 column 1 and line 3 column 1; keep one"
    with pytest.raises(Refused, match=expected):
        read_description(str(path))


def test_floats_of_toml_keep_their_spelling(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text("[TaskDag.TaskDescMap.A.EnvironmentVariables]\nRATE = 1e3\nVERSION = 1.10\n", encoding="utf-8")
    task = read_description(str(path)).TaskDag.TaskDescMap["A"]
    assert task.EnvironmentVariables == {"RATE": "1e3", "VERSION": "1.10"}


def test_merge_keys_may_be_overridden() -> None:
    text = "a: {x: &b {<<: &c {k: one, m: two}, k: three}}\nt: {<<: *b, k: four}\nu: *b\nv: {<<: [*b, *c]}\n"
    found = parse_yaml(text)
    assert found == yaml.safe_load(text)
    assert (found["a"]["x"]["k"], found["t"]) == ("three", {"k": "four", "m": "two"})


def test_quotes_and_tags_say_the_type() -> None:
    assert parse_yaml("['5', \"~\", !!str 010, |\n no\n]".replace("|\n no\n", "''")) == ["5", "~", "010", ""]
    assert [type(item) for item in parse_yaml("['5', !!int '5', 5]")][:2] == [str, int]
    assert parse_yaml("") is None
