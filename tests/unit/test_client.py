"""Where a Client goes, and what its constructor refuses."""

from __future__ import annotations

from typing import Any

import pytest

from batchcompute import CN_HANGZHOU, CN_QINGDAO, CN_SHENZHEN, Client, ConfigError, CredentialsError
from tests.support.stub import Stub


def endpoint_of(stub: Stub, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """The URL and region of a call."""
    stub.answer({})
    given: dict[str, Any] = {"access_key_id": "testid", "access_key_secret": "testsecret", **kwargs}
    Client(*args, plugins=[stub], **given).list_jobs()
    endpoint = stub.endpoints[-1]
    assert stub.requests[-1].headers["x-acs-region-id"] == endpoint.region
    return endpoint.url, endpoint.region


@pytest.mark.parametrize(
    ("text", "url", "region"),
    [
        (CN_QINGDAO, f"https://{CN_QINGDAO}:443", "cn-qingdao"),
        (CN_SHENZHEN, f"https://{CN_SHENZHEN}:443", "cn-shenzhen"),
        (CN_HANGZHOU, f"https://{CN_HANGZHOU}:443", "cn-hangzhou"),
        ("batchcompute.cn-hangzhou.aliyuncs.com", f"https://{CN_HANGZHOU}:443", "cn-hangzhou"),
        ("cn-qingdao", f"https://{CN_QINGDAO}:443", "cn-qingdao"),
        ("CN_QINGDAO", f"https://{CN_QINGDAO}:443", "cn-qingdao"),
        (" Cn-Qingdao ", f"https://{CN_QINGDAO}:443", "cn-qingdao"),
        (f"http://{CN_QINGDAO}", f"http://{CN_QINGDAO}:80", "cn-qingdao"),
        (f"https://{CN_QINGDAO}/", f"https://{CN_QINGDAO}:443", "cn-qingdao"),
        (f"{CN_QINGDAO}:8443", f"https://{CN_QINGDAO}:8443", "cn-qingdao"),
        ("batchcompute.cn-beijing.aliyuncs.com", "https://batchcompute.cn-beijing.aliyuncs.com:443", "cn-beijing"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "custom"),
        ("jobs.example.com", "https://jobs.example.com:443", "custom"),
        ("localhost:99", "https://localhost:99", "custom"),
    ],
)
def test_an_endpoint_is_a_region_a_domain_or_a_url(stub: Stub, text: str, url: str, region: str) -> None:
    assert endpoint_of(stub, text) == (url, region)
    assert endpoint_of(stub, endpoint=text) == (url, region)
    assert endpoint_of(stub, region=text) == (url, region)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host",
        "https://",
        "https://host/path",
        "https://host?x=1",
        "https://host#x",
        "https://host:port",
        "https://host:99999",
        "http://[::1",
    ],
)
def test_what_cannot_be_an_endpoint(text: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        Client(text, "id", "secret")


def test_a_misspelt_region_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'cn-qingdao'.*regions: cn-hangzhou, cn-qingdao, cn-shenzhen"):
        Client("cn-qindao", "id", "secret")


def test_local_names_its_install_command() -> None:
    with pytest.raises(ConfigError, match=r"region local needs its service; install"):
        Client("local")


@pytest.mark.parametrize("empty", ["", "  ", 5])
def test_an_endpoint_that_is_none(empty: Any) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        Client(empty, "id", "secret")


def test_endpoint_and_region_are_one_argument(stub: Stub) -> None:
    with pytest.raises(ConfigError, match="two names of one argument"):
        Client("cn-qingdao", "id", "secret", region="cn-shenzhen")
    assert endpoint_of(stub, "cn-qingdao", region="cn-qingdao")[1] == "cn-qingdao"


def test_the_positional_arguments_of_the_reference(stub: Stub) -> None:
    stub.answer({"CreateTime": 86400 * 10})
    client = Client(CN_QINGDAO, "testid", "testsecret", True, plugins=[stub])
    assert str(client.get_job("job-1").CreateTime).startswith("1970-01-1")


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_human_readable_is_a_bool(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"human_readable must be True or False.*security_token="):
        Client("cn-qingdao", "id", "secret", bad)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"access_key_id": "id"}, "access_key_secret"),
        ({"access_key_secret": "secret"}, "access_key_id"),
        ({"security_token": "tok"}, "access_key_id"),
    ],
)
def test_half_an_access_key_is_refused(given: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigError, match=f"{missing} is missing"):
        Client("cn-qingdao", **given)  # type: ignore[arg-type]  # wrong on purpose


def test_without_credentials_the_first_call_tells(stub: Stub) -> None:
    client = Client("cn-qingdao", plugins=[stub])
    with pytest.raises(CredentialsError, match="cn-qingdao"):
        client.list_jobs()
    assert stub.requests == []


def test_blanks_around_a_key_are_a_copying_mistake(stub: Stub) -> None:
    stub.answer({})
    Client("cn-qingdao", " testid\n", " testsecret ", security_token=" tok ", plugins=[stub]).list_jobs()
    headers = stub.requests[0].headers
    assert (headers["x-acs-access-key-id"], headers["x-acs-security-token"]) == ("testid", "tok")
