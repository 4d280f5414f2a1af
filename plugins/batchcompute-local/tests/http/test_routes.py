"""Each row of the table of operations has a route, and nothing else has."""

from __future__ import annotations

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.http import routes
from batchcompute_local.jobs.service import Service

from batchcompute.operations import OPERATIONS


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_found_by_its_own_target(name: str) -> None:
    operation = OPERATIONS[name]
    path, _, query = operation.target("job-%2F1").partition("?")
    found = routes.find_route(operation.method, path, query)
    assert found.operation is operation
    assert found.job == ("job-%252F1" if "{job}" in operation.path else None)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", ""])
@pytest.mark.parametrize(
    "path", ["/jobs", "/images", "/jobs/x", "/jobs/x/tasks", "/jobs/x/Priority", "/jobs/x/description"]
)
def test_every_other_method_is_refused(method: str, path: str) -> None:
    known = {(each.method, each.path.replace("{job}", "x")) for each in OPERATIONS.values()}
    if (method, path) not in known:
        with pytest.raises(ServiceError, match=f"Method {method} is not allowed on this url") as caught:
            routes.find_route(method, path, "")
        assert (caught.value.status, caught.value.code) == (400, "MethodNotAllowed")


@pytest.mark.parametrize(
    "path", ["", "/", "/job", "/jobs/", "/jobs//tasks", "/jobs/a/b", "/jobs/a/tasks/", "/images/", "/Jobs"]
)
def test_every_other_path_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match="Specified url is not valid") as caught:
        routes.find_route("GET", path, "")
    assert (caught.value.status, caught.value.code) == (400, "InvalidUrlPattern")


@pytest.mark.parametrize("query", ["", "Action=", "Action=stop", "Action=Stop&x=1", "x=1&Action=Stop", "Stop"])
def test_every_other_action_is_refused(query: str) -> None:
    with pytest.raises(ServiceError) as caught:
        routes.find_route("PUT", "/jobs/x", query)
    assert (caught.value.status, caught.value.code) == (403, "InvalidQueryString")
    assert caught.value.message == "Specified query string is not valid: Action=Stop or Start."


@pytest.mark.parametrize("query", ["Job=1", "Task", "Task=A&Task=B", "Task=%FF", "task=A", "&", "Task=A&Action=Stop"])
def test_other_parameters_than_the_operation_has_are_refused(query: str) -> None:
    with pytest.raises(ServiceError, match="Task and Instance are allowed") as caught:
        routes.find_route("GET", "/-/jobs/x", query)
    assert (caught.value.status, caught.value.code) == (403, "InvalidQueryString")


def test_parameters_are_decoded() -> None:
    assert routes.find_route("GET", "/-/jobs/x", "Task=a%20%26b&Instance=3").parameters == {
        "Task": "a &b",
        "Instance": "3",
    }
    assert routes.find_route("GET", "/-/jobs/x", "").parameters == {}
    assert routes.find_route("GET", "/jobs/x", "").parameters is None


def test_a_query_string_is_ignored_where_there_is_no_action() -> None:
    for path in ("/jobs", "/jobs/x", "/images"):
        assert routes.find_route("GET", path, "Action=Stop&page=2").operation.method == "GET"


def test_table_and_service_have_the_same_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    def more(self: Service) -> None:
        pass

    with monkeypatch.context() as patch:
        patch.setattr(Service, "suspend_job", more, raising=False)
        with pytest.raises(TypeError, match=r"not both in .*: suspend_job$"):
            routes._check()
    with monkeypatch.context() as patch:
        patch.delattr(Service, "stop_job")
        with pytest.raises(TypeError, match=r"not both in .*: stop_job$"):
            routes._check()
    routes._check()
