"""Client.wait: polls with growing intervals, tells of changes, and says why a job failed."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import pytest

from batchcompute import (
    ClientError,
    Config,
    Job,
    JobFailedError,
    JobStoppedError,
    NotFoundError,
    RetryConfig,
    ServerError,
    TransportConfig,
    WaitError,
    WaitTimeoutError,
)
from batchcompute.hooks import LogContext, hookimpl
from batchcompute.values.responses import JobResponse
from batchcompute.wire import Response
from tests.support.clock import Clock
from tests.support.logs import LargeLog
from tests.support.stub import Stub


def states(stub: Stub, *names: Any, **more: Any) -> None:
    for name in names:
        stub.answer({"ResourceId": "job-1", "State": name, **more})


def test_it_returns_the_last_state(stub: Stub, clock: Clock) -> None:
    states(stub, "Waiting", "Running", "Terminated")
    job = stub.client().wait("job-1")
    assert isinstance(job, JobResponse)
    assert (job.State, job.JobId, job.RequestId) == ("Finished", "job-1", "REQ-1")
    assert {(request.method, request.target) for request in stub.requests} == {("GET", "/jobs/job-1")}
    assert len(clock.naps) == 2


@pytest.mark.parametrize("state", ["Finished", "Failed", "Stopped"])
def test_a_job_that_has_ended_needs_no_nap(stub: Stub, clock: Clock, state: str) -> None:
    states(stub, state)
    assert stub.client().wait(Job({"JobId": "job-1"})).State == state
    assert clock.naps == []


def test_on_change_is_called_on_changes_only(stub: Stub, clock: Clock) -> None:
    states(stub, "Waiting", "Waiting", "Waiting")
    states(stub, "Running", NumRunningInstance=1)
    states(stub, "Running", NumRunningInstance=1)
    states(stub, "Running", NumRunningInstance=2)
    states(stub, "Finished")
    seen: list[tuple[str, int]] = []
    stub.client().wait("job-1", on_change=lambda job: seen.append((job.State, job.NumRunningInstance)))
    assert seen == [("Waiting", 0), ("Running", 1), ("Running", 2), ("Finished", 0)]


def test_intervals_grow_up_to_a_limit(stub: Stub, clock: Clock) -> None:
    states(stub, *["Running"] * 40, "Finished")
    stub.client().wait("job-1")
    naps = clock.naps
    assert naps == sorted(naps)
    assert naps[0] < 0.2
    assert naps[0] < naps[8] < naps[-1] <= 5.0
    assert naps[-1] == naps[-2]


def test_a_change_brings_the_interval_down(stub: Stub, clock: Clock) -> None:
    states(stub, *["Waiting"] * 40, "Running", "Running", "Finished")
    stub.client().wait("job-1")
    assert clock.naps[39] > 4
    assert clock.naps[40] <= 1.0


def preferred(stub: Stub) -> list[str | None]:
    return [request.headers.get("prefer") for request in stub.requests]


def test_a_service_is_asked_to_answer_at_the_end(stub: Stub, clock: Clock) -> None:
    def kept_back(request: Any) -> Response:
        clock.now += 5
        return Response(200, {"x-acs-request-id": "REQ-1"}, b'{"ResourceId": "job-1", "State": "Running"}')

    stub.prepare([kept_back, kept_back])
    states(stub, "Finished")
    assert stub.client().wait("job-1").State == "Finished"
    assert preferred(stub) == ["wait=5"] * 3
    assert clock.naps == []  # it was all spent at the service


def test_who_looks_at_changes_gets_them_as_they_come(stub: Stub, clock: Clock) -> None:
    states(stub, *["Running"] * 40, "Finished")
    stub.client().wait("job-1", on_change=lambda job: None)
    assert preferred(stub)[:5] == [None] * 5
    assert preferred(stub)[-1] == "wait=5"


@pytest.mark.parametrize(
    ("patience", "timeout", "asked"),
    [
        ({"config": Config(transport=TransportConfig(read_timeout=4))}, None, "wait=2"),
        ({"config": Config(transport=TransportConfig(read_timeout=1))}, None, None),
        ({"timeout": 7.0}, None, "wait=3"),
        ({}, 3, "wait=1"),
        ({}, 1, None),
        ({}, 0.1, None),
    ],
)
def test_an_answer_is_never_kept_back_too_long(
    stub: Stub, clock: Clock, patience: Any, timeout: float | None, asked: str | None
) -> None:
    states(stub, "Finished")
    stub.client(**patience).wait("job-1", timeout=timeout)
    assert preferred(stub) == [asked]


def test_what_does_not_bear_with_a_late_answer_is_not_asked_for_one_again(
    stub: Stub, clock: Clock, once: Config
) -> None:
    def gateway(request: Any) -> Response:
        if "prefer" in request.headers:
            clock.now += 3
            return Response(504, {}, b"")
        return Response(200, {}, b'{"ResourceId": "job-1", "State": "Finished"}')

    stub.always = gateway
    assert stub.client(config=once).wait("job-1").State == "Finished"
    assert preferred(stub) == ["wait=5", None]


def test_after_a_while_it_is_asked_for_one_again(stub: Stub, clock: Clock) -> None:
    """An outage teaches that only for a minute: it may have been a restart."""
    stub.answers.append(Response(503, {}, b""))
    states(stub, *["Running"] * 30)
    stub.always = Response(200, {}, b'{"ResourceId": "job-1", "State": "Finished"}')
    assert stub.client(config=Config(retry=RetryConfig(attempts=1))).wait("job-1").State == "Finished"
    asked = preferred(stub)
    again = asked.index("wait=5", 1)
    assert asked[:again] == ["wait=5", *[None] * (again - 1)]
    assert 60 <= sum(clock.naps[:again]) < 66


def test_a_timeout_in_an_outage_names_its_cause(stub: Stub, clock: Clock) -> None:
    states(stub, "Running")
    stub.always = Response(503, {}, b"")
    with pytest.raises(WaitTimeoutError, match="is still Running after 30 seconds") as caught:
        stub.client().wait("job-1", timeout=30)
    assert isinstance(caught.value.__cause__, ServerError)


def test_a_shorter_wait_than_asked_for_counts(stub: Stub, clock: Clock) -> None:
    started = clock.now

    def impatient(request: Any) -> Response:
        clock.now += 2
        state = "Finished" if clock.now - started >= 100 else "Running"
        return Response(200, {}, f'{{"ResourceId": "job-1", "State": "{state}"}}'.encode())

    stub.always = impatient
    stub.client().wait("job-1")
    assert max(clock.naps) <= 3


def test_get_job_can_be_kept_back(stub: Stub) -> None:
    states(stub, *["Running"] * 3)
    stub.client().get_job("job-1", wait=20)
    stub.client().get_job("job-1")
    stub.client().get_job("job-1", wait=20, timeout=8)
    assert preferred(stub) == ["wait=20", None, "wait=4"]


@pytest.mark.parametrize("bad", [-1, 1.5, True, "3"])
def test_get_job_wants_whole_seconds(stub: Stub, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="wait must be a whole number of seconds, not "):
        stub.client().get_job("job-1", wait=bad)


def test_it_gives_up_in_time(stub: Stub, clock: Clock) -> None:
    states(stub, *["Running"] * 1000)
    started = clock.now
    with pytest.raises(WaitTimeoutError, match=r"job-1 is still Running after 30 seconds; it goes on") as caught:
        stub.client().wait("job-1", timeout=30)
    assert clock.now - started == pytest.approx(30)
    assert caught.value.job.State == "Running"
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, WaitError)


def test_the_last_look_is_at_the_end(stub: Stub, clock: Clock) -> None:
    """A job that ends within the last interval is not reported as late."""
    stub.always = lambda request: reply_at(clock)
    from batchcompute.wire import Response

    def reply_at(clock: Clock) -> Response:
        return Response(200, {}, b'{"State": "Finished"}' if clock.now >= 1030 else b'{"State": "Running"}')

    assert stub.client().wait("job-1", timeout=30).State == "Finished"


def test_a_slow_answer_does_not_outlast_the_timeout(stub: Stub, clock: Clock) -> None:
    """Each look may take what is left of the time, no more."""
    states(stub, "Running", "Finished")
    stub.client().wait("job-1", timeout=30)
    assert all(request.timeout is not None and request.timeout <= 30 for request in stub.requests)


@pytest.mark.parametrize("bad", [0, -1, "5", True])
def test_the_timeout_is_checked(stub: Stub, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        stub.client().wait("job-1", timeout=bad)
    with pytest.raises(ValueError, match="job id is empty"):
        stub.client().wait("")
    assert stub.requests == []


def test_errors_of_the_service_come_through(stub: Stub, clock: Clock) -> None:
    states(stub, "Running")
    stub.answer({"Code": "ResourceNotFound"}, 404)
    with pytest.raises(NotFoundError):
        stub.client().wait("job-1")


class Logs:
    """Has the stderr of every instance."""

    def __init__(self, text: bytes | None) -> None:
        self.text = text
        self.asked: list[LogContext] = []
        self.opened: list[io.BytesIO] = []

    @hookimpl
    def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
        self.asked.append(ctx)
        if self.text is None:
            return None
        self.opened.append(io.BytesIO(self.text))
        return self.opened[-1]


TASKS = {
    "Find": {"State": 3, "StartTime": 1, "InstanceStatusVector": [{"InstanceId": 0, "State": 3}]},
    "Count": {
        "State": 4,
        "StartTime": 2,
        "InstanceStatusVector": [{"InstanceId": 0, "State": 3}, {"InstanceId": 1, "State": 4}],
    },
}


LOGS = "oss://bucket/logs/"
DESCRIPTION = {"TaskDag": {"TaskDescMap": {name: {"StderrRedirectPath": LOGS} for name in TASKS}}}


def failed(stub: Stub) -> None:
    """The answers that wait asks for to explain a failure."""
    states(stub, "Failed")
    stub.answer(TASKS)
    stub.answer(DESCRIPTION)


def test_check_tells_which_instance_failed_and_how_its_stderr_ends(stub: Stub, clock: Clock) -> None:
    lines = [f"line {number}" for number in range(100)]
    logs = Logs("\n".join([*lines, "ValueError: 壞了"]).encode())
    states(stub, "Running")
    failed(stub)
    with pytest.raises(JobFailedError) as caught:
        stub.client(plugins=(logs,)).wait("job-1", check=True)
    error = caught.value
    text = str(error)
    assert text.startswith("job-1 failed in task Count, instance 1; its stderr ends:\n")
    assert text.endswith("line 99\nValueError: 壞了")
    assert "line 10\n" not in text
    assert error.log.splitlines()[-1] == "ValueError: 壞了"
    assert error.job.State == "Failed"
    (asked,) = logs.asked
    assert (asked.job_id, asked.task_name, asked.instance_id, asked.stream) == ("job-1", "Count", 1, "stderr")
    assert (asked.region.name, asked.redirect_path) == ("cn-qingdao", LOGS)
    assert all(log.closed for log in logs.opened)


MANY = {
    name: {"StartTime": place, "State": 4, "InstanceStatusVector": [{"InstanceId": n, "State": 4} for n in numbers]}
    for place, (name, numbers) in enumerate({"Find": [7], "Count": range(50)}.items(), start=1)
}
NINETEEN = ", ".join(str(number) for number in range(19))


@pytest.mark.parametrize(
    ("text", "end"), [(b"bad header", "; the stderr of the first one ends:\nbad header"), (None, "")]
)
def test_check_names_all_failed_instances_up_to_a_bound(stub: Stub, text: bytes | None, end: str) -> None:
    states(stub, "Failed")
    stub.answer(MANY)
    stub.answer(DESCRIPTION)
    logs = Logs(text)
    with pytest.raises(JobFailedError) as caught:
        stub.client(plugins=(logs,)).wait("job-1", check=True)
    where = f"task Find, instance 7; task Count, instances {NINETEEN}; and 31 more"
    assert str(caught.value) == f"job-1 failed in {where}{end}"
    assert [(asked.task_name, asked.instance_id) for asked in logs.asked] == [("Find", 7)]


@pytest.mark.parametrize("text", [None, b""])
def test_check_without_a_log(stub: Stub, text: bytes | None) -> None:
    failed(stub)
    with pytest.raises(JobFailedError) as caught:
        stub.client(plugins=(Logs(text),)).wait("job-1", check=True)
    assert str(caught.value) == "job-1 failed in task Count, instance 1"
    assert caught.value.log == ""


def test_of_a_large_log_only_the_end_is_read(stub: Stub) -> None:
    class Large:
        @hookimpl
        def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
            return LargeLog(b"\nthe end")  # type: ignore[return-value]  # it has what a log needs

    failed(stub)
    with pytest.raises(JobFailedError) as caught:
        stub.client(plugins=(Large(),)).wait("job-1", check=True)
    assert caught.value.log.endswith("xxx\nthe end")


def test_a_log_with_one_endless_line_of_no_text_is_cut(stub: Stub) -> None:
    failed(stub)
    with pytest.raises(JobFailedError) as caught:
        stub.client(plugins=(Logs(b"\xff" * 1_000_000),)).wait("job-1", check=True)
    assert 1000 < len(caught.value.log) < 10_000


def test_check_of_a_failed_job_whose_instances_say_nothing(stub: Stub) -> None:
    states(stub, "Failed")
    stub.answer({})
    with pytest.raises(JobFailedError) as caught:
        stub.client().wait("job-1", check=True)
    assert str(caught.value) == "job-1 failed"


@pytest.mark.parametrize("broken", ["tasks", "description", "log"])
def test_what_only_explains_the_failure_cannot_hide_it(stub: Stub, once: Config, broken: str) -> None:
    class NoLog:
        @hookimpl
        def fetch_log(self, ctx: LogContext) -> BinaryIO:
            raise ClientError(403, "Forbidden", "no logs for you")

    if broken == "log":
        failed(stub)
    else:
        states(stub, "Failed")
        stub.answer(TASKS if broken == "description" else {}, 200 if broken == "description" else 500)
        stub.answer({})  # a description that does not have the task, as for a service's own `_prepare`
    where = "" if broken == "tasks" else " in task Count, instance 1"
    with pytest.raises(JobFailedError, match=f"^job-1 failed{where}$"):
        stub.client(plugins=(NoLog(),), config=once).wait("job-1", check=True)


def test_check_of_a_stopped_and_of_a_finished_job(stub: Stub) -> None:
    states(stub, "Stopped", "Finished", "Stopped")
    with pytest.raises(JobStoppedError, match="job-1 was stopped") as caught:
        stub.client().wait("job-1", check=True)
    assert caught.value.job.State == "Stopped"
    assert stub.client().wait("job-1", check=True).State == "Finished"
    assert stub.client().wait("job-1").State == "Stopped"


def test_read_log(stub: Stub) -> None:
    logs = Logs(b"out")
    client = stub.client(plugins=(logs,))
    for _ in range(3):
        stub.answer(DESCRIPTION)
    assert client.read_log("job-1", "Find", 3, "stdout") == b"out"
    asked = logs.asked[0]
    assert (asked.instance_id, asked.stream, asked.attempt) == (3, "stdout", None)
    assert stub.client().read_log("job-1", "Find") is None
    with pytest.raises(KeyError, match="no task 'Fnid'; did you mean 'Find'"):
        client.read_log("job-1", "Fnid")
    with pytest.raises(ValueError, match="'stdout' or 'stderr', not 'stdin'"):
        client.read_log("job-1", "Find", 0, "stdin")
    with pytest.raises(ValueError, match="attempt must be None or at least 1, not 0"):
        client.read_log("job-1", "Find", attempt=0)
    stub.answer(DESCRIPTION)
    client.read_log("job-1", "Find", attempt=2)
    assert logs.asked[-1].attempt == 2
