"""Idempotency tokens: where a region knows them, a lost answer may be asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from batchcompute import Client, ConfigError, Region, ResponseLostError
from batchcompute.hooks import RegistrationContext, hookimpl
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

CHANGES: dict[str, Callable[[Client, dict[str, Any]], Any]] = {
    "create_job": lambda client, desc: client.create_job(desc),
    "stop_job": lambda client, _: client.stop_job("job-1"),
    "start_job": lambda client, _: client.start_job("job-1"),
    "delete_job": lambda client, _: client.delete_job("job-1"),
}
changes = pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)


def statuses(stub: Stub, *codes: int, **headers: str) -> None:
    for code in codes:
        stub.answer({"ResourceId": "job-1"} if code < 300 else {}, code, headers)


class Tokens:
    @hookimpl
    def register_regions(self, ctx: RegistrationContext) -> list[Region]:
        return [Region("tokens", "tokens.example", idempotent_tokens=True)]


@changes
def test_where_tokens_are_known_a_lost_answer_is_repeated(stub: Stub, clock: Clock, call: Any) -> None:
    stub.prepare([ResponseLostError("lost")])
    statuses(stub, 503)
    statuses(stub, 200)
    call(Client("tokens", "id", "secret", plugins=[stub, Tokens()]), describe_find())
    tokens = {request.headers["x-acs-idempotent-token"] for request in stub.requests}
    assert len(stub.requests) == 3
    assert len(tokens) == 1


def test_each_call_has_its_own_token_and_reads_have_none(stub: Stub) -> None:
    statuses(stub, 200, 200, 200, 200)
    client = Client("tokens", "id", "secret", plugins=[stub, Tokens()])
    client.create_job(describe_find())
    client.create_job(describe_find())
    client.create_job(describe_find(), idempotency_token="mine-1")
    client.get_job("job-1")
    sent = [request.headers.get("x-acs-idempotent-token") for request in stub.requests]
    assert len({*sent}) == 4
    assert sent[2:] == ["mine-1", None]


def test_tokens_are_refused_where_nobody_knows_them(stub: Stub) -> None:
    with pytest.raises(ConfigError, match="does not support idempotency tokens"):
        stub.client().create_job(describe_find(), idempotency_token="mine")
    tokens = Client("tokens", "id", "secret", plugins=[stub, Tokens()])
    for bad in ("", "a b", "x" * 65, "é", "a\n", 5):
        with pytest.raises(ValueError, match="1 to 64 letters"):
            tokens.create_job(describe_find(), idempotency_token=bad)  # type: ignore[arg-type]  # wrong on purpose
    statuses(stub, 200)
    stub.client().create_job(json.dumps(describe_find()))
    assert "x-acs-idempotent-token" not in stub.requests[0].headers
