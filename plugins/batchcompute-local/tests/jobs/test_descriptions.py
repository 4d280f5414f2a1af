"""What POST /jobs takes and refuses; the settings file."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError, SettingsError
from batchcompute_local.images import Image
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.settings import Settings, read_settings
from hypothesis import given, strategies as st

from tests.support.descriptions import describe

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["TaskDag", "A", "Timeout"]), inner),
    max_leaves=10,
)


def test_defaults_are_filled_in() -> None:
    task = read_description(describe({"A": {}}), Settings()).view["TaskDag"]["TaskDescMap"]["A"]
    assert task["Timeout"] == 86400
    assert task["ImageId"] == "img-local"
    assert (task["OssMappingLocale"], task["OssMappingLock"], task["LoadPreparedData"]) == ("GBK", True, False)
    assert task["ResourceDescription"] == {"Cpu": 800, "Memory": 2000}


def test_the_spelling_of_early_2015() -> None:
    tasks = {n: {"PackageUri": "oss://b/k", "ProgramName": "p"} for n in "AB"}
    dag = {"TaskDescMap": tasks, "Dependences": {"A": ["B"]}}
    plan = read_description(json.dumps({"JobName": "j", "Priority": 0, "TaskDag": dag}).encode(), Settings())
    assert plan.successors == ((1,), ())
    assert plan.view["TaskDag"]["Dependencies"] == {"A": ["B"]}


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ({"Timeout": 0}, "Timeout"),
        ({"Timeout": "x"}, "Timeout"),
        ({"InstanceCount": 0}, "InstanceCount"),
        ({"InstanceCount": 10**9}, "InstanceCount"),
        ({"InstanceCount": 10**30}, "InstanceCount"),
        ({"ProgramType": "cobol"}, "ProgramType"),
        ({"ProgramName": ""}, "ProgramName"),
        ({"PackageUri": "http://x/y"}, "PackageUri"),
        ({"PackageUri": "oss://b/../../etc/passwd"}, "PackageUri"),
        ({"PackageUri": "oss://b/x/"}, "PackageUri"),
        ({"StdoutRedirectPath": "oss://b/../x/"}, "StdoutRedirectPath"),
        ({"ImageId": "m-28ga7wbnb"}, "ImageId"),
        ({"MaxRetryCount": 11}, r"A\.MaxRetryCount: is out of range, got 11; allowed: \[0, 10\]"),
        ({"LeftoverSeconds": -0.5}, r"A\.LeftoverSeconds: is out of range, got -0\.5; allowed: at least 0"),
        ({"LeftoverSeconds": float("nan")}, "LeftoverSeconds: expected a number, got float nan"),
        ({"LeftoverSeconds": True}, "LeftoverSeconds: expected a number"),
        ({"MaxRetryCount": "3"}, "MaxRetryCount: expected an int"),
        ({"OssMapping": {"oss://b/x/": "mnt"}}, r"A\.OssMapping"),
        ({"OssMapping": {"oss://b/x/": "/"}}, "OssMapping: is not a path to map to"),
        ({"OssMapping": {"oss://b/x/": "/a/../b"}}, "OssMapping: is not a path to map to"),
        ({"OssMapping": {"/b/x/": "/mnt"}}, "OssMapping: is not an OSS path"),
        ({"OssMapping": {"oss://b/../x/": "/mnt"}}, "OssMapping"),
        ({"OssMapping": {"oss://b/x/": "/mnt/", "oss://b/y/": "/mnt/y"}}, "lies in another mapped path"),
        ({"OssMapping": {"oss://b/x/": "/m\0"}}, "NUL"),
        (
            {"OssMapping": {"oss://b/x/": "/etc/passwd/x"}},
            "cannot be made on this machine.*nothing can be made in /etc/passwd",
        ),
        ({"OssMappingLocale": "UTF8"}, "did you mean 'UTF-8'"),
        (
            {"ProgramArguments": "it's"},
            r"TaskDescMap\.A\.ProgramArguments: cannot be split into words: no closing quotation",
        ),
        ({"EnvironmentVariables": {"A=B": "c"}}, "EnvironmentVariables"),
        ({"EnvironmentVariables": {"A": "c\0d"}}, "NUL"),
        ({"ProgramArguments": "a\0"}, "NUL"),
    ],
)
def test_a_bad_task(task: dict[str, Any], where: str) -> None:
    with pytest.raises(ServiceError, match=where) as caught:
        read_description(describe({"A": task}), Settings())
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameter")


def test_a_mapped_path_somewhere_else_is_not_looked_for() -> None:
    body = describe({"A": {"ImageId": "img-box", "OssMapping": {"oss://b/x/": "/etc/passwd/x"}}})
    box = Image("img-box", command=("run", "{mapping}", "{argv}"))
    for settings in (Settings(images={"img-box": box}), Settings(executor="elsewhere")):
        assert read_description(body, settings).tasks[0].mapping == {"oss://b/x/": "/etc/passwd/x"}


def test_bad_graphs() -> None:
    for dependencies, code in (
        ({"A": ["B"], "B": ["A"]}, "BadDAG"),
        ({"A": ["A"]}, "BadDAG"),
        ({"A": ["C"]}, "InvalidParameter"),
    ):
        with pytest.raises(ServiceError) as caught:
            read_description(describe({"A": {}, "B": {}}, dependencies), Settings())
        assert caught.value.code == code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"JobName": "\\ud800"}'])
def test_no_json(body: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        read_description(body, Settings())
    assert (caught.value.status, caught.value.code) == (400, "InvalidJsonFormat")


def test_a_name_that_stands_twice() -> None:
    body = b'{"JobName": "j", "TaskDag": {"TaskDescMap": {"A": {},\n"A": {}}}}'
    with pytest.raises(
        ServiceError, match=r"TaskDag\.TaskDescMap\.A is given twice, at line 1 column 46 and line 2"
    ) as caught:
        read_description(body, Settings())
    assert (caught.value.status, caught.value.code) == (400, "InvalidJsonFormat")


@given(json_values)
def test_any_json_is_taken_or_refused(value: Any) -> None:
    for body in (value, {"JobName": "j", "Priority": 1, "TaskDag": value}):
        with suppress(ServiceError):
            read_description(json.dumps(body).encode(), Settings())


def test_settings_name_the_nearest_key(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    assert read_settings(path) == Settings()
    path.write_text('slots = 3\nidle_seconds = 0.5\n[programs]\npython = "/usr/bin/python3"\n')
    assert read_settings(path).slots == 3
    assert read_settings(path).programs == {"python": "/usr/bin/python3"}
    for text, message in (
        ("idle_second = 3", "did you mean 'idle_seconds'"),
        ("SLOTS = 3", "did you mean 'slots'"),
        ("slots = 0", "slots must be positive"),
        ("retry_seconds = -1", "retry_seconds must be positive"),
        ("slots = true", "slots must be a number"),
        ('slots = "2"', "slots must be a number"),
        ("programs = 3", "programs"),
        ("slots =", "Invalid value"),
    ):
        path.write_text(text)
        with pytest.raises(SettingsError, match=message):
            read_settings(path)
