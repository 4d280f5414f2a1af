"""The parts of the default plugins that others wrap, as `batchcompute.builtins` offers them."""

from __future__ import annotations

import types
from dataclasses import replace
from typing import Any

import pytest

from batchcompute import Config, ConnectError, Job, PluginError, RetryConfig, builtins
from batchcompute.builtins import (
    Urllib3Factory,
    Urllib3Transport,
    default_object,
    default_retry_policy,
    default_signature,
)
from batchcompute.builtins.signing import signature, string_to_sign
from batchcompute.hooks import (
    AttemptContext,
    CallContext,
    Plugin,
    RegistrationContext,
    ResponseContext,
    RetryPolicy,
    TransportFactory,
)
from batchcompute.hooks.manager import Hooks
from batchcompute.wire import Request, Response
from tests.support.clock import Clock
from tests.support.server import Server
from tests.support.stub import Stub


def test_the_transport_is_wrapped_by_a_subclass(server: Server) -> None:
    class Noting(Urllib3Transport):
        def send(self, request: Request) -> Response:
            response = super().send(request)
            noted.append((request.target, response.status))
            return response

    class Transport(Plugin):
        def register_transports(self, ctx: RegistrationContext) -> list[TransportFactory]:
            return [Urllib3Factory("noting", Noting)]

    noted: list[tuple[str, int]] = []
    config = Config(transport=replace(Config().transport, name="noting"))
    server.client(plugins=[Transport()], config=config).list_jobs()
    assert noted == [("/jobs", 200)]


def test_the_policy_is_wrapped(stub: Stub, clock: Clock) -> None:
    class Counting(Plugin):
        def retry_policy(self, ctx: CallContext) -> RetryPolicy:
            retry = replace(ctx.config.retry, attempts=3)
            policy = default_retry_policy(replace(ctx, config=replace(ctx.config, retry=retry)))
            return policy.copy(before_sleep=lambda state: pauses.append(state.attempt_number))

    pauses: list[int] = []
    for _ in range(3):
        stub.fail(ConnectError("nobody listens"))
    with pytest.raises(ConnectError):
        stub.client(plugins=(Counting(),), config=Config(retry=RetryConfig(attempts=1))).list_jobs()
    assert pauses == [1, 2]


def test_the_signature_is_wrapped(stub: Stub) -> None:
    class Team(Plugin):
        def sign_request(self, ctx: AttemptContext) -> dict[str, str]:
            headers = {**ctx.request.headers, "x-acs-team": "blue"}
            return {
                "x-acs-team": "blue",
                **default_signature(replace(ctx, request=replace(ctx.request, headers=headers))),
            }

    stub.answer({})
    stub.client(plugins=(Team(),)).list_jobs()
    headers = stub.requests[0].headers
    signed = signature("testsecret", string_to_sign("GET", "/jobs", headers))
    assert (headers["x-acs-team"], headers["authorization"]) == ("blue", f"acs testid:{signed}")


def test_the_object_is_wrapped(stub: Stub) -> None:
    class First(Plugin):
        def decode_response(self, ctx: ResponseContext) -> object:
            found: Any = default_object(ctx)
            return found[0] if ctx.call.operation.name == "list_jobs" else found

    stub.answer({"job-1": {"State": "Running"}})
    answer: Any = stub.client(plugins=(First(),)).list_jobs()
    assert isinstance(answer, Job)


def test_a_module_that_imports_the_parts_does_not_register_them() -> None:
    module = types.ModuleType("uses_the_parts")
    vars(module).update({name: getattr(builtins, name) for name in builtins.__all__})
    with pytest.raises(PluginError, match="has no hooks"):
        Hooks(Config(plugins=replace(Config().plugins, strict=True)), builtins.BUILTINS, [module])
