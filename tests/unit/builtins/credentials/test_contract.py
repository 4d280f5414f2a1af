"""The built-in providers keep to the contract that everybody's do; and a key in config.toml reaches the request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchcompute import Client, Config
from batchcompute.builtins.credentials.alibabacloud_file import AlibabaCloudFile
from batchcompute.builtins.credentials.aliyun_cli import AliyunCli
from batchcompute.builtins.credentials.environment import Environment, Profile
from batchcompute.configuration import files
from batchcompute.testing.contracts import CredentialProviderContract
from tests.support.stub import Stub

SECRET = "zq9-canary-secret"


class TestEnvironment(CredentialProviderContract):
    @pytest.fixture
    def provider(self, monkeypatch: pytest.MonkeyPatch) -> Environment:
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        return Environment()

    @pytest.fixture
    def empty_provider(self) -> Environment:
        return Environment()


class TestProfile(CredentialProviderContract):
    @pytest.fixture
    def provider(self) -> Profile:
        return Profile(Config(access_key_id="id", access_key_secret=SECRET))

    @pytest.fixture
    def empty_provider(self) -> Profile:
        return Profile(Config())


class TestAlibabaCloudFile(CredentialProviderContract):
    @pytest.fixture
    def provider(self) -> AlibabaCloudFile:
        path = Path.home() / ".alibabacloud" / "credentials"
        path.parent.mkdir()
        path.write_text(f"[default]\ntype = access_key\naccess_key_id = id\naccess_key_secret = {SECRET}\n")
        return AlibabaCloudFile()

    @pytest.fixture
    def empty_provider(self) -> AlibabaCloudFile:
        return AlibabaCloudFile()


class TestAliyunCli(CredentialProviderContract):
    @pytest.fixture
    def provider(self) -> AliyunCli:
        path = Path.home() / ".aliyun" / "config.json"
        path.parent.mkdir()
        profile = {"name": "default", "mode": "AK", "access_key_id": "id", "access_key_secret": SECRET}
        path.write_text(json.dumps({"current": "default", "profiles": [profile]}))
        return AliyunCli()

    @pytest.fixture
    def empty_provider(self) -> AliyunCli:
        return AliyunCli()


def test_what_the_surroundings_say_reaches_the_request(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(files.user_file())
    path.parent.mkdir(parents=True)
    path.write_text(f'endpoint = "cn-qingdao"\naccess_key_id = "from-toml"\naccess_key_secret = "{SECRET}"\n')
    path.chmod(0o600)

    def who() -> str:
        stub.answer({"Items": []})
        Client(plugins=[stub]).list_jobs()
        return str(stub.requests[-1].headers["x-acs-access-key-id"])

    assert who() == "from-toml"
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "from-env")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    assert who() == "from-env"
    monkeypatch.setenv("BATCHCOMPUTE_CREDENTIALS_CHAIN", "profile,environment")
    assert who() == "from-toml"
