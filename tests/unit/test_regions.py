"""A URL stands for a plugin's region only when it is that region's own: others may listen on the same host."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from batchcompute import CN_QINGDAO, Range, Ranges, Region
from batchcompute.client import Client
from batchcompute.hooks import RegistrationContext, hookimpl
from batchcompute.regions import CLOUD_REGIONS, find_region
from tests.support.stub import Stub

LAB = Region(
    "lab",
    "127.0.0.1",
    "http",
    8765,
    transport="pigeon",
    credential_provider="vault",
    ranges=Ranges(priority=Range(0, 5)),
    idempotent_tokens=True,
)


@pytest.mark.parametrize("text", ["http://127.0.0.1:8765", "HTTP://127.0.0.1:8765/", "127.0.0.1", "Lab"])
def test_its_own_url_is_the_whole_region(text: str) -> None:
    assert find_region(text, [LAB]) == LAB


@pytest.mark.parametrize("text", ["http://127.0.0.1:9999", "https://127.0.0.1", "127.0.0.1:9999"])
def test_another_port_is_somebody_else(text: str) -> None:
    found = find_region(text, [LAB])
    assert (found.name, found.transport, found.credential_provider) == ("custom", "urllib3", None)
    assert found.ranges == Ranges()


@pytest.mark.parametrize("text", [f"http://{CN_QINGDAO}", f"https://{CN_QINGDAO}:8443"])
def test_a_cloud_region_is_on_any_port(text: str) -> None:
    found = find_region(text, CLOUD_REGIONS)
    assert found.name == "cn-qingdao"
    assert found.endpoint.url.startswith(text)


def test_a_region_with_a_scheme_of_its_own_is_not_meant_by_a_url() -> None:
    cave = Region("cave", "cave", scheme="unix", port=0, transport="pigeon")
    found = find_region("http://cave", [cave])
    assert (found.name, found.transport, found.endpoint.url) == ("custom", "urllib3", "http://cave:80")


def test_calls_to_a_private_region_by_url_use_its_parts(stub: Stub) -> None:
    class Lab:
        @hookimpl
        def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
            return (Region("lab", "lab.example", port=8443, idempotent_tokens=True),)

    stub.answer()
    with Client("https://lab.example:8443", "testid", "testsecret", plugins=[stub, Lab()]) as client:
        client.delete_job("job-1")
    assert stub.requests[0].headers["x-acs-region-id"] == "lab"
    assert "x-acs-idempotent-token" in stub.requests[0].headers
