"""What plugins observe and add, and what they may not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from batchcompute import Client, ConfigError, Credentials, PluginError, Region
from batchcompute.hooks import AttemptContext, CallContext, RegistrationContext, hookimpl
from tests.support.clock import Clock
from tests.support.stub import Stub


class Observer:
    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.error = error

    def note(self, hook: str, ctx: Any) -> None:
        self.seen.append((hook, ctx))
        if self.error is not None:
            raise self.error

    @hookimpl
    def before_attempt(self, ctx: Any) -> None:
        self.note("before_attempt", ctx)

    @hookimpl
    def after_attempt(self, ctx: Any) -> None:
        self.note("after_attempt", ctx)

    @hookimpl
    def after_call(self, ctx: Any) -> None:
        self.note("after_call", ctx)


def test_observers_see_every_attempt_and_the_call(stub: Stub, clock: Clock) -> None:
    observer = Observer()
    stub.answer({"Code": "Busy"}, 503)
    stub.answer({})
    stub.client(plugins=(observer,)).get_job("job-1")
    assert [hook for hook, _ in observer.seen] == [*["before_attempt", "after_attempt"] * 2, "after_call"]
    (_, before), (_, failed), (_, _), (_, good), (_, call) = observer.seen
    assert "authorization" in before.request.headers
    assert (before.response, before.error, before.number) == (None, None, 1)
    assert (failed.response.status, failed.error.code, failed.number) == (503, "Busy", 1)
    assert (good.response.status, good.error, good.number) == (200, None, 2)
    assert (call.attempts, call.response.status, call.error) == (2, 200, None)
    for ctx in (before, failed, call):
        with pytest.raises(AttributeError):
            ctx.error = None


def test_an_observer_that_fails_breaks_nothing(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Observer(ValueError("canary-secret")), Observer()
    stub.answer({})
    with caplog.at_level(logging.WARNING, "batchcompute.plugins"):
        stub.client(plugins=(good, bad)).list_jobs()
    assert len(good.seen) == len(bad.seen) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"plugin argument 2: Observer failed in {hook}: ValueError"
        for hook in ("before_attempt", "after_attempt", "after_call")
    ]


class Headers:
    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @hookimpl
    def request_headers(self, ctx: AttemptContext) -> dict[str, str]:
        return self.headers


def test_headers_of_all_plugins_are_merged_and_signed(stub: Stub) -> None:
    from batchcompute.builtins.signing import signature, string_to_sign

    stub.answer({})
    plugins = (Headers(x_acs_trace="1"), Headers(X_Other="2", X_Same="3"), Headers(x_same="3"))
    stub.client(plugins=plugins).list_jobs()
    headers = stub.requests[0].headers
    assert (headers["x-acs-trace"], headers["x-other"], headers["x-same"]) == ("1", "2", "3")
    signed = signature("testsecret", string_to_sign("GET", "/jobs", headers))
    assert headers["authorization"] == f"acs testid:{signed}"


@pytest.mark.parametrize(
    "plugins",
    [
        (Headers(x_a="1"), Headers(X_A="2")),
        (Headers(Authorization="mine"),),
        (Headers(content_type="text/plain"),),
        (Headers(host="elsewhere"),),
        (Headers(x_acs_version="2015-11-11"),),
        (Headers(x_acs_signature_nonce="fixed"),),
    ],
)
def test_conflicting_headers_are_an_error(stub: Stub, plugins: tuple[object, ...]) -> None:
    stub.answer({})
    with pytest.raises(PluginError, match=r"request_headers answered the header '.*', which .* sets"):
        stub.client(plugins=plugins).list_jobs()
    assert stub.requests == []


class Said:
    """Knows who is asking."""

    def __init__(self, who: str) -> None:
        self.who = who

    @hookimpl
    def resolve_credentials(self, ctx: CallContext) -> Credentials:
        return Credentials(self.who, "secret")


def test_two_clients_with_different_plugins(stub: Stub) -> None:
    for _ in range(6):
        stub.answer({})
    one, two, plain = stub.client(plugins=(Said("one"),)), stub.client(plugins=(Said("two"),)), stub.client()
    for _ in range(2):
        for client in (one, two, plain):
            client.list_jobs()
    asked = [request.headers["x-acs-access-key-id"] for request in stub.requests]
    assert asked == ["one", "two", "testid"] * 2


class Places:
    @hookimpl
    def register_regions(self, ctx: RegistrationContext) -> list[Region]:
        return [Region("here", "here.example", transport="pigeon"), Region("cn-qingdao", "mine.example")]


def test_a_region_names_its_transport_and_a_plugins_region_wins(stub: Stub) -> None:
    stub.answer({})
    stub.client(plugins=(Places(),)).list_jobs()
    assert stub.endpoints[0].host == "mine.example"
    with pytest.raises(ConfigError, match="no transport 'pigeon'"):
        Client("here", "id", "secret", plugins=[Places()]).list_jobs()


def test_what_is_registered_needs_a_name(stub: Stub) -> None:
    class Nameless:
        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> list[Any]:
            return [object()]

    with pytest.raises(
        PluginError,
        match="register_regions answered items, of which number 0 is an object, expected an iterable of Region",
    ):
        stub.client(plugins=(Nameless(),))
