"""The built-in credential providers, and the local region's, keep the contract that we ask of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchcompute.builtins.credentials.alibabacloud_file import AlibabaCloudFile
from batchcompute.builtins.credentials.aliyun_cli import AliyunCli
from batchcompute.builtins.credentials.environment import Environment, Profile
from batchcompute.config import Config
from batchcompute.credentials import Credentials, explicit
from batchcompute.hooks import CredentialProvider
from batchcompute.testing import CredentialProviderContract

ID, SECRET, TOKEN = "testid-1", "canary-secret-3f9b", "canary-token-7a1c"


class TestExplicit(CredentialProviderContract):
    """The key that a Client is given."""

    @pytest.fixture
    def provider(self) -> CredentialProvider:
        class Given:
            name = "explicit"

            def get(self) -> Credentials:
                key = explicit(ID, SECRET, TOKEN)
                assert key is not None
                return key

        return Given()


class TestEnvironment(CredentialProviderContract):
    @pytest.fixture
    def provider(self, monkeypatch: pytest.MonkeyPatch) -> CredentialProvider:
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", ID)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        monkeypatch.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN)
        return Environment()

    @pytest.fixture
    def empty_provider(self) -> CredentialProvider:
        return Environment()


class TestProfile(CredentialProviderContract):
    @pytest.fixture
    def provider(self) -> CredentialProvider:
        return Profile(Config(access_key_id=ID, access_key_secret=SECRET, security_token=TOKEN))

    @pytest.fixture
    def empty_provider(self) -> CredentialProvider:
        return Profile(Config())


class TestAlibabaCloudFile(CredentialProviderContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> CredentialProvider:
        _write(
            tmp_path / "home/.alibabacloud/credentials",
            f"[default]\ntype = sts\naccess_key_id = {ID}\naccess_key_secret = {SECRET}\nsecurity_token = {TOKEN}\n",
        )
        return AlibabaCloudFile()

    @pytest.fixture
    def empty_provider(self) -> CredentialProvider:
        return AlibabaCloudFile()


class TestAliyunCli(CredentialProviderContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> CredentialProvider:
        profile = {"name": "default", "mode": "AK", "access_key_id": ID, "access_key_secret": SECRET}
        _write(
            tmp_path / "home/.aliyun/config.json",
            json.dumps({"current": "default", "profiles": [profile]}),
        )
        return AliyunCli()

    @pytest.fixture
    def empty_provider(self) -> CredentialProvider:
        return AliyunCli()


class TestLocalAccount(CredentialProviderContract):
    """The account that the daemon of the local region made; its file is read without a daemon."""

    @pytest.fixture
    def provider(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialProvider:
        plugin = pytest.importorskip("batchcompute_local.plugin", reason="a plugin that need not be installed")
        from batchcompute_local.paths import Layout

        from batchcompute.hooks import RegistrationContext

        monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "data"))
        _write(
            Layout.at(tmp_path / "data").credentials,
            json.dumps({"access_key_id": ID, "access_key_secret": SECRET}),
        )
        found: CredentialProvider
        (found,) = plugin.register_credential_providers(RegistrationContext(Config()))
        return found


def test_a_provider_that_breaks_the_contract_is_found() -> None:
    """The contract can fail: a provider that shows its secret, and always has one."""

    class Loose:
        name = "loose"

        def get(self) -> Credentials:
            return Credentials(ID, SECRET, source=f"the key {SECRET}")

    contract = CredentialProviderContract()
    contract.test_it_gives_a_usable_key(Loose())
    with pytest.raises(AssertionError, match="shows a secret"):
        contract.test_no_secret_is_shown(Loose())
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        contract.test_without_credentials_it_raises_credentials_error(Loose())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
