"""What observers see (see test_hook_effects), and what marks do to the order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from batchcompute import ClientError, ResponseLostError
from batchcompute.hooks import AttemptContext, CallContext, CallResult, hookimpl
from tests.support.clock import Clock
from tests.support.stub import Stub


def test_before_attempt_sees_each_signed_request(stub: Stub, clock: Clock) -> None:
    seen: list[tuple[int, str, int]] = []

    class Watch:
        @hookimpl
        def before_attempt(self, ctx: AttemptContext) -> None:
            assert ctx.response is None
            assert ctx.error is None
            seen.append((ctx.number, ctx.request.headers["authorization"], len(stub.requests)))

    stub.prepare([ResponseLostError("lost")])
    stub.answer({})
    stub.client(plugins=(Watch(),)).list_jobs()
    assert [(number, sent_so_far) for number, _, sent_so_far in seen] == [(1, 0), (2, 1)]
    assert [header for _, header, _ in seen] == [request.headers["authorization"] for request in stub.requests]
    assert seen[0][1] != seen[1][1], "each attempt is signed anew"


def test_after_attempt_sees_the_answer_or_the_error(stub: Stub, clock: Clock) -> None:
    seen: list[AttemptContext] = []

    class Watch:
        @hookimpl
        def after_attempt(self, ctx: AttemptContext) -> None:
            seen.append(ctx)

    stub.prepare([ResponseLostError("lost")])
    stub.answer(b"{}", 503)
    stub.answer({})
    stub.client(plugins=(Watch(),)).list_jobs()
    lost, refused, fine = seen
    assert (type(lost.error), lost.response) == (ResponseLostError, None)
    assert isinstance(refused.error, ClientError)
    assert refused.response is not None
    assert (refused.error.status, refused.response.status) == (503, 503)
    assert fine.response is not None
    assert (fine.error, fine.response.status, fine.number) == (None, 200, 3)


def test_after_call_sees_each_call_once(stub: Stub, clock: Clock) -> None:
    seen: list[CallResult] = []

    class Watch:
        @hookimpl
        def after_call(self, ctx: CallResult) -> None:
            seen.append(ctx)

    client = stub.client(plugins=(Watch(),))
    stub.prepare([ResponseLostError("lost")])
    stub.answer({})
    client.list_jobs()
    stub.answer(b"{}", 404)
    with pytest.raises(ClientError) as caught:
        client.get_job("job-1")
    fine, failed = seen
    assert (fine.call.operation.name, fine.attempts, fine.error) == ("list_jobs", 2, None)
    assert fine.response is not None
    assert fine.response.status == 200
    assert (failed.call.operation.name, failed.attempts, failed.error) == ("get_job", 1, caught.value)


def test_a_plugin_that_wants_to_be_last_comes_after_the_built_in_one(stub: Stub) -> None:
    asked: list[str] = []

    def resolver(name: str, **marks: Any) -> Any:
        def resolve_endpoint(ctx: CallContext) -> None:
            asked.append(name)

        return SimpleNamespace(name=name, resolve_endpoint=hookimpl(resolve_endpoint, **marks))

    plugins = (resolver("early", tryfirst=True), resolver("late", trylast=True), resolver("given"))
    stub.answer({})
    stub.client(plugins=plugins).list_jobs()
    assert asked == ["early", "given"], "the built-in one answers, so that nobody behind it is asked"
