"""What is repeated, when, and what never is (issue: never do a call twice, never call a success a failure)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from batchcompute import (
    AmbiguousResultError,
    BatchComputeError,
    Client,
    ClientError,
    Config,
    ConnectError,
    NotFoundError,
    RequestTimeoutError,
    ResponseLostError,
    RetryConfig,
    ServerError,
    StateConflictError,
    ThrottlingError,
    TransportError,
)
from batchcompute.hooks import AttemptContext, CallContext, hookimpl
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

READS: dict[str, Callable[[Client], Any]] = {
    "list_jobs": lambda client: client.list_jobs(),
    "get_job": lambda client: client.get_job("job-1"),
    "get_job_description": lambda client: client.get_job_description("job-1"),
    "list_tasks": lambda client: client.list_tasks("job-1"),
    "list_images": lambda client: client.list_images(),
}
CHANGES: dict[str, Callable[[Client, dict[str, Any]], Any]] = {
    "create_job": lambda client, desc: client.create_job(desc),
    "stop_job": lambda client, _: client.stop_job("job-1"),
    "start_job": lambda client, _: client.start_job("job-1"),
    "delete_job": lambda client, _: client.delete_job("job-1"),
}
reads = pytest.mark.parametrize("call", READS.values(), ids=READS)
changes = pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)


def statuses(stub: Stub, *codes: int, **headers: str) -> None:
    for code in codes:
        stub.answer({"ResourceId": "job-1"} if code < 300 else {}, code, headers)


@changes
def test_what_was_never_sent_is_repeated_for_every_call(stub: Stub, clock: Clock, call: Any) -> None:
    stub.prepare([ConnectError("refused"), ConnectError("refused")])
    statuses(stub, 200)
    assert call(stub.client(), describe_find()).StatusCode == 200
    assert len(stub.requests) == 3
    assert len(clock.naps) == 2


@reads
@pytest.mark.parametrize("error", [ConnectError("x"), ResponseLostError("x"), RequestTimeoutError("x"), 500, 502, 503])
def test_reads_are_repeated_after_anything_that_may_pass(stub: Stub, clock: Clock, call: Any, error: Any) -> None:
    if isinstance(error, int):
        statuses(stub, error)
    else:
        stub.answers.append(error)
    statuses(stub, 200)
    call(stub.client())
    assert len(stub.requests) == 2


@changes
@pytest.mark.parametrize("error", [ResponseLostError("lost"), RequestTimeoutError("slow"), 502, 504])
def test_a_lost_answer_is_not_repeated_for_changes(stub: Stub, clock: Clock, call: Any, error: Any) -> None:
    if isinstance(error, int):
        statuses(stub, error)
    else:
        stub.answers.append(error)
    statuses(stub, 200)  # the look at what became of it
    with pytest.raises(AmbiguousResultError, match="may or may not have been done") as caught:
        call(stub.client(), describe_find())
    assert [request.method for request in stub.requests].count("GET") == 1
    assert len(stub.requests) == 2
    assert isinstance(caught.value.__cause__, TransportError if not isinstance(error, int) else ServerError)
    assert clock.naps == []


def test_the_look_finds_the_new_job_of_that_name(stub: Stub) -> None:
    import time

    now = int(time.time())
    stub.answers.append(ResponseLostError("lost"))
    stub.answer(
        {
            "job-1": {"Name": "find-prime", "CreateTime": now, "State": "Waiting"},
            "job-2": {"Name": "find-prime", "CreateTime": now - 3600},
            "job-3": {"Name": "other", "CreateTime": now},
        }
    )
    with pytest.raises(AmbiguousResultError, match="afterwards job-1 is Waiting") as caught:
        stub.client(True).create_job(describe_find())
    assert caught.value.operation == "create_job"
    assert [job.JobId for job in caught.value.observed or ()] == ["job-1"]
    assert caught.value.idempotency_token is None


@pytest.mark.parametrize(
    ("answer", "observed", "text"),
    [
        (404, [], "there is no such job"),
        (500, None, "nothing could be observed"),
        (ConnectError("gone"), None, "nothing could be observed"),
    ],
)
def test_a_look_that_finds_nothing(stub: Stub, answer: Any, observed: Any, text: str) -> None:
    stub.answers.append(ResponseLostError("lost"))
    if isinstance(answer, int):
        statuses(stub, answer)
    else:
        stub.answers.append(answer)
    with pytest.raises(AmbiguousResultError, match=text) as caught:
        stub.client().delete_job("job-1")
    assert caught.value.observed == observed
    assert (stub.requests[1].method, stub.requests[1].target) == ("GET", "/jobs/job-1")


@pytest.mark.parametrize(("taken", "seconds"), [(0.0, 2.3), (1.5, 0.8), (2.0, 0.3), (2.1, 0.3)])
def test_the_look_ends_within_half_a_second_of_the_timeout(
    stub: Stub, clock: Clock, taken: float, seconds: float
) -> None:
    class Slow:
        @hookimpl
        def before_attempt(self, ctx: AttemptContext) -> None:
            if ctx.call.operation.mutating:
                clock.now += taken

    stub.answers.append(RequestTimeoutError("slow"))
    statuses(stub, 200)
    with pytest.raises(AmbiguousResultError):
        stub.client(plugins=(Slow(),)).delete_job("job-1", timeout=2)
    assert stub.requests[1].timeout == pytest.approx(seconds)


@changes
@pytest.mark.parametrize("status", [500, 503])
def test_a_failure_inside_the_service_is_not_repeated_for_changes(stub: Stub, call: Any, status: int) -> None:
    statuses(stub, status)
    with pytest.raises(ServerError):
        call(stub.client(), describe_find())
    assert len(stub.requests) == 1


@changes
def test_throttling_is_repeated_for_every_call(stub: Stub, clock: Clock, call: Any) -> None:
    statuses(stub, 429)
    statuses(stub, 200)
    call(stub.client(), describe_find())
    assert len(stub.requests) == 2


@pytest.mark.parametrize(("status", "kind"), [(400, ClientError), (403, ClientError), (404, NotFoundError)])
def test_refusals_are_final(stub: Stub, status: int, kind: type[Exception]) -> None:
    for call in READS.values():
        stub.requests.clear()
        statuses(stub, status)
        with pytest.raises(kind):
            call(stub.client())
        assert len(stub.requests) == 1


def test_a_conflict_is_final(stub: Stub) -> None:
    statuses(stub, 409)
    with pytest.raises(StateConflictError):
        stub.client().stop_job("job-1")
    assert len(stub.requests) == 1


def test_a_program_error_is_not_repeated(stub: Stub) -> None:
    stub.answers.append(ZeroDivisionError("a bug in a transport"))
    with pytest.raises(ZeroDivisionError):
        stub.client().get_job("job-1")
    assert len(stub.requests) == 1


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_attempts_are_limited(stub: Stub, clock: Clock, attempts: int) -> None:
    stub.prepare([ConnectError(f"refused {number}") for number in range(10)])
    with pytest.raises(ConnectError, match=f"refused {attempts - 1}") as caught:
        stub.client(config=Config(retry=RetryConfig(attempts=attempts))).get_job("job-1")
    assert len(stub.requests) == attempts
    assert len(clock.naps) == attempts - 1
    assert caught.value.attempts == attempts
    assert str(caught.value).endswith(f", {attempts} attempt{'s' if attempts > 1 else ''}]")


def test_waits_double_up_to_the_longest(stub: Stub, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high if low == 0 else pytest.fail("no full jitter"))
    stub.prepare([ConnectError("refused")] * 9)
    config = Config(retry=RetryConfig(attempts=7, base_wait=0.5, max_wait=4.0, deadline=1000))
    with pytest.raises(ConnectError):
        stub.client(config=config).get_job("job-1")
    assert clock.naps == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_retry_after_is_honoured(stub: Stub, clock: Clock) -> None:
    statuses(stub, 429, 503, retry_after="7")
    statuses(stub, 200)
    stub.client().get_job("job-1")
    assert clock.naps == [7.0, 7.0]


def test_no_attempt_is_begun_after_the_deadline(stub: Stub, clock: Clock) -> None:
    statuses(stub, 429, 429, 200, retry_after="7")
    with pytest.raises(ThrottlingError):
        stub.client(config=Config(retry=RetryConfig(deadline=10))).get_job("job-1")
    assert len(stub.requests) == 2
    assert clock.naps == [7.0]


def test_the_calls_timeout_limits_all_attempts(stub: Stub, clock: Clock) -> None:
    statuses(stub, 429, 429, 429, retry_after="4")
    with pytest.raises(ThrottlingError):
        stub.client().get_job("job-1", timeout=10)
    assert clock.naps == [4.0, 4.0]
    assert [request.timeout for request in stub.requests] == [10, 6, 2]


def test_every_attempt_is_signed_anew(stub: Stub, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "time", lambda: 1435651200 + clock.now)
    stub.prepare([ConnectError("refused")] * 3)
    statuses(stub, 200)
    stub.client(config=Config(retry=RetryConfig(base_wait=5, max_wait=20))).get_job("job-1")
    for name in ("x-acs-signature-nonce", "authorization"):
        assert len({request.headers[name] for request in stub.requests}) == 4
    assert stub.requests[0].headers["date"] != stub.requests[3].headers["date"]
    assert len({(request.method, request.target, request.body) for request in stub.requests}) == 1


@pytest.mark.parametrize("policy", ["none", "own"])
def test_the_policy_is_a_hook(stub: Stub, clock: Clock, policy: str) -> None:
    asked: list[str] = []

    class Policy:
        @hookimpl
        def retry_policy(self, ctx: CallContext) -> Callable[[Callable[[], Any]], Any]:
            asked.append(ctx.operation.name)

            def run(fn: Callable[[], Any]) -> Any:
                for _ in range(5 if policy == "own" else 0):
                    try:
                        return fn()
                    except BatchComputeError:
                        continue
                return fn()

            return run

    stub.prepare([NotFoundError(404, "X", "m")] * 3)
    statuses(stub, 200)
    client = stub.client(plugins=(Policy(),))
    if policy == "own":
        client.get_job("job-1")
        assert len(stub.requests) == 4
    else:
        with pytest.raises(NotFoundError):
            client.get_job("job-1")
        assert len(stub.requests) == 1
    assert asked == ["get_job"]


def test_without_a_policy_nothing_is_repeated(stub: Stub) -> None:
    from batchcompute import PluginConfig

    stub.answers.append(ConnectError("refused"))
    with pytest.raises(ConnectError):
        stub.client(config=Config(plugins=PluginConfig(block=frozenset({"retry"})))).get_job("job-1")
    assert len(stub.requests) == 1
