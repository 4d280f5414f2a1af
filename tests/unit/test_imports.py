"""What `import batchcompute` costs, and which names it offers. In a fresh process: this one has imported everything."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import batchcompute

HEAVY = (
    "click",
    "rich",
    "sqlite3",
    "starlette",
    "structlog",
    "tenacity",
    "urllib3",
    "uvicorn",
    "vcr",
    "yaml",
)
GUARD = """
import importlib.metadata, json, sys
def refuse(*args, **kwargs):
    raise AssertionError("entry points were scanned")
importlib.metadata.entry_points = refuse
"""
# The names that scripts may rely on: adding one is a decision, losing one breaks somebody.
REFERENCE_NAMES = {
    "Client",
    "JobDescription",
    "TaskDag",
    "TaskDescription",
    "ResourceDescription",
    "Job",
    "Task",
    "Instance",
    "Image",
    "CreateResponse",
    "GetResponse",
    "ActionResponse",
    "ListResponse",
    "CN_QINGDAO",
    "CN_SHENZHEN",
    "CN_HANGZHOU",
    "ClientError",
    "FieldError",
    "ValidationError",
    "JsonError",
    "ConfigError",
}


def fresh(code: str) -> Any:
    """What the code prints as JSON in a new process."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", GUARD + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_import_loads_nothing_heavy_and_scans_no_entry_points() -> None:
    loaded = fresh("from batchcompute import Client; print(json.dumps(sorted(sys.modules)))")
    assert "batchcompute.client" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_values_need_nothing_heavy_either() -> None:
    loaded = fresh(
        """
import batchcompute
from batchcompute import JobDescription
desc = JobDescription('{"TaskDag": {"TaskDescMap": {"A": {"Timeout": 5}}}}')
assert JobDescription(desc.dump()) == desc
print(json.dumps(sorted(sys.modules)))
"""
    )
    assert [name for name in HEAVY if name in loaded] == []


def test_entry_points_are_scanned_once_at_the_first_client() -> None:
    counted = fresh(
        """
counts = []
importlib.metadata.entry_points = lambda **given: counts.append(given) or ()
import batchcompute
before = len(counts)
for _ in range(3):
    batchcompute.Client("cn-qingdao", "id", "secret").close()
print(json.dumps([before, counts]))
"""
    )
    assert counted == [0, [{"group": "batchcompute"}]]


def test_a_client_is_made_without_what_a_first_call_needs() -> None:
    loaded = fresh(
        """
importlib.metadata.entry_points = lambda **given: ()
import batchcompute
batchcompute.Client("cn-qingdao", "id", "secret")
print(json.dumps(sorted(sys.modules)))
"""
    )
    assert [name for name in HEAVY if name in loaded] == []


def test_every_public_name_is_there_and_sorted() -> None:
    names = batchcompute.__all__
    assert len(set(names)) == len(names)
    assert set(names) >= REFERENCE_NAMES
    for name in names:
        assert getattr(batchcompute, name) is not None
    errors = {name for name in vars(batchcompute) if name.endswith(("Error", "Warning"))}
    assert errors <= set(names)


def test_star_import_works() -> None:
    """The original's did not: its __all__ had a misspelt name (protocol 1.8)."""
    names = fresh("from batchcompute import *\nprint(json.dumps(sorted(set(dir()))))")
    assert set(batchcompute.__all__) <= set(names)


def test_the_misspelt_names_warn_in_a_fresh_process() -> None:
    with pytest.raises(AssertionError, match="DeprecationWarning"):
        fresh("from batchcompute import Jobdescription\nprint(1)")


@pytest.mark.parametrize("name", ["CN_QINGDAO", "CN_SHENZHEN", "CN_HANGZHOU"])
def test_the_endpoints_are_the_documented_domains(name: str) -> None:
    place = name.removeprefix("CN_").lower()
    domain = "batchcompute.aliyuncs.com" if place == "hangzhou" else f"batchcompute.cn-{place}.aliyuncs.com"
    assert getattr(batchcompute, name) == domain


def test_errors_name_their_public_module() -> None:
    """In tracebacks, pickles and filters for warnings."""
    kinds = [getattr(batchcompute, name) for name in batchcompute.__all__ if name.endswith(("Error", "Warning"))]
    assert len(kinds) > 20
    assert {kind.__module__ for kind in [*kinds, batchcompute.Problem]} == {"batchcompute.errors"}
    for kind in kinds:
        assert getattr(batchcompute.errors, kind.__name__) is kind
