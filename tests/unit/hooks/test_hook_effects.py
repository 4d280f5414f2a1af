"""What each hook really changes, seen through a Client: registration, and what shapes a request.

One test for each hook, `test_<hook>_...`, in these files: tests/docs/test_hooks_page.py fails for a hook that has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from batchcompute import (
    Config,
    ConfigError,
    ConnectError,
    Credentials,
    Range,
    Ranges,
    Region,
    ResponseLostError,
    ValidationError,
)
from batchcompute.client import Client
from batchcompute.config import TransportConfig
from batchcompute.hooks import (
    AttemptContext,
    CallContext,
    Clock as SdkClock,
    RegistrationContext,
    Section,
    Transport,
    hookimpl,
)
from batchcompute.wire import Endpoint, Request
from tests.support.clock import Clock
from tests.support.descriptions import describe_find
from tests.support.server import Server
from tests.support.stub import Stub, response

T = TypeVar("T")


# --- registration


def test_register_settings_lets_every_later_hook_read_them(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class LabSettings:
        tenant: str = "nobody"

    class Lab:
        @hookimpl
        def register_settings(self, ctx: RegistrationContext) -> Iterable[Section]:
            assert ctx.config.sections != {"lab": LabSettings()}
            return (Section("lab", LabSettings),)

        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
            return (Region("lab", f"{ctx.config.sections['lab'].tenant}.example"),)

    def host(**kwargs: Any) -> str:
        stub.answer({})
        Client("lab", "testid", "testsecret", plugins=[stub, Lab()], **kwargs).list_jobs()
        return stub.endpoints[-1].host

    assert host() == "nobody.example"
    monkeypatch.setenv("BATCHCOMPUTE_LAB_TENANT", "red")
    assert host() == "red.example"
    assert host(config=Config(sections={"lab": {"tenant": "blue"}})) == "blue.example"
    with pytest.raises(ConfigError, match=r"'lab.tenent'.*'tenant'"):
        host(config=Config(sections={"lab": {"tenent": "blue"}}))


def test_register_regions_gives_a_host_an_alias_and_ranges_of_its_own(server: Server) -> None:
    class Lab:
        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
            ranges = Ranges(priority=Range(0, 5), source="the lab's rules")
            return (Region("lab", "127.0.0.1", "http", server.server_port, ranges=ranges, aliases=("basement",)),)

    with Client("Basement", "testid", "testsecret", plugins=[Lab()]) as client:
        client.list_jobs()
        with pytest.raises(ValidationError, match=r"Priority.*\[0, 5\].*the lab's rules"):
            client.create_job(describe_find() | {"Priority": 6})
    method, path, headers, _ = server.seen[0]
    assert (method, path, headers["x-acs-region-id"]) == ("GET", "/jobs", "lab")
    assert len(server.seen) == 1, "a description with problems must not be sent"
    with pytest.raises(ConfigError, match="not a region"):
        Client("basement", "testid", "testsecret")


def test_register_regions_may_answer_nothing(stub: Stub) -> None:
    class Shy:
        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> None:
            return None

    stub.answer({})
    assert list(stub.client(plugins=(Shy(),)).list_jobs()) == []


def test_register_credential_providers_serves_the_region_that_names_it(stub: Stub) -> None:
    @dataclass
    class Vault:
        name: str = "vault"
        asked: int = 0

        @hookimpl
        def register_credential_providers(self, ctx: RegistrationContext) -> Iterable[Vault]:
            return (self,)

        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
            return (Region("lab", "lab.example", credential_provider="vault"),)

        def get(self) -> Credentials:
            self.asked += 1
            return Credentials("vaultid", "vaultsecret", source="the vault")

    stub.always = response({})
    vault = Vault()
    Client("lab", plugins=[stub, vault]).list_jobs()
    assert stub.requests[0].headers["x-acs-access-key-id"] == "vaultid"
    asked = vault.asked
    Client("lab", "ownid", "ownsecret", plugins=[stub, vault]).list_jobs()
    assert stub.requests[1].headers["x-acs-access-key-id"] == "ownid"
    assert vault.asked == asked == 1


def test_register_transports_carries_the_calls_of_the_region_that_names_it() -> None:
    opened: list[TransportConfig] = []

    @dataclass
    class Pigeon:
        name: str = "pigeon"
        sent: list[Request] = field(default_factory=list)
        closed: int = 0

        @hookimpl
        def register_transports(self, ctx: RegistrationContext) -> Iterable[Pigeon]:
            return (self,)

        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
            return (Region("loft", "loft.example", scheme="pigeon", port=7, transport="pigeon"),)

        def open(self, settings: TransportConfig) -> Transport:
            opened.append(settings)
            return self

        def send(self, request: Request) -> Any:
            self.sent.append(request)
            return response({"job-1": {"State": "Running"}})

        def close(self) -> None:
            self.closed += 1

    pigeon = Pigeon()
    settings = TransportConfig(read_timeout=7)
    with Client("loft", "testid", "testsecret", plugins=[pigeon], config=Config(transport=settings)) as client:
        assert [job.State for job in client.list_jobs()] == ["Running"]
        client.list_jobs()
    (request, _) = pigeon.sent
    assert request.endpoint == Endpoint("pigeon", "loft.example", 7, "loft", "pigeon")
    assert (opened, pigeon.closed) == ([settings], 1)


# --- decisions


def test_clock_times_the_waits_between_attempts(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Fast:
        now: float = 0.0
        naps: list[float] = field(default_factory=list)

        @hookimpl
        def clock(self, ctx: RegistrationContext) -> SdkClock:
            return self

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float, /) -> None:
            self.naps.append(seconds)
            self.now += seconds

    stub.prepare([response(b"", 503, retry_after="20"), response({})])
    fast = Fast()
    assert list(stub.client(plugins=(fast,)).list_jobs(timeout=100)) == []
    assert fast.naps == [20.0]
    assert stub.requests[1].timeout == 80, "the wait was taken from the call's own time"


def test_resolve_endpoint_leads_elsewhere_and_none_declines(stub: Stub) -> None:
    class Detour:
        @hookimpl
        def resolve_endpoint(self, ctx: CallContext) -> Endpoint | None:
            if ctx.operation.mutating:
                return None
            return Endpoint("https", "replica.example", 8443, ctx.region.name, ctx.region.transport)

    stub.always = response({})
    client = stub.client(plugins=(Detour(),))
    client.list_jobs()
    client.delete_job("job-1")
    assert [endpoint.host for endpoint in stub.endpoints] == [
        "replica.example",
        "batchcompute.cn-qingdao.aliyuncs.com",
    ]


def test_resolve_credentials_wins_and_none_declines(stub: Stub) -> None:
    class PerOperation:
        @hookimpl
        def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
            return Credentials("adminid", "adminsecret", "admintoken") if ctx.operation.mutating else None

    stub.always = response({})
    client = stub.client(plugins=(PerOperation(),))
    client.delete_job("job-1")
    client.list_jobs()
    seen = [(r.headers["x-acs-access-key-id"], r.headers.get("x-acs-security-token")) for r in stub.requests]
    assert seen == [("adminid", "admintoken"), ("testid", None)]


def test_retry_policy_replaces_the_built_in_one_and_none_declines(stub: Stub, clock: Clock) -> None:
    class Twice:
        """Two more attempts, at once; for reading only."""

        @hookimpl
        def retry_policy(self, ctx: CallContext) -> Callable[[Callable[[], Any]], Any] | None:
            return self.repeat if not ctx.operation.mutating else None

        def repeat(self, fn: Callable[[], T]) -> T:
            for _ in range(2):
                try:
                    return fn()
                except ResponseLostError:
                    pass
            return fn()

    stub.prepare([ResponseLostError("1"), ResponseLostError("2"), response({})])
    client = stub.client(plugins=(Twice(),))
    assert list(client.list_jobs()) == []
    assert (len(stub.requests), clock.naps) == (3, [])
    stub.prepare([ConnectError("refused")] * 3 + [response({})])
    client.delete_job("job-1")
    assert (len(stub.requests), len(clock.naps)) == (7, 3), "declined: the built-in policy waits"


def test_request_headers_are_merged_before_signing(server: Server) -> None:
    class Tenant:
        @hookimpl
        def request_headers(self, ctx: AttemptContext) -> Mapping[str, str]:
            return {"X-Acs-Tenant": "blue"}

    class Trace:
        @hookimpl
        def request_headers(self, ctx: AttemptContext) -> Mapping[str, str]:
            return {"traceparent": f"attempt-{ctx.number}", "x-acs-tenant": "blue"}  # the same value is no conflict

    class Declines:
        @hookimpl
        def request_headers(self, ctx: AttemptContext) -> None:
            return None

    from batchcompute.builtins.signing import signature, string_to_sign

    server.client(plugins=[Tenant(), Trace(), Declines()]).list_jobs()
    method, path, headers, _ = server.seen[0]
    assert (headers["x-acs-tenant"], headers["traceparent"]) == ("blue", "attempt-1")
    expected = signature("testsecret", string_to_sign(method, path, headers))
    assert headers["authorization"] == f"acs testid:{expected}"
    assert "x-acs-tenant:blue" in string_to_sign(method, path, headers)


def test_sign_request_replaces_the_signature(server: Server, stub: Stub) -> None:
    class Bearer:
        @hookimpl
        def sign_request(self, ctx: AttemptContext) -> Mapping[str, str] | None:
            assert ctx.endpoint.host == "127.0.0.1"
            return {"authorization": "Bearer let-me-in"}

    class Declines:
        @hookimpl
        def sign_request(self, ctx: AttemptContext) -> None:
            return None

    url = f"http://127.0.0.1:{server.server_port}"
    with Client(url, plugins=[Bearer()], config=Config()) as client:  # no access key anywhere, and none is missed
        client.list_jobs()
    headers = server.seen[0][2]
    assert headers["authorization"] == "Bearer let-me-in"
    assert not [name for name in headers if name.startswith("x-acs-")]
    server.client(plugins=[Declines()]).list_jobs()
    assert server.seen[1][2]["authorization"].startswith("acs testid:")
