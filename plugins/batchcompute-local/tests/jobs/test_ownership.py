"""A description names buckets of its own account."""

from __future__ import annotations

import json
from typing import Any

import pytest
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.ownership import find_foreign, find_unusable
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.settings import Settings

from tests.support.descriptions import describe

OWNERS = {"mine": 1001, "own": 1000}


def refusal(task: dict[str, Any]) -> str:
    body = json.loads(describe({"A": {"PackageUri": "oss://mine/p"} | task}))
    found = find_foreign(
        read_description(json.dumps(body).encode(), Settings()), 1001, lambda bucket, asking: OWNERS.get(bucket)
    )
    return "" if found is None else found.message


@pytest.mark.parametrize("task", [{}, {"StdoutRedirectPath": "oss://new/x"}, {"OssMapping": {"oss://mine/": "/tmp/m"}}])
def test_own_and_new_buckets(task: dict[str, Any]) -> None:
    assert refusal(task) == ""


@pytest.mark.parametrize(
    ("field", "task"),
    [
        ("PackageUri", {"PackageUri": "oss://own/p"}),
        ("StdoutRedirectPath", {"StdoutRedirectPath": "oss://own/x"}),
        ("StderrRedirectPath", {"StderrRedirectPath": "oss://own/x"}),
        ("OssMapping", {"OssMapping": {"oss://own/x/": "/tmp/m"}}),
    ],
)
def test_the_bucket_of_another_account(field: str, task: dict[str, Any]) -> None:
    message = refusal(task)
    assert f"TaskDag.TaskDescMap.A.{field}" in message
    assert "'own' of another account" in message
    assert "bucket give" in message


@pytest.mark.parametrize(("executor", "allowed"), [("process", True), ("dask", False)])
def test_logs_for_a_bucket_elsewhere_need_the_executor_of_this_machine(executor: str, allowed: bool) -> None:
    far = {"far": BucketElsewhere("far", "file:///mnt/far")}
    for task, usable in (
        ({"PackageUri": "oss://far/p"}, True),
        ({"OssMapping": {"oss://far/x/": "/tmp/m"}}, True),
        ({"StdoutRedirectPath": "oss://near/logs/"}, True),
        ({"StdoutRedirectPath": "oss://far/logs/"}, allowed),
        ({"StderrRedirectPath": "oss://far/logs/"}, allowed),
    ):
        found = find_unusable(read_description(describe({"A": task}), Settings()), far, executor)
        assert (found is None) == usable, task
