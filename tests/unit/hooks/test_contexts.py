"""What plugins keep for one Client."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from batchcompute.hooks import CallContext, CallResult, ClientState, RegistrationContext, hookimpl
from tests.support.stub import Stub, response


class Counts:
    def __init__(self) -> None:
        self.calls = 0


def test_each_client_has_its_own(stub: Stub) -> None:
    """A module is one object for all Clients, as an installed plugin is; hooks of each kind find the same state."""
    seen: list[tuple[Counts, int]] = []
    plugin = ModuleType("counting")

    @hookimpl
    def register_regions(ctx: RegistrationContext) -> None:
        ctx.state.of(Counts)

    @hookimpl
    def resolve_endpoint(ctx: CallContext) -> None:
        ctx.state.of(Counts).calls += 1

    @hookimpl
    def after_call(ctx: CallResult) -> None:
        counts = ctx.call.state.of(Counts)
        seen.append((counts, counts.calls))

    for hook in (register_regions, resolve_endpoint, after_call):
        setattr(plugin, hook.__name__, hook)
    stub.always = response({})
    first, second = (stub.client(plugins=(plugin,)) for _ in range(2))
    for client in (first, first, second):
        client.list_jobs()
    assert [calls for _, calls in seen] == [1, 2, 1]
    assert seen[0][0] is seen[1][0] is not seen[2][0]


def test_threads_get_the_same_object() -> None:
    state = ClientState()
    all_there = threading.Barrier(8)

    def make() -> object:
        all_there.wait(30)
        return object()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: state.of(make), range(8)))) == 1
