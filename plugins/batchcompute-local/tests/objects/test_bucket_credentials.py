"""Credentials of a bucket elsewhere by a provider of the SDK: with a file system that notes its options, and a real S3 store."""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from batchcompute_local.errors import SettingsError
from batchcompute_local.extensions import check_names
from batchcompute_local.objects import backing as backing_module, bucket_credentials
from batchcompute_local.objects.backing import Backing, ElsewhereError
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.settings import Settings
from fsspec.implementations.memory import MemoryFileSystem

from batchcompute.config import Config
from tests.support.weed import ID, SECRET, Weed

KEY, KEY_SECRET = "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
TOKEN = "ALIBABA_CLOUD_SECURITY_TOKEN"
FAR = BucketElsewhere("far", "s3://real", credentials="environment")


class RefusedError(Exception):
    """As botocore's ClientError."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.response = {"Error": {"Code": code}}


class Noting(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Notes the options of each instance; keys in `refused` get an error that repeats them, as no store should."""

    protocol = "s3"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    opened: ClassVar[list[dict[str, Any]]] = []
    refused: ClassVar[dict[str, str]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**{name: value for name, value in options.items() if name == "skip_instance_cache"})
        self._options = {name: value for name, value in options.items() if name != "skip_instance_cache"}
        self.opened.append(self._options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).replace("s3://", "memory://", 1))

    def info(self, path: str, **more: Any) -> Any:
        code = self.refused.get(self._options["key"])
        if code:
            raise PermissionError(f"no entry with {self._options}") from RefusedError(code, "refused")
        return super().info(path, **more)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of this test; nothing is kept of the providers of another one."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    bucket_credentials._open.cache_clear()
    yield home
    bucket_credentials._open.cache_clear()


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> type[Noting]:
    """The file system for s3://."""
    monkeypatch.setattr(fsspec, "get_filesystem_class", {"s3": Noting}.__getitem__)
    monkeypatch.setattr(backing_module, "find_missing", lambda bucket: "")  # s3fs is not what is tested here
    for kept in (Noting.store, Noting.opened, Noting.refused):
        kept.clear()
    return Noting


def set_key(monkeypatch: pytest.MonkeyPatch, key: str, secret: str, token: str = "") -> None:
    for name, value in ((KEY, key), (KEY_SECRET, secret), (TOKEN, token)):
        monkeypatch.setenv(name, value)


def put(backing: Backing, key: str, content: bytes) -> None:
    backing.put(key, io.BytesIO(content), len(content))


def test_other_credentials_are_for_a_new_file_system(
    noting: type[Noting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"endpoint_url": "https://s3.example.com"}
    backing = Backing(BucketElsewhere("far", "s3://real", options, "environment"), tmp_path / "unsent")
    set_key(monkeypatch, "id-1", "secret-1")
    put(backing, "k", b"text")
    assert backing.find("k") is not None
    content = backing.open("k")
    set_key(monkeypatch, "id-2", "secret-2", "token-2")
    assert backing.find("k") is not None
    assert content.read(4, 0) == b"text", "what is open stays open"
    content.close()
    assert [key for key, _ in backing.walk()] == ["k"]
    assert noting.opened == [
        {**options, "key": "id-1", "secret": "secret-1"},
        {**options, "key": "id-2", "secret": "secret-2", "token": "token-2"},
    ]


def test_credentials_that_expire_are_replaced_before(noting: type[Noting], tmp_path: Path, own_home: Path) -> None:
    """By a program that prints others each time."""
    program = tmp_path / "prints.py"
    program.write_text(
        "import datetime, json, pathlib, sys\n"
        "count = pathlib.Path(sys.argv[1] + '.count')\n"
        "number = int(count.read_text()) + 1 if count.exists() else 1\n"
        "count.write_text(str(number))\n"
        "left = float(pathlib.Path(sys.argv[1] + '.left').read_text())\n"
        "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=left)\n"
        "print(json.dumps({'mode': 'StsToken', 'access_key_id': f'id-{number}', 'access_key_secret': 'secret',\n"
        "                  'sts_token': f'token-{number}', 'expiration': end.isoformat()}))\n"
    )
    command = shlex.join([sys.executable, str(program), str(tmp_path / "state")])
    config = {"current": "p", "profiles": [{"name": "p", "mode": "External", "process_command": command}]}
    (own_home / ".aliyun").mkdir()
    (own_home / ".aliyun/config.json").write_text(json.dumps(config))
    left = tmp_path / "state.left"
    backings = [Backing(BucketElsewhere("far", "s3://real", {}, "aliyun-cli"), tmp_path) for _ in range(2)]
    left.write_text("30")  # less than `refresh_at_latest`: they are not used again
    assert backings[0].find("k") is None
    left.write_text("3600")
    for _ in range(3):
        assert [each.find("k") for each in backings] == [None, None]
    assert [each["token"] for each in noting.opened] == ["token-1", "token-2", "token-2"]
    assert (tmp_path / "state.count").read_text() == "2", "all buckets share what a provider has"


def write_profile(home: Path, key: str) -> None:
    folder = home / ".config/batchcompute"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f'access_key_id = "{key}"\naccess_key_secret = "secret-of-{key}"\n')
    (folder / "config.toml").chmod(0o600)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken", "403"])
def test_a_provider_is_asked_again_after_a_refusal(
    noting: type[Noting], tmp_path: Path, own_home: Path, code: str
) -> None:
    write_profile(own_home, "old-id")
    backing = Backing(BucketElsewhere("far", "s3://real", {}, "profile"), tmp_path)
    assert backing.find("k") is None
    noting.refused["old-id"] = code
    write_profile(own_home, "new-id")
    assert backing.find("k") is None
    assert [each["key"] for each in noting.opened] == ["old-id", "new-id"]
    noting.refused["new-id"] = code
    write_profile(own_home, "newest-id")
    with pytest.raises(ElsewhereError):  # not twice in a minute
        backing.find("k")


def test_a_right_that_is_missing_does_not_ask_each_time(
    noting: type[Noting], tmp_path: Path, own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_profile(own_home, "old-id")
    backing = Backing(BucketElsewhere("far", "s3://real", {}, "profile"), tmp_path)
    noting.refused["old-id"] = "403"
    with caplog.at_level(logging.INFO, "batchcompute.credentials"):
        for _ in range(5):
            with pytest.raises(ElsewhereError):
                backing.find("k")
    assert caplog.text.count("the service has refused its credentials") == 1
    assert len(noting.opened) == 1


def test_no_error_shows_them(
    noting: type[Noting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    backing = Backing(FAR, tmp_path)
    for number in range(3):
        set_key(monkeypatch, f"canary-id-{number}", f"canary-secret-{number}", f"canary-token-{number}")
        noting.refused[f"canary-id-{number}"] = "AccessDenied"
        with pytest.raises(
            ElsewhereError, match=r"cannot be used: PermissionError: no entry with \{.*\*\*\*"
        ) as caught:
            backing.find("k")
        assert "canary" not in str(caught.value) + repr(caught.value) + repr(backing.bucket)
        assert not re.search("canary-(secret|token)", repr(vars(backing._system)))
    assert "canary" not in caplog.text


def test_a_provider_without_credentials_says_why(
    noting: type[Noting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    backing = Backing(FAR, tmp_path)
    with pytest.raises(ElsewhereError) as caught:
        backing.find("k")
    assert str(caught.value) == (
        "the bucket far at s3://real cannot be used: credential provider 'environment' has no credentials: "
        "ALIBABA_CLOUD_ACCESS_KEY_ID is not set"
    )
    set_key(monkeypatch, "id", "secret")
    assert backing.find("k") is None
    assert noting.opened == [{"key": "id", "secret": "secret"}]


@pytest.mark.parametrize("name", ["enviroment", "local"])  # the region's own is not for S3
def test_a_provider_that_is_not_there(noting: type[Noting], tmp_path: Path, name: str) -> None:
    bucket = BucketElsewhere("far", "s3://real", {}, name)
    with pytest.raises(ElsewhereError, match=f"there is no credential provider '{name}'.*there are: .*environment"):
        Backing(bucket, tmp_path).find("k")
    assert noting.opened == []


def test_the_service_looks_at_the_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "service.toml"
    near = BucketElsewhere("near", "file:///mnt")

    def check(bucket: BucketElsewhere) -> None:
        check_names(Settings(buckets={"near": near, "far": bucket}), path)

    check(FAR)
    assert caplog.text == ""
    with pytest.raises(SettingsError) as caught:
        check(BucketElsewhere("far", "s3://real", {}, "enviroment"))
    assert f"{path}: [buckets.far]: credentials: there is no credential provider 'enviroment'" in str(caught.value)
    assert "did you mean 'environment'?" in str(caught.value)
    check(BucketElsewhere("far", "s3://real", {}, "of-a-plugin"))
    assert "[buckets.far]: credentials: there is no credential provider 'of-a-plugin'; there are: " in caplog.text


def test_settings_that_cannot_be_read_hinder_that_bucket_alone(
    noting: type[Noting], tmp_path: Path, own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_profile(own_home, "id-1")
    config = own_home / ".config/batchcompute/config.toml"
    right = config.read_text()
    config.write_text(right + "[transports]\n")
    bucket = BucketElsewhere("far", "s3://real", {}, "profile")
    check_names(Settings(buckets={"far": bucket}), tmp_path / "service.toml")
    assert "no bucket can have credentials of a provider: " in caplog.text
    backing = Backing(bucket, tmp_path)
    with pytest.raises(
        ElsewhereError, match=r"cannot be used: .*config.toml, line 3: there is no section \[transports\]"
    ):
        backing.find("k")
    config.write_text(right)
    assert backing.find("k") is None


class Broken:
    """A provider of a plugin whose error has what nobody may see."""

    name = "broken"

    def get(self) -> Any:
        raise ValueError("canary-secret")


def test_a_plugin_that_fails_is_named_without_what_it_says(
    noting: type[Noting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_credentials, "_find_providers", lambda: ({"broken": Broken()}, Config()))
    with pytest.raises(ElsewhereError) as caught:
        Backing(BucketElsewhere("far", "s3://real", {}, "broken"), tmp_path).find("k")
    assert str(caught.value).endswith("cannot be used: credential provider 'broken' failed with ValueError")


def test_a_real_store(weed: Weed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = BucketElsewhere("far", f"s3://real/{time.time_ns()}", {"endpoint_url": weed.url}, "environment")
    backing = Backing(bucket, tmp_path)
    set_key(monkeypatch, ID, SECRET)
    put(backing, "k", b"text")
    set_key(monkeypatch, ID, wrong := "another-" + SECRET)
    for use in (lambda: backing.find("k"), lambda: list(backing.walk()), lambda: put(backing, "k", b"other")):
        with pytest.raises(ElsewhereError, match="cannot be used: ") as caught:
            use()
        assert wrong not in str(caught.value)
    set_key(monkeypatch, "another-id", SECRET)
    with pytest.raises(ElsewhereError, match="cannot be used: "):
        list(backing.walk())
    set_key(monkeypatch, ID, SECRET)
    content = backing.open("k")
    assert content.read(10, 0) == b"text"
    content.close()


def test_a_real_store_refuses_a_key_that_was_changed(weed: Weed, tmp_path: Path, own_home: Path) -> None:
    bucket = BucketElsewhere("far", f"s3://real/{time.time_ns()}", {"endpoint_url": weed.url}, "profile")
    write_profile(own_home, "gone-id")
    with pytest.raises(ElsewhereError, match="cannot be used: ") as caught:
        Backing(bucket, tmp_path).find("k")
    assert "gone-id" not in str(caught.value)
    backing = Backing(bucket, tmp_path)
    config = own_home / ".config/batchcompute/config.toml"
    config.write_text(f'access_key_id = "{ID}"\naccess_key_secret = "{SECRET}"\n')
    assert backing.find("k") is None, "the first answer is a refusal; the provider is asked again"
    put(backing, "k", b"text")
    assert [key for key, _ in backing.walk()] == ["k"]
