"""What users call their environment variables is their own business, and so are the values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from batchcompute import JobDescription, TaskDag, TaskDescription
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

# Names that the original SDK rewrote, or broke on (protocol 1.7).
VARIABLES = {
    "Name": "n",
    "State": "2",
    "StartTime": "1435651200",
    "CreateTime": "yesterday",
    "ErrorCode": "7",
    "ResourceId": "job-x",
    "InstanceStatusVector": "v",
    "UnfinishedInstances": "u",
    "EnvironmentVariables": "e",
}
CANARY = "zq9-canary"


def test_values_become_text() -> None:
    given = {"A": True, "B": 5, "C": 1.5, "D": False, "E": 0, "F": "", "G": "text"}
    expected = {"A": "True", "B": "5", "C": "1.5", "D": "False", "E": "0", "F": "", "G": "text"}
    by_dict = TaskDescription({"EnvironmentVariables": given})
    by_attribute = TaskDescription()
    by_attribute.EnvironmentVariables = given
    one_by_one = TaskDescription()
    for name, value in given.items():
        one_by_one.EnvironmentVariables[name] = value
    for task in (by_dict, by_attribute, one_by_one):
        assert task.EnvironmentVariables == task.detail()["EnvironmentVariables"] == expected
        assert json.loads(task.dump())["EnvironmentVariables"] == expected
    assert given["A"] is True


def test_names_are_untouched_on_the_way_in(stub: Stub) -> None:
    desc = JobDescription(describe_find(EnvironmentVariables=VARIABLES))
    assert desc.TaskDag.TaskDescMap["Find"].EnvironmentVariables == VARIABLES
    stub.answer({"ResourceId": "job-1"}, 201)
    stub.client().create_job(desc)
    sent = json.loads(stub.requests[0].body)
    assert sent["TaskDag"]["TaskDescMap"]["Find"]["EnvironmentVariables"] == VARIABLES


@pytest.mark.parametrize("human_readable", [False, True])
def test_names_are_untouched_on_the_way_back(stub: Stub, human_readable: bool) -> None:
    stub.answer(describe_find(EnvironmentVariables=VARIABLES))
    desc = stub.client(human_readable).get_job_description("job-1")
    assert desc.TaskDag.TaskDescMap["Find"].EnvironmentVariables == VARIABLES
    assert desc.JobName == "find-prime"


def test_values_stay_out_of_reprs() -> None:
    task = TaskDescription({"EnvironmentVariables": {"PASSWORD": CANARY}})
    dag = TaskDag({"TaskDescMap": {"A": task}})
    for shown in (task, dag, dag.TaskDescMap, [task], JobDescription({"TaskDag": dag})):
        assert CANARY not in repr(shown)
        assert "PASSWORD" in repr(shown)
    assert CANARY in str(task)  # dump is for the service


SECRET = {"EnvironmentVariables": {"P": CANARY}}
MISTAKES: dict[str, tuple[type, Any]] = {
    "value in a list": (TaskDescription, {"EnvironmentVariables": {"P": [CANARY]}}),
    "value in a dict": (TaskDescription, {"EnvironmentVariables": {"P": {"x": CANARY}}}),
    "bytes": (TaskDescription, {"EnvironmentVariables": {"P": CANARY.encode()}}),
    "variables as a list": (TaskDescription, {"EnvironmentVariables": [f"P={CANARY}"]}),
    "variables as a text": (TaskDescription, {"EnvironmentVariables": f"P={CANARY}"}),
    "tasks as a list": (TaskDag, {"TaskDescMap": [SECRET]}),
    "text where a task stands": (TaskDag, {"TaskDescMap": {"A": f"P={CANARY}"}}),
    "list where a task stands": (TaskDag, {"TaskDescMap": {"A": [SECRET]}}),
    "dag in a list": (JobDescription, {"TaskDag": [{"P": CANARY}]}),
    "dependencies": (TaskDag, {"Dependencies": [SECRET]}),
}


@pytest.mark.parametrize(("cls", "given"), MISTAKES.values(), ids=MISTAKES)
def test_values_stay_out_of_errors(cls: Any, given: dict[str, Any]) -> None:
    uses: list[Callable[[], object]] = [lambda: cls(given), lambda: cls().update(given)]
    for use in uses:
        with pytest.raises((TypeError, ValueError)) as caught:
            use()
        assert "zq" not in str(caught.value)
        assert "zq" not in repr(caught.value)
