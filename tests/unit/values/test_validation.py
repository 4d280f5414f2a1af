"""A description is checked before anything is sent: every problem at once, each with its path."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import pytest

from batchcompute import JobDescription, Problem, Range, Ranges, Region, TaskDag, ValidationError
from batchcompute.hooks import RegistrationContext, ValidationContext, hookimpl
from batchcompute.values.validation import check_job, find_cycle
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

FIND = "TaskDag.TaskDescMap.Find"
CLOUD = Ranges()


def problems(description: dict[str, Any], ranges: Ranges = CLOUD) -> dict[str, Problem]:
    found = check_job(JobDescription(description), ranges)
    assert len({problem.path for problem in found}) == len(found)
    return {problem.path: problem for problem in found}


def test_a_right_description_has_no_problems() -> None:
    assert problems(describe_find()) == {}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("Priority", 0, 1000),
        (f"{FIND}.Timeout", 1, 86400),
        (f"{FIND}.InstanceCount", 1, None),
        (f"{FIND}.ResourceDescription.Cpu", 800, 2400),
        (f"{FIND}.ResourceDescription.Memory", 2000, 65536),
    ],
)
def test_each_range_of_the_reference(name: str, low: int, high: int | None) -> None:
    def found(value: int) -> dict[str, Problem]:
        desc = JobDescription(describe_find())
        task = desc.TaskDag.TaskDescMap["Find"]
        leaf = name.rpartition(".")[2]
        owner: Any = desc if name == leaf else task.ResourceDescription if "ResourceDescription" in name else task
        setattr(owner, leaf, value)
        return problems(desc.detail())

    assert found(low) == {}
    assert found(high if high is not None else 10**6) == {}
    for bad in (low - 1, -5) if high is None else (low - 1, high + 1):
        (problem,) = found(bad).values()
        assert problem.path == name
        assert problem.value == bad
        assert str(low) in problem.allowed
        assert str(high or "at least") in problem.allowed
        assert problem.source == "reference section 2.1"
        assert str(problem).startswith(f"{name}: is out of range, got {bad}; allowed: ")


def test_every_problem_at_once_with_its_path() -> None:
    bad_task = {
        "PackageUri": "/tmp/worker.tar.gz",
        "ProgramType": "pyhton",
        "InstanceCount": 0,
        "Timeout": 86401,
        "ResourceDescription": {"Cpu": 16, "Memory": 1},
        "StdoutRedirectPath": "logs/",
        "StderrRedirectPath": "oss:///x",
    }
    found = problems(
        {
            "Priority": 1001,
            "TaskDag": {"TaskDescMap": {"Find": bad_task, "_prepare": {}}, "Dependencies": {"Find": ["Fnid"]}},
        }
    )
    assert list(found) == [
        "JobName",
        "Priority",
        f"{FIND}.ProgramName",
        f"{FIND}.ImageId",
        f"{FIND}.ProgramType",
        f"{FIND}.InstanceCount",
        f"{FIND}.Timeout",
        f"{FIND}.ResourceDescription.Cpu",
        f"{FIND}.ResourceDescription.Memory",
        f"{FIND}.PackageUri",
        f"{FIND}.StdoutRedirectPath",
        f"{FIND}.StderrRedirectPath",
        "TaskDag.TaskDescMap._prepare",
        "TaskDag.TaskDescMap._prepare.PackageUri",
        "TaskDag.TaskDescMap._prepare.ProgramName",
        "TaskDag.TaskDescMap._prepare.ImageId",
        "TaskDag.TaskDescMap._prepare.Timeout",
        "TaskDag.Dependencies.Find",
    ]
    assert found[f"{FIND}.ProgramType"].hint == "python"
    assert found["TaskDag.Dependencies.Find"].hint == "Find"
    assert found["JobName"].value is None


def test_an_empty_description() -> None:
    assert list(problems({})) == ["JobName", "Priority", "TaskDag.TaskDescMap"]


def test_the_error_lists_them_all_and_nothing_is_sent(stub: Stub) -> None:
    with pytest.raises(ValidationError) as caught:
        stub.client().create_job({"JobName": "a"})
    assert [problem.path for problem in caught.value.problems] == ["Priority", "TaskDag.TaskDescMap"]
    text = str(caught.value)
    assert text.startswith("not sent because of 2 problems:\n")
    assert "Priority: is missing; allowed: [0, 1000] [reference section 2.1]" in text
    assert "TaskDag.TaskDescMap: is missing" in text
    assert isinstance(caught.value, ValueError)
    assert stub.requests == []


@pytest.mark.parametrize("priority", [-1, 1001])
def test_a_new_priority_is_checked_before_it_is_sent(stub: Stub, priority: int) -> None:
    with pytest.raises(ValidationError, match=r"Priority: is out of range.*\[0, 1000\]"):
        stub.client().update_job_priority("job-1", priority)
    wrong: Any
    for wrong in ("5", 5.0, True, None):
        with pytest.raises(TypeError, match="priority must be an int"):
            stub.client().update_job_priority("job-1", wrong)
    assert stub.requests == []


def dag(**dependencies: list[str]) -> dict[str, list[str]]:
    return dependencies


@pytest.mark.parametrize(
    ("dependencies", "cycle"),
    [
        (dag(), []),
        (dag(A=[]), []),
        (dag(A=["B", "C"], B=["D"], C=["D"]), []),
        (dag(A=["B"], B=["C"], D=["B"], E=["D", "A"]), []),
        (dag(A=["A"]), ["A", "A"]),
        (dag(A=["B"], B=["A"]), ["A", "B", "A"]),
        (dag(A=["B"], B=["C", "D"], D=["E"], E=["B"]), ["B", "D", "E", "B"]),
        (dag(A=["B"], X=["Y"], Y=["X"]), ["X", "Y", "X"]),
    ],
)
def test_cycles(dependencies: dict[str, list[str]], cycle: list[str]) -> None:
    assert find_cycle(dependencies) == cycle


def test_a_cycle_is_shown() -> None:
    description = describe_find()
    tasks = description["TaskDag"]["TaskDescMap"]
    tasks["Count"] = copy.deepcopy(tasks["Find"])
    description["TaskDag"]["Dependencies"] = {"Find": ["Count"], "Count": ["Find"]}
    (problem,) = problems(description).values()
    assert (problem.path, problem.value) == ("TaskDag.Dependencies", "Find -> Count -> Find")
    description["TaskDag"]["Dependencies"] = {"Find": ["Count"], "Count": []}
    assert problems(description) == {}


@pytest.mark.parametrize("closed", [False, True])
def test_a_chain_of_5000_tasks_needs_no_recursion(closed: bool) -> None:
    description = describe_find()
    task = description["TaskDag"]["TaskDescMap"].pop("Find")
    names = [f"T{number}" for number in range(5000)]
    description["TaskDag"]["TaskDescMap"] = dict.fromkeys(names, task)
    chain = {before: [after] for before, after in pairwise(names)}
    description["TaskDag"]["Dependencies"] = chain | ({names[-1]: [names[0]]} if closed else {})
    found = problems(description)
    assert len(found) == closed
    if closed:
        assert len(found["TaskDag.Dependencies"].value.split(" -> ")) == 5001  # type: ignore[attr-defined]  # a text here
        assert len(str(found["TaskDag.Dependencies"])) < 300


def test_unknown_names_in_dependencies() -> None:
    description = describe_find()
    description["TaskDag"]["Dependencies"] = {"Fynd": ["Find"], "Find": ["Nowhere"]}
    found = check_job(JobDescription(description), CLOUD)
    assert [(problem.path, problem.value, problem.hint) for problem in found] == [
        ("TaskDag.Dependencies", "Fynd", "Find"),
        ("TaskDag.Dependencies.Find", "Nowhere", ""),
    ]
    assert {problem.allowed for problem in found} == {"Find"}


@pytest.mark.parametrize("name", ["a b", "-a", ".a", "_a", "a/b", "../x", "é", "x" * 65])
def test_task_names_that_cannot_be_part_of_a_path(name: str) -> None:
    description = describe_find()
    description["TaskDag"]["TaskDescMap"] = {name: description["TaskDag"]["TaskDescMap"]["Find"]}
    (problem,) = check_job(JobDescription(description), CLOUD)
    assert (problem.path, problem.value) == (f"TaskDag.TaskDescMap.{name}", name)


WIDE = Ranges(
    timeout=Range(1),
    cpu=Range(1),
    memory=Range(1, 10**6),
    program_types=("python", "sh"),
    optional=frozenset({"Timeout", "ImageId"}),
    source="region wide",
)


class WideRegion:
    @hookimpl
    def register_regions(self, ctx: RegistrationContext) -> list[Region]:
        return [Region("wide", "wide.example", ranges=WIDE)]


def test_a_region_widens_the_ranges(
    stub: Stub,
) -> None:
    from batchcompute import Client

    task = {"ProgramType": "sh", "Timeout": None, "ImageId": None, "ResourceDescription": {"Cpu": 1, "Memory": 70000}}
    description = describe_find(**task)
    with pytest.raises(ValidationError) as caught:
        stub.client().create_job(description)
    assert len(caught.value.problems) == 5
    stub.answer({"ResourceId": "job-1"})
    client = Client("wide", "id", "secret", plugins=[stub, WideRegion()])
    assert client.create_job(description).JobId == "job-1"
    assert "Timeout" not in json.loads(stub.requests[0].body)["TaskDag"]["TaskDescMap"]["Find"]
    description["TaskDag"]["TaskDescMap"]["Find"]["ResourceDescription"]["Cpu"] = 0
    with pytest.raises(ValidationError, match=r"Cpu: is out of range, got 0; allowed: at least 1 \[region wide\]"):
        client.create_job(description)


@pytest.mark.parametrize(("answer", "sent"), [([Problem("X", 1, "is odd")], 0), ([], 1), ((), 1)])
def test_a_plugin_decides_what_is_right(stub: Stub, answer: Any, sent: int) -> None:
    seen: list[ValidationContext] = []

    class Validator:
        @hookimpl
        def validate_description(self, ctx: ValidationContext) -> Any:
            seen.append(ctx)
            return answer

    stub.answer({"ResourceId": "job-1"})
    client = stub.client(plugins=(Validator(),))
    if sent:
        client.create_job({"JobName": "a"})  # the built-in checks would refuse it
    else:
        with pytest.raises(ValidationError, match="1 problem:\n  X: is odd, got 1"):
            client.create_job({"JobName": "a"})
    assert len(stub.requests) == sent
    assert (seen[0].region.name, seen[0].description.JobName) == ("cn-qingdao", "a")


def test_a_plugin_that_declines_leaves_it_to_the_built_in_checks(stub: Stub) -> None:
    class Validator:
        @hookimpl
        def validate_description(self, ctx: ValidationContext) -> None:
            return None

    with pytest.raises(ValidationError):
        stub.client(plugins=(Validator(),)).create_job({"JobName": "a"})


@pytest.mark.parametrize("bad", [5, b"{}", [], TaskDag()])
def test_what_is_no_description_is_a_type_error(stub: Stub, bad: Any) -> None:
    with pytest.raises(TypeError):
        stub.client().create_job(bad)
    assert stub.requests == []


def test_types_that_need_no_package() -> None:
    ranges = Ranges(program_types=("python", "command"), packageless_types=frozenset({"command"}))

    def found(kind: str, ranges: Ranges = ranges) -> list[str]:
        description = describe_find()
        description["TaskDag"]["TaskDescMap"]["Find"] |= {"ProgramType": kind, "PackageUri": ""}
        return [path.removeprefix(f"{FIND}.") for path in problems(description, ranges)]

    assert found("command") == []
    assert found("python") == ["PackageUri"]
    assert found("command", CLOUD) == ["PackageUri", "ProgramType"]


def _with_extensions(retries: object, fails: object) -> dict[str, Any]:
    description = describe_find(MaxRetryCount=retries)
    return description | {"JobFailOnInstanceFail": fails}


KNOWING = Ranges(extensions=frozenset({"MaxRetryCount", "JobFailOnInstanceFail"}), source="region knowing")


def test_an_extension_that_the_region_does_not_have_is_a_problem() -> None:
    found = problems(_with_extensions(3, False))
    assert [str(problem) for problem in found.values()] == [
        "JobFailOnInstanceFail: is an extension that this region does not have, got False; allowed: true, the default"
        " [reference section 2.1]",
        f"{FIND}.MaxRetryCount: is an extension that this region does not have, got 3; allowed: 0, the default"
        " [reference section 2.1]",
    ]
    assert problems(_with_extensions(11, False), Ranges(extensions=frozenset({"JobFailOnInstanceFail"}))).keys() == {
        f"{FIND}.MaxRetryCount"
    }
    assert problems(_with_extensions(3, False), KNOWING) == {}


def test_leftover_seconds_is_an_extension_of_region_local() -> None:
    description = describe_find(LeftoverSeconds=0)
    assert [str(problem) for problem in problems(description).values()] == [
        f"{FIND}.LeftoverSeconds: is an extension that this region does not have, got 0; allowed: null, the default"
        " [reference section 2.1]"
    ]
    knowing = Ranges(extensions=frozenset({"LeftoverSeconds"}))
    assert problems(description, knowing) == {}
    assert problems(describe_find(LeftoverSeconds=-1), knowing).keys() == {f"{FIND}.LeftoverSeconds"}
    written = JobDescription(describe_find(LeftoverSeconds=0.5))
    assert JobDescription(written.dump()).TaskDag.get_task("Find").LeftoverSeconds == 0.5
    assert "LeftoverSeconds" not in JobDescription(describe_find(LeftoverSeconds=None)).dump()


@pytest.mark.parametrize(("retries", "right"), [(0, True), (10, True), (11, False), (-1, False)])
def test_the_range_of_retries(retries: int, right: bool) -> None:
    found = problems(_with_extensions(retries, True), KNOWING)
    assert [str(problem) for problem in found.values()] == [
        f"{FIND}.MaxRetryCount: is out of range, got {retries}; allowed: [0, 10] [region knowing]"
    ] * (not right)


@pytest.mark.parametrize("given", [(None, None), (0, True)])
def test_the_default_of_an_extension_is_not_sent(stub: Stub, given: tuple[object, object]) -> None:
    stub.answer({"ResourceId": "job-1"})
    description = JobDescription(_with_extensions(*given))
    task = description.TaskDag.get_task("Find")
    assert (task.MaxRetryCount, description.JobFailOnInstanceFail) == (0, True)
    assert description == JobDescription(describe_find())
    stub.client().create_job(description)
    assert "MaxRetryCount" not in stub.requests[0].body.decode()
    assert "JobFailOnInstanceFail" not in stub.requests[0].body.decode()


def test_extensions_are_sent_where_they_are_known(stub: Stub) -> None:
    from batchcompute import Client

    class Knowing:
        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> list[Region]:
            return [Region("knowing", "knowing.example", ranges=KNOWING)]

    stub.answer({"ResourceId": "job-1"})
    client = Client("knowing", "id", "secret", plugins=[stub, Knowing()])
    client.create_job(json.dumps(_with_extensions(2, False)))
    sent = json.loads(stub.requests[0].body)
    assert sent["JobFailOnInstanceFail"] is False
    assert sent["TaskDag"]["TaskDescMap"]["Find"]["MaxRetryCount"] == 2
    assert JobDescription.from_wire(sent) == JobDescription(_with_extensions(2, False))


@pytest.mark.parametrize(("retries", "fails"), [("3", True), (True, True), (1.5, True), (1, 0), (1, "false")])
def test_extensions_of_the_wrong_type(retries: object, fails: object) -> None:
    with pytest.raises(TypeError, match=r"MaxRetryCount: expected an int|JobFailOnInstanceFail: expected a bool"):
        JobDescription(_with_extensions(retries, fails))
