"""Imports and pickles of version 3.0 go on working, although the values have a folder of their own now."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import batchcompute
from batchcompute.values.properties import Origin

PICKLES = Path(__file__).with_name("values_3_0.pickle")
MAKER = Path(__file__).with_name("make_pickle.py")

# Where each old import is shown or stored. tests/typing/old_homes.py has the same list for type checkers.
OLD_HOMES = {
    # the original SDK, docs/migrating.md, and pickles
    "resources": ("JobDescription", "ResourceDescription", "TaskDag", "TaskDescription", "TaskDict"),
    # pickles, and annotations: the package itself does not offer all of them
    "responses": (
        *("ActionResponse", "CreateResponse", "GetResponse", "Image", "Instance", "Job", "JobDescriptionResponse"),
        *("JobResponse", "ListResponse", "RawResponse", "Task"),
    ),
    # docs/hooks.md, and the service
    "validation": ("check_job", "find_cycle"),
    # pickles
    "jsonizable": ("Jsonizable", "_restore"),
    "containers": ("LazyList", "NamesDict", "StringDict"),
    "properties": ("Origin", "PropertyTypeError"),
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in OLD_HOMES.items() for name in names])
def test_old_imports_give_the_same_object(module: str, name: str) -> None:
    old = getattr(import_module(f"batchcompute.{module}"), name)
    assert old is getattr(import_module(f"batchcompute.values.{module}"), name)
    if name in batchcompute.__all__:
        assert old is getattr(batchcompute, name)


@pytest.mark.parametrize("module", OLD_HOMES)
def test_old_modules_offer_nothing_else(module: str) -> None:
    names = vars(import_module(f"batchcompute.{module}"))
    assert {name for name in names if not name.startswith(("__", "@"))} == set(OLD_HOMES[module])  # @: of pytest


def test_type_checkers_are_shown_the_same_list() -> None:
    text = (Path(__file__).parents[2] / "typing/old_homes.py").read_text(encoding="utf-8")
    public = [name for names in OLD_HOMES.values() for name in names if not name.startswith("_")]
    assert [name for name in public if f" {name}" not in text] == []
    assert [module for module in OLD_HOMES if f"from batchcompute.{module} import" not in text] == []


@pytest.mark.parametrize("module", ["errors", "resources", "responses"])
def test_modules_are_attributes_after_the_import_of_the_package_alone(module: str) -> None:
    code = f"import batchcompute; print(batchcompute.{module}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == f"batchcompute.{module}"


def read_pickle() -> dict[str, object]:
    found = pickle.loads(PICKLES.read_bytes())
    assert isinstance(found, dict)
    return found


def test_pickles_of_3_0_load() -> None:
    found = read_pickle()
    homes = [import_module(f"batchcompute.{name}") for name in (*OLD_HOMES, "errors")]
    for name, value in found.items():
        assert any(type(value) is getattr(home, name, None) for home in homes), name


def test_pickles_of_3_0_keep_what_they_hold() -> None:
    from batchcompute import JobDescription, JobFailedError, ListResponse, Task, ValidationError

    found = read_pickle()
    description = found["JobDescription"]
    assert isinstance(description, JobDescription)
    assert description.TaskDag.Dependencies == {"Find": ["Count"]}
    assert description.TaskDag.get_task("Find").InstanceCount == 4
    assert description.TaskDag.get_task("Find").EnvironmentVariables == {"A": "1"}
    jobs = found["ListResponse"]
    assert isinstance(jobs, ListResponse)
    assert (jobs.RequestId, jobs[0].JobId, jobs[0].State) == ("REQ-1", "job-1", "Failed")
    task = found["Task"]
    assert isinstance(task, Task)
    assert [instance.State for instance in task.InstanceList] == ["Finished", "Failed"]
    assert found["Origin"] == Origin("REQ-1", 200, "Tue, 30 Jun 2015 00:00:00 GMT")
    failed = found["JobFailedError"]
    assert isinstance(failed, JobFailedError)
    assert (failed.job.State, failed.log) == ("Failed", "Traceback")
    invalid = found["ValidationError"]
    assert isinstance(invalid, ValidationError)
    assert invalid.problems[0].path == "Priority"


def test_pickles_are_read_by_a_process_that_has_imported_nothing() -> None:
    code = f"""
import json, pickle
found = pickle.load(open({str(PICKLES)!r}, "rb"))
print(json.dumps({{name: str(value) for name, value in found.items()}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {name: str(value) for name, value in read_pickle().items()}


def test_the_pickle_holds_what_its_maker_makes() -> None:
    code = MAKER.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "maker"}
    exec(compile(code, str(MAKER), "exec"), namespace)  # the file beside this one
    made = namespace["make"]()  # type: ignore[operator]  # a function of that file
    assert list(made) == list(read_pickle())
    again = pickle.loads(pickle.dumps(made))
    assert {name: str(value) for name, value in again.items()} == {
        name: str(value) for name, value in read_pickle().items()
    }
