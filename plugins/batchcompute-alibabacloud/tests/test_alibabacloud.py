"""The adapter on the official library: what it gives, what it says, and that it keeps quiet."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from batchcompute_alibabacloud import library
from batchcompute_alibabacloud.plugin import AlibabaCloud
from batchcompute_alibabacloud.settings import Settings
from batchcompute_alibabacloud.sources import Sources

from batchcompute import Client, Config, ConfigError, Credentials, CredentialsConfig, CredentialsError
from batchcompute.testing import StubTransport
from batchcompute.testing.contracts import CredentialProviderContract
from tests.support.desk import CANARY, Desk

SECRET = f"{CANARY}#secret"
NAMED = CredentialsConfig(provider="alibabacloud")


def provider(**settings: Any) -> AlibabaCloud:
    config = Config(access_key_id="id", access_key_secret=SECRET, security_token=f"{CANARY}-token")
    return AlibabaCloud(Settings(**settings), config)


def why(provider: AlibabaCloud) -> str:
    with pytest.raises(CredentialsError) as caught:
        provider.get()
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in repr(error)
        error = error.__cause__ or error.__context__
    return str(caught.value)


class TestContract(CredentialProviderContract):
    @pytest.fixture
    def provider(self, desk: Desk) -> AlibabaCloud:
        return provider(type="credentials_uri", credentials_uri=desk.uri)

    @pytest.fixture
    def empty_provider(self) -> AlibabaCloud:
        return provider()


def test_static_settings() -> None:
    assert provider(type="access_key").get() == Credentials("id", SECRET, source="[alibabacloud] type access_key")
    assert provider(type="sts").get().security_token == f"{CANARY}-token"


def test_credentials_uri(desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", desk.uri)
    with caplog.at_level(logging.DEBUG):
        credentials = provider().get()
    assert (credentials.access_key_id, credentials.security_token) == ("key-1", f"{CANARY}-token")
    assert credentials.source == "credentials URI"
    assert credentials.expires is not None
    assert abs(credentials.expires - time.time() - desk.life) < 30
    assert CANARY not in caplog.text + repr(credentials)


def test_the_uri_is_read_when_it_is_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = provider()
    assert "ALIBABA_CLOUD_CREDENTIALS_URI is not set" in why(first)
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", desk.uri)
    assert first.get().access_key_id == "key-1"
    assert first.get().access_key_id == "key-1"  # the library keeps them
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", desk.uri + "-2")
    assert first.get().access_key_id == "key-2"


def test_what_the_service_refused_is_not_kept_by_the_library(desk: Desk) -> None:
    kept = provider(type="credentials_uri", credentials_uri=desk.uri)
    first = kept.get()
    assert kept.get() == first
    kept.refused(first)
    assert kept.get().access_key_id == "key-2"


def test_a_client_renews_what_is_about_to_expire(desk: Desk) -> None:
    desk.life = 300
    near = provider(type="credentials_uri", credentials_uri=desk.uri)
    assert [near.get().access_key_id for _ in range(2)] == ["key-1", "key-2"]  # within the library's 15 minutes


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (500, f"{CANARY} is secret", "credentials URI: it answered with HTTP status 500"),
        (200, json.dumps({"Code": "No", "AccessKeySecret": CANARY}), "the library failed with CredentialException"),
        (200, f"{CANARY} is no JSON", "the library failed with JSONDecodeError"),
    ],
)
def test_answers_that_cannot_be_used(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    status: int,
    text: str,
    expected: str,
) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", desk.uri)
    desk.status, desk.text = status, text
    with caplog.at_level(logging.DEBUG):
        assert expected in why(provider())
    printed = capfd.readouterr()
    assert CANARY not in caplog.text + printed.out + printed.err


def test_nobody_there(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    uri = desk.uri
    desk.server_close()
    with caplog.at_level(logging.DEBUG):
        text = why(provider(type="credentials_uri", credentials_uri=uri))
    assert "[alibabacloud] type credentials_uri: the library failed with" in text
    assert CANARY not in caplog.text


def test_ecs_role(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library asks one fixed host; what it makes of the answers is tested with the requests led to the desk."""
    monkeypatch.delenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
    core = __import__("Tea.core").core.TeaCore
    real = core.do_action

    def led(request: Any, options: Any) -> Any:
        assert request.headers["host"] == "100.100.100.200"
        request.headers["host"], request.port = "127.0.0.1", desk.server_port
        return real(request, options)

    monkeypatch.setattr(core, "do_action", led)
    credentials = provider().get()
    assert (credentials.access_key_id, credentials.source) == ("key-1", "ECS role")
    assert credentials.expires is not None
    assert "PUT /latest/api/token" in desk.seen
    assert "GET /latest/meta-data/ram/security-credentials/role" in desk.seen
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_cli_profiles(desk: Desk) -> None:
    path = Path.home() / ".aliyun" / "config.json"
    path.parent.mkdir()

    def profile(**values: str) -> None:
        path.write_text(json.dumps({"current": "p", "profiles": [{"name": "p", **values}]}))

    changing = provider()
    profile(mode="CredentialsURI", credentials_uri=desk.uri)
    assert changing.get().source == f"{path}, profile 'p'"
    profile(mode="AK", access_key_id="id", access_key_secret=SECRET)
    assert changing.get() == Credentials("id", SECRET, source=f"{path}, profile 'p'")
    profile(mode="CloudSSO")
    assert "CloudSSO access token is empty or expired, please re-login" in why(changing)
    profile(mode="OIDC", ram_role_arn="acs:ram::1:role/r", oidc_provider_arn="arn", oidc_token_file="/no/such/token")
    assert "/no/such/token: No such file or directory" in why(changing)


def test_ini_section() -> None:
    path = Path.home() / ".alibabacloud" / "credentials"
    path.parent.mkdir()
    path.write_text(f"[default]\ntype = access_key\naccess_key_id = id\naccess_key_secret = {SECRET}\n")
    assert provider().get().access_key_secret == SECRET  # not cut at its #
    path.write_text("[default]\ntype = rsa_key_pair\npublic_key_id = x\nprivate_key_file = /no/such/key\n")
    assert "/no/such/key: No such file or directory" in why(provider())


def test_oidc_needs_its_three_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r")
    assert "OIDC: ALIBABA_CLOUD_OIDC_PROVIDER_ARN is not set" in why(provider())
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "arn")
    monkeypatch.setenv("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/no/such/token")
    assert "OIDC: /no/such/token: No such file or directory" in why(provider())


def test_settings_that_cannot_be_used() -> None:
    for sections, message in (({"role_nam": "x"}, "role_nam"), ({"type": "ecs_role"}, "did you mean 'ecs_ram_role'")):
        with pytest.raises(ConfigError, match=message):
            Client("cn-qingdao", config=Config(sections={"alibabacloud": sections}))
    assert CANARY not in repr(Settings(credentials_uri=f"http://{CANARY}", external_id=CANARY))
    assert "role_arn or environment variable" in why(provider(type="ram_role_arn"))


def test_other_users_of_the_library_still_hear_it(caplog: pytest.LogCaptureFixture) -> None:
    library._library()
    with caplog.at_level(logging.INFO, "credentials"):
        logging.getLogger("credentials").warning("for others")
    assert "for others" in caplog.text


def test_a_call_through_the_client(desk: Desk) -> None:
    sections = {"alibabacloud": {"type": "credentials_uri", "credentials_uri": desk.uri}}
    stub = StubTransport()
    stub.answer({"Items": []})
    config = Config(sections=sections, credentials=NAMED)
    with Client("cn-qingdao", config=config, plugins=[stub]) as client:
        client.list_jobs()
    seen = stub.requests[0].headers
    assert seen["x-acs-access-key-id"] == "key-1"
    assert seen["x-acs-security-token"] == f"{CANARY}-token"


def test_nothing_of_the_library_is_imported_before_it_is_needed() -> None:
    script = (
        "import logging, sys\n"
        "from batchcompute import Client, Config\n"
        "Client('cn-qingdao', config=Config())\n"
        "import batchcompute_alibabacloud.plugin\n"
        "assert not [name for name in sys.modules if name.startswith(('alibabacloud_credentials', 'Tea'))]\n"
        "from batchcompute_alibabacloud import library\n"
        "library._library()\n"
        "for name in ('credentials', 'alibabacloud-tea'):\n"
        "    logger = logging.getLogger(name)\n"
        "    assert not logger.handlers and logger.level == 0, name\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=dict(os.environ))


def test_sources_stay_with_the_first_that_answered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", desk.uri)
    sources = Sources(Settings(), Config())
    sources.get()
    path = Path.home() / ".alibabacloud" / "credentials"
    path.parent.mkdir()
    path.write_text(f"[default]\ntype = access_key\naccess_key_id = other\naccess_key_secret = {SECRET}\n")
    assert sources.get().access_key_id == "key-1"
