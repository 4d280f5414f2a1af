"""What callers, plugins and services do at the edges: each was a fault once."""

from __future__ import annotations

import os
import threading
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest

from batchcompute import (
    AmbiguousResultError,
    Client,
    ClockSkewWarning,
    ConfigError,
    JobDescription,
    PluginError,
    PluginWarning,
    RequestTimeoutError,
    ServerError,
    ValidationError,
    WaitTimeoutError,
)
from batchcompute.hooks import hookimpl
from batchcompute.locks import ForkSafeLock
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.stub import Stub


def test_a_forked_child_finds_the_lock_open() -> None:
    lock = ForkSafeLock()
    with lock:
        child = os.fork()
        if child == 0:
            taken = threading.Event()

            def take() -> None:
                with lock:
                    taken.set()

            threading.Thread(target=take, daemon=True).start()
            os._exit(0 if taken.wait(10) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_what_was_never_sent_is_not_ambiguous(stub: Stub, clock: Clock) -> None:
    class Slow:
        @hookimpl
        def resolve_credentials(self, ctx: Any) -> None:
            clock.sleep(1)

    with pytest.raises(RequestTimeoutError) as caught:
        stub.client(plugins=(Slow(),)).create_job(describe_find(), timeout=0.5)
    assert not isinstance(caught.value, AmbiguousResultError)
    assert not caught.value.sent
    assert stub.requests == []


def test_wait_sits_out_an_outage(stub: Stub, clock: Clock) -> None:
    stub.answer({"ResourceId": "job-1", "State": "Running"})
    for _ in range(60):
        stub.answer(b"", 503)
    stub.answer({"ResourceId": "job-1", "State": "Finished"})
    assert stub.client().wait("job-1").State == "Finished"


def test_wait_does_not_sit_for_ever(stub: Stub, clock: Clock) -> None:
    stub.answer({"ResourceId": "job-1", "State": "Running"})
    stub.always = lambda request: stub_answer(503)
    with pytest.raises(ServerError):
        stub.client().wait("job-1")
    assert 290 < sum(clock.naps) < 400
    stub.answer({"State": "Running"})
    with pytest.raises(WaitTimeoutError, match="job-1 is still Running after 30 seconds"):
        stub.client().wait("job-1", timeout=30)


def stub_answer(status: int) -> Any:
    from batchcompute.wire import Response

    return Response(status, {}, b"")


def test_the_clock_is_corrected_on_a_later_attempt_too(stub: Stub, clock: Clock) -> None:
    import time

    stub.answer(b"", 503)
    stub.answer({"Code": "InvalidTimeStamp.Expired"}, 400, date=formatdate(time.time() + 7200, usegmt=True))
    stub.answer({"ResourceId": "job-1", "State": "Running"})
    with pytest.warns(ClockSkewWarning) as warned:
        assert stub.client().get_job("job-1").State == "Running"
    assert warned[0].filename == __file__


def test_null_is_like_absent(stub: Stub) -> None:
    stub.answer({"a": {"TaskName": "a", "InstanceStatusVector": None, "StartTime": None}})
    task = stub.client().list_tasks("job-1")[0]
    assert repr(task) == "Task(TaskName='a')"
    assert list(task.InstanceList) == []
    stub.answer({"ResourceId": "job-1", "Priority": None})
    assert stub.client().get_job("job-1").detail() == {"JobId": "job-1"}


def test_a_zero_of_another_kind_is_no_empty_value() -> None:
    with pytest.raises(TypeError, match="Priority: expected an int"):
        JobDescription({"Priority": Decimal(0)})


def test_an_empty_key_is_not_somebody_else() -> None:
    with pytest.raises(ConfigError, match="access_key_id is missing"):
        Client("cn-qingdao", "", "")


def test_dependencies_changed_in_place(stub: Stub) -> None:
    description = JobDescription(describe_find())
    description.TaskDag.Dependencies = {"Find": ["Find"]}
    description.TaskDag.Dependencies["Find"] = []
    description.TaskDag.Dependencies["Find"].append([])  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValidationError, match="is not the name of a task"):
        stub.client().create_job(description)


@pytest.mark.parametrize("url", ["http://h x", "http://a<b", "https://h|x:1"])
def test_a_host_that_no_host_has(url: str) -> None:
    with pytest.raises(ConfigError):
        Client(url, "id", "secret")


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("request_headers", ["a"]),
        ("request_headers", {"x-lab": "a\r\nb"}),
        ("retry_policy", 5),
        ("validate_description", "oops"),
        ("register_regions", 5),
        ("clock", 5),
    ],
)
def test_a_wrong_answer_of_a_plugin_names_hook_and_plugin(stub: Stub, hook: str, answer: Any) -> None:
    class Wrong:
        name = "wrong-one"

    def implementation(self: Any, ctx: Any) -> Any:
        return answer

    implementation.__name__ = hook
    setattr(Wrong, hook, hookimpl(implementation))
    stub.always = lambda request: stub_answer(503)

    def use() -> None:
        client = stub.client(plugins=(Wrong(),))
        client.create_job(describe_find())
        client.get_job("job-1")

    with pytest.raises(PluginError, match=hook) as caught:
        use()
    assert hook == "request_headers" or "wrong-one" in str(caught.value)


@pytest.mark.parametrize("plugin", [type("Plugin", (), {}), None])
def test_a_plugin_is_an_object(stub: Stub, plugin: Any) -> None:
    with pytest.warns(PluginWarning, match="is a class|is None"):
        stub.client(plugins=(plugin,))
