"""What the original SDK could not do: ==, in, len, iteration, copy, pickle, repr and subscript, on every class."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from batchcompute import (
    ActionResponse,
    CreateResponse,
    Image,
    Instance,
    Job,
    JobDescription,
    ListResponse,
    Ranges,
    ResourceDescription,
    Task,
    TaskDag,
    TaskDescription,
)
from batchcompute.values.jsonizable import Record
from batchcompute.values.properties import Origin
from batchcompute.values.responses import GetResponse, JobDescriptionResponse, JobResponse
from batchcompute.values.validation import check_job
from tests.support.descriptions import describe_find

TASK = {"ProgramName": "a.py", "EnvironmentVariables": {"A": ""}, "InstanceCount": 3}
DAG = {"TaskDescMap": {"A": TASK}, "Dependencies": {"A": []}}
TASK_STATE = {"TaskName": "A", "State": 2, "InstanceStatusVector": [{"InstanceId": 0, "State": 3}]}
ORIGIN = Origin("REQ-1", 200, "Tue, 30 Jun 2015 08:00:00 GMT")
META = {"RequestId": "REQ-1", "StatusCode": 200, "Date": "Tue, 30 Jun 2015 08:00:00 GMT"}

MAKERS: dict[str, Callable[[], Record]] = {
    "JobDescription": lambda: JobDescription({"JobName": "a", "Priority": 0, "TaskDag": DAG}),
    "TaskDag": lambda: TaskDag(DAG),
    "TaskDescription": lambda: TaskDescription(TASK),
    "ResourceDescription": lambda: ResourceDescription({"Cpu": 900}),
    "Job": lambda: Job({"JobId": "job-1", "State": "Running"}),
    "Task": lambda: Task.wrap(copy.deepcopy(TASK_STATE), ORIGIN),
    "Instance": lambda: Instance({"InstanceId": 3, "State": "Failed"}),
    "Image": lambda: Image({"ImageId": "img-1", "Platform": "Linux"}),
    "CreateResponse": lambda: CreateResponse.wrap({"ResourceId": "job-1"}, ORIGIN),
    "ActionResponse": lambda: ActionResponse.wrap({}, ORIGIN),
    "JobResponse": lambda: JobResponse.wrap({"ResourceId": "job-1", "State": 1}, ORIGIN),
    "JobDescriptionResponse": lambda: JobDescriptionResponse.from_wire({"JobName": "a", "TaskDag": DAG}, ORIGIN),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every
def test_equality(make: Callable[[], Record]) -> None:
    one, two = make(), make()
    assert one == two
    assert (one != two) is False
    assert one != one.detail()
    assert one is not None
    other = type(one).from_wire({}, Origin("REQ-2", 404))
    assert one != other


@every
def test_in_len_iteration_and_subscript(make: Callable[[], Record]) -> None:
    made = make()
    names = list(made)
    assert names == made.keys() == list(made.detail())
    assert len(made) == len(names) > 0
    assert all(name in made for name in names)
    assert "Nonsense" not in made
    assert dict(made).keys() == made.detail().keys()
    for name in names:
        assert made[name] == getattr(made, name)


@every
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, *(lambda obj, p=p: pickle.loads(pickle.dumps(obj, p)) for p in range(2, 6))],
    ids=["copy", "deepcopy", "pickle2", "pickle3", "pickle4", "pickle5"],
)
def test_copies_are_equal_and_independent(make: Callable[[], Record], again: Callable[[Any], Any]) -> None:
    made = make()
    twin = again(made)
    assert type(twin) is type(made)
    assert twin == made
    assert twin.detail() == made.detail()
    if isinstance(made, (ActionResponse, GetResponse)):
        assert {name: twin[name] for name in META} == META
    if isinstance(twin, TaskDag):
        twin.TaskDescMap["A"].InstanceCount = 9
        twin.Dependencies["A"].append("B")
        assert twin != made == make()


@every
def test_repr_is_short_and_says_what_it_is(make: Callable[[], Record]) -> None:
    made = make()
    assert repr(made).startswith(f"{type(made).__name__}(")
    assert next(iter(made)) in repr(made)


def test_repr_of_large_lists_is_short() -> None:
    task = Task({"TaskName": "A", "InstanceList": [{"InstanceId": n} for n in range(1000)]})
    assert len(repr(task)) < 100
    assert "1000 items" in repr(task)
    assert repr(task.InstanceList).endswith("1000 items]")


@pytest.mark.parametrize("name", ["Job", "Task", "Instance", "Image", "CreateResponse", "JobResponse"])
def test_what_is_answered_can_stand_in_sets(name: str) -> None:
    assert len({MAKERS[name](), MAKERS[name]()}) == 1


@pytest.mark.parametrize("name", ["JobDescription", "TaskDag", "TaskDescription", "JobDescriptionResponse"])
def test_what_can_change_cannot_stand_in_sets(name: str) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(MAKERS[name]())


@pytest.mark.parametrize("name", ["CreateResponse", "ActionResponse", "JobResponse", "JobDescriptionResponse"])
def test_responses_carry_request_id_status_and_date(name: str) -> None:
    response = MAKERS[name]()
    for key, value in META.items():
        assert response[key] == getattr(response, key) == value
        assert key in response
        with pytest.raises(AttributeError):
            object.__setattr__(response, key, "other")


def test_a_get_response_is_what_it_wraps() -> None:
    job, desc = MAKERS["JobResponse"](), MAKERS["JobDescriptionResponse"]()
    assert isinstance(job, GetResponse)
    assert isinstance(job, Job)
    assert job == Job({"JobId": "job-1", "State": "Waiting"})
    assert "RequestId" not in job.detail()
    assert isinstance(desc, GetResponse)
    assert isinstance(desc, JobDescription)
    assert JobDescription(desc) == desc == JobDescription({"JobName": "a", "TaskDag": DAG})
    assert JobDescription(desc.dump()) == desc
    assert Job(job) == job


@pytest.mark.parametrize("wire", [True, False])
def test_task_lists_behave_as_lists(wire: bool) -> None:
    items = [{"InstanceId": n} for n in range(3)]
    tasks = Task.wrap({"InstanceStatusVector": items}, ORIGIN) if wire else Task({"InstanceList": items})
    instances = tasks.InstanceList
    assert instances is tasks.InstanceList
    assert [item.InstanceId for item in instances] == [0, 1, 2]
    assert [item.InstanceId for item in instances[1:]] == [1, 2]
    assert [item.InstanceId for item in reversed(instances)] == [2, 1, 0]
    assert instances[-1] == Instance({"InstanceId": 2})
    assert instances == [Instance(item) for item in items]
    assert Instance({"InstanceId": 1}) in instances
    assert 1 in instances
    assert 7 not in instances
    with pytest.raises(IndexError):
        _ = instances[3]
    assert Task().InstanceList == []


def test_list_responses() -> None:
    data = [{"ResourceId": f"job-{n}", "State": n} for n in range(4)]
    jobs: ListResponse[Job] = ListResponse(Job, data, ORIGIN)
    for twin in (jobs, copy.copy(jobs), copy.deepcopy(jobs), pickle.loads(pickle.dumps(jobs))):
        assert isinstance(twin, ListResponse)
        assert twin == jobs
        assert len(twin) == 4
        assert [job.State for job in twin] == ["Init", "Waiting", "Running", "Finished"]
        assert {name: getattr(twin, name) for name in META} == {name: twin[name] for name in META} == META
        assert [job.JobId for job in twin[:2]] == ["job-0", "job-1"]
        assert "job-3" in twin
        assert "job-4" not in twin
        assert jobs[2] in twin
        assert type(twin[0]) is Job
    assert jobs + jobs[:1] == [*jobs, jobs[0]]  # the operator is what is tested
    assert jobs != jobs[:3]
    assert repr(jobs).startswith("[Job(JobId='job-0', State='Init'), ")


def test_callers_dicts_are_neither_changed_nor_shared() -> None:
    given: dict[str, Any] = {"JobName": "a", "TaskDag": copy.deepcopy(DAG)}
    before = copy.deepcopy(given)
    for desc in (JobDescription(given), JobDescription(), JobDescription()):
        desc.update(given)
        desc.TaskDag.TaskDescMap["A"].EnvironmentVariables["NEW"] = "1"
        desc.TaskDag.TaskDescMap["B"] = {}
        desc.TaskDag.Dependencies["A"].append("B")
        desc.detail()["TaskDag"]["TaskDescMap"].clear()
        assert given == before
    dag = TaskDag()
    dag.TaskDescMap = given["TaskDag"]["TaskDescMap"]
    dag.TaskDescMap["A"].ProgramName = "other"
    assert given == before
    given["TaskDag"]["TaskDescMap"]["A"]["EnvironmentVariables"]["A"] = "changed"
    assert desc.TaskDag.TaskDescMap["A"].EnvironmentVariables == {"A": "", "NEW": "1"}


def test_dependencies_are_added_in_any_order() -> None:
    job = JobDescription({"JobName": "a", "Priority": 1})
    dag = job.TaskDag
    dag.add_dependency("Split", "Left")
    dag.add_dependency(before="Split", after="Right")
    dag.add_dependency("Left", "Join")
    dag.add_dependency("Right", "Join")
    dag.add_dependency("Split", "Left")
    assert dag.Dependencies == {"Split": ["Left", "Right"], "Left": ["Join"], "Right": ["Join"]}
    for name in ("Split", "Left", "Right", "Join"):
        dag.add_task(name, {"PackageUri": "oss://b/k", "ProgramName": "a.py", "ImageId": "img-1", "Timeout": 60})
    assert check_job(job, Ranges()) == []
    assert json.loads(job.dump())["TaskDag"]["Dependencies"] == dag.Dependencies
    dag.add_dependency("Join", "Splitt")
    dag.add_dependency("Left", "Left")
    assert [str(problem).partition(";")[0] for problem in check_job(job, Ranges())] == [
        "TaskDag.Dependencies.Join: is not a task of this job, got 'Splitt'",
        "TaskDag.Dependencies: is a cycle, got 'Left -> Left'",
    ]
    for before, after, name in (("", "A", "before"), ("A", None, "after"), (["A"], "B", "before")):
        with pytest.raises(TypeError, match=f"^{name} must be the name of a task, not "):
            dag.add_dependency(before, after)  # type: ignore[arg-type]  # wrong on purpose
    assert "A" not in dag.Dependencies


def test_add_task_copies_and_get_task_is_live() -> None:
    dag, task = TaskDag(), TaskDescription(TASK)
    dag.add_task(task_name="Find", task=task)
    dag.add_task("Count", {"ProgramName": "count.py"})
    task.ProgramName = "changed"
    task.EnvironmentVariables["B"] = "changed"
    assert dag.get_task("Find") == TaskDescription(TASK)
    dag.get_task("Find").InstanceCount = 7
    assert dag.detail()["TaskDescMap"]["Find"]["InstanceCount"] == 7
    dag.delete_task("Find")
    assert list(dag.TaskDescMap) == ["Count"]
    for use in (dag.get_task, dag.delete_task):
        with pytest.raises(KeyError, match="no task 'Cuont'; did you mean 'Count'"):
            use("Cuont")
    for bad in ("", 5, None):
        with pytest.raises(TypeError, match="name must be a str"):
            dag.add_task(bad, {})  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError):
        dag.add_task("X", 5)  # type: ignore[arg-type]  # wrong on purpose
    assert list(dag.TaskDescMap) == ["Count"]


def test_the_task_map_is_live_and_checked() -> None:
    desc = JobDescription()
    tasks = desc.TaskDag.TaskDescMap
    tasks["A"] = {"InstanceCount": "2"}
    tasks.update({"B": TaskDescription(TASK)}, C='{"Timeout": 5}')
    tasks |= {"D": {}}
    assert tasks.setdefault("A", {"InstanceCount": 9}).InstanceCount == 2
    assert tasks.setdefault("E", {"InstanceCount": 9}).InstanceCount == 9
    assert {type(task) for task in tasks.values()} == {TaskDescription}
    assert list(desc.detail()["TaskDag"]["TaskDescMap"]) == ["A", "B", "C", "D", "E"]
    with pytest.raises(TypeError, match="InstanceCount"):
        tasks["A"] = {"InstanceCount": [1]}
    assert tasks["A"].InstanceCount == 2
    del tasks["A"]
    assert "A" not in desc.TaskDag.TaskDescMap
    for twin in (copy.copy(tasks), copy.deepcopy(tasks), pickle.loads(pickle.dumps(tasks))):
        assert twin == tasks
        assert type(twin) is type(tasks)


def test_an_object_that_is_assigned_stays_that_object() -> None:
    """As Python does: what is filled in later counts. It holds for empty ones too, however they were handed over."""
    for hand_over in (
        lambda desc, dag: setattr(desc, "TaskDag", dag),
        lambda desc, dag: desc.__setitem__("TaskDag", dag),
        lambda desc, dag: desc.update({"TaskDag": dag}),
    ):
        desc, dag = JobDescription(), TaskDag()
        hand_over(desc, dag)
        dag.add_task("Late", {})
        assert list(desc.TaskDag.TaskDescMap) == ["Late"]


def test_a_description_shows_what_every_record_shows() -> None:
    """It has a quicker way to the same, in the same order."""
    full = JobDescription(describe_find(EnvironmentVariables={"A": "1"}, MaxRetryCount=0, LeftoverSeconds=0, Timeout=1))
    for desc in (full, JobDescription(), JobDescription({"JobFailOnInstanceFail": False, "Priority": 0})):
        assert json.dumps(desc.detail()) == json.dumps(Record.detail(desc))
        for task in desc.TaskDag.TaskDescMap.values():
            assert json.dumps(task.detail()) == json.dumps(Record.detail(task))
    plain = full.detail()
    plain["TaskDag"]["TaskDescMap"]["Find"]["EnvironmentVariables"]["A"] = "2"
    assert full.TaskDag.TaskDescMap["Find"].EnvironmentVariables == {"A": "1"}  # nothing is shared
