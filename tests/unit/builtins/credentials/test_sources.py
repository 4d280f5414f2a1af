"""The environment, the profile, the two files, and the program that prints credentials."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Config, Credentials, CredentialsError
from batchcompute.builtins.credentials import process
from batchcompute.builtins.credentials.alibabacloud_file import AlibabaCloudFile
from batchcompute.builtins.credentials.aliyun_cli import AliyunCli
from batchcompute.builtins.credentials.environment import Environment, Profile

SECRET = "zq9-canary;#%secret"
TOKEN = "zq9-canary-token"


def why(provider: Any) -> str:
    """Why a provider declines; never with a secret."""
    with pytest.raises(CredentialsError) as caught:
        provider.get()
    assert "canary" not in repr(caught.value)
    return str(caught.value)


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def home() -> Path:
    return Path.home()


# --- environment and profile


@pytest.mark.parametrize("prefix", ["ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_"])
def test_environment(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv(f"{prefix}ACCESS_KEY_ID", "id")
    assert why(Environment()).startswith(f"environment variables: {prefix}ACCESS_KEY_SECRET is missing")
    monkeypatch.setenv(f"{prefix}ACCESS_KEY_SECRET", SECRET)
    assert Environment().get() == Credentials("id", SECRET, source="environment variables")
    monkeypatch.setenv(f"{prefix}SECURITY_TOKEN", TOKEN)
    assert Environment().get().security_token == TOKEN


def test_spellings_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALICLOUD_ACCESS_KEY_ID", "third")
    monkeypatch.setenv("ALICLOUD_ACCESS_KEY_SECRET", SECRET)
    monkeypatch.setenv("ALIBABACLOUD_SECURITY_TOKEN", TOKEN)
    assert Environment().get() == Credentials("third", SECRET, source="environment variables")
    monkeypatch.setenv("ALIBABACLOUD_ACCESS_KEY_ID", "second")
    assert "ALIBABACLOUD_ACCESS_KEY_SECRET is missing" in why(Environment())


def test_the_bare_name_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_KEY_ID", "id")
    monkeypatch.setenv("ACCESS_KEY_SECRET", SECRET)
    assert why(Environment()) == "ALIBABA_CLOUD_ACCESS_KEY_ID is not set"


def test_profile() -> None:
    config = Config(profile="prod", access_key_id="id", access_key_secret=SECRET, security_token=TOKEN)
    assert Profile(config).get() == Credentials("id", SECRET, TOKEN, source="profile 'prod'")
    assert why(Profile(Config(access_key_id="id"))).startswith("profile 'default': access_key_secret is missing")


# --- the SDKs' shared file


INI = f"""# a comment
[default]
type = access_key
access_key_id = one
access_key_secret = {SECRET}

[temporary]
type: sts
access_key_id: two
access_key_secret: {SECRET}
security_token: {TOKEN}
"""


@pytest.mark.parametrize("name", ["credentials", "credentials.ini"])
def test_shared_file(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = write(home / ".alibabacloud" / name, INI)
    assert AlibabaCloudFile().get() == Credentials("one", SECRET, source=f"{path}, profile 'default'")
    monkeypatch.setenv("ALIBABA_CLOUD_PROFILE", "temporary")
    assert AlibabaCloudFile().get() == Credentials("two", SECRET, TOKEN, source=f"{path}, profile 'temporary'")
    monkeypatch.setenv("ALIBABA_CLOUD_PROFILE", "temporay")
    assert f"{path} has no profile 'temporay'; did you mean 'temporary'?" in why(AlibabaCloudFile())


def test_shared_file_by_name(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".alibabacloud" / "credentials", INI)
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_FILE", str(tmp_path / "mine"))
    assert why(AlibabaCloudFile()) == f"there is no file {tmp_path / 'mine'}"
    write(tmp_path / "mine", INI.replace("one", "other"))
    assert AlibabaCloudFile().get().access_key_id == "other"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[default]\ntype = ecs_ram_role\nrole_name = r",
            "type ecs_ram_role needs the plugin batchcompute-alibabacloud",
        ),
        (f"[default]\ntype = acces_key\naccess_key_secret = {SECRET}", "did you mean 'access_key'?"),
        (f"[default]\naccess_key_id = a\naccess_key_secret = {SECRET}", "type is missing; allowed: access_key, sts"),
        (f"[default]\ntype = sts\naccess_key_id = a\naccess_key_secret = {SECRET}", "security_token is missing"),
        (f"[default]\ntype = access_key\naccess_key_secret = {SECRET}", "access_key_id is missing"),
        (f"[default]\ntype = access_key\nenable = False\naccess_key_secret = {SECRET}", "switched off by enable"),
        (f"[default]\n{SECRET}\n", "line 2 is neither"),
        (f"access_key_secret = {SECRET}\n", "line 1 is neither"),
        (" \n", "it is empty"),
    ],
)
def test_shared_file_that_cannot_be_used(home: Path, text: str, expected: str) -> None:
    write(home / ".alibabacloud" / "credentials", text)
    assert expected in why(AlibabaCloudFile())


def test_files_that_cannot_be_read(home: Path) -> None:
    path = home / ".alibabacloud" / "credentials"
    path.mkdir(parents=True)
    assert f"{path} cannot be read: " in why(AlibabaCloudFile())
    (home / ".alibabacloud" / "credentials.ini").write_bytes(b"[default]\n\xff\xfe")
    assert "credentials.ini is not UTF-8 text" in why(AlibabaCloudFile())


# --- the aliyun CLI's file


def cli(home: Path, *profiles: dict[str, Any], current: str = "default") -> Path:
    named = [{"name": "default", **profile} for profile in profiles]
    return write(home / ".aliyun" / "config.json", {"current": current, "profiles": named})


def test_cli_modes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"access_key_id": "id", "access_key_secret": SECRET}
    path = cli(
        home,
        {"mode": "AK", **key, "sts_token": "left over"},
        {"mode": "StsToken", **key, "sts_token": TOKEN, "name": "sts"},
        {"mode": "ststoken", **key, "sts_token": TOKEN, "sts_expiration": 4e9, "name": "ends"},
    )
    provider = AliyunCli()
    assert provider.get() == Credentials("id", SECRET, source=f"{path}, profile 'default'")
    monkeypatch.setenv("ALIBABA_CLOUD_PROFILE", "sts")
    assert provider.get() == Credentials("id", SECRET, TOKEN, source=f"{path}, profile 'sts'")
    monkeypatch.setenv("ALIBABA_CLOUD_PROFILE", "ends")
    assert provider.get().expires == 4e9
    monkeypatch.setenv("ALIBABA_CLOUD_PROFILE", "stss")
    assert "has no profile 'stss'; did you mean 'sts'?" in why(provider)
    monkeypatch.setenv("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "TRUE")
    assert why(provider) == "it is switched off by ALIBABA_CLOUD_CLI_PROFILE_DISABLED=true"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"mode": "EcsRamRole"}, "mode EcsRamRole needs the plugin batchcompute-alibabacloud"),
        (
            {"mode": "Exernal"},
            "mode 'Exernal' cannot be used; did you mean 'External'?; allowed: AK, StsToken, External",
        ),
        ({"mode": "AK", "access_key_secret": SECRET}, "access_key_id is missing"),
        ({"mode": "AK", "access_key_id": ["x"], "access_key_secret": SECRET}, "access_key_id must be a str, not list"),
        ({"mode": "StsToken", "access_key_id": "x", "access_key_secret": SECRET}, "sts_token is missing"),
        ({"mode": "External"}, "process_command is missing"),
        ({"mode": "External", "process_command": "'open"}, "not a command line"),
        ({"mode": "External", "process_command": f"/no/such/tool {TOKEN}"}, "it cannot be run: No such file"),
    ],
)
def test_cli_profile_that_cannot_be_used(home: Path, profile: dict[str, Any], expected: str) -> None:
    cli(home, profile)
    assert expected in why(AliyunCli())


@pytest.mark.parametrize("text", ["{", "[]", '{"profiles": 5}', f'{{"x": "{TOKEN}'])
def test_cli_file_that_cannot_be_used(home: Path, text: str) -> None:
    path = write(home / ".aliyun" / "config.json", text)
    assert why(AliyunCli()).startswith(f"{path}: not ")


# --- a program that prints credentials


def command(tmp_path: Path, body: str) -> str:
    script = write(tmp_path / "a tool.py", body)
    return f'"{sys.executable}" "{script}" --flag \'$HOME; {TOKEN}\''


def printing(tmp_path: Path, answer: object) -> str:
    return command(tmp_path, f"import sys; assert sys.argv[2] == '$HOME; {TOKEN}'; print({json.dumps(answer)!r})")


def test_process(home: Path, tmp_path: Path) -> None:
    answer = {"mode": "StsToken", "access_key_id": "id", "access_key_secret": SECRET, "sts_token": TOKEN}
    answer["expiration"] = "2100-01-02T03:04:05Z"
    cli(home, {"mode": "External", "process_command": printing(tmp_path, answer)})
    credentials = AliyunCli().get()
    assert (credentials.access_key_id, credentials.security_token) == ("id", TOKEN)
    assert credentials.expires == 4102542245.0
    assert "canary" not in repr(credentials)
    assert credentials.source.endswith(f"profile 'default', process_command {sys.executable!r}")


def test_a_process_without_expiry_runs_once(home: Path, tmp_path: Path) -> None:
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); "
    answer = json.dumps({"mode": "AK", "access_key_id": "id", "access_key_secret": SECRET})
    cli(home, {"mode": "External", "process_command": command(tmp_path, f"{count}print({answer!r})")})
    provider = AliyunCli()
    assert provider.get() is provider.get()
    assert (tmp_path / "runs").read_text() == "x"
    cli(home, {"mode": "External", "process_command": command(tmp_path, f"{count}print({answer!r})") + " more"})
    provider.get()
    assert (tmp_path / "runs").read_text() == "xx"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"import sys; print('{TOKEN}'); print('{TOKEN}', file=sys.stderr); sys.exit(3)", "it failed with exit code 3"),
        (f"print('{TOKEN}')", "it did not print a JSON object"),
        ("print('[]')", "it did not print a JSON object"),
        (f'print(\'{{"access_key_id": "{TOKEN}"}}\')', "access_key_secret is missing"),
        ('print(\'{"mode": "StsToken"}\')', "sts_token is missing"),
        (
            'print(\'{"access_key_id": "a", "access_key_secret": "b", "expiration": "soon"}\')',
            "expiration is no time such as",
        ),
    ],
)
def test_a_process_that_fails(tmp_path: Path, body: str, expected: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        process.run(command(tmp_path, body), "here")
    assert expected in str(caught.value)
    assert "canary" not in repr(caught.value)


def test_a_process_that_hangs_ends_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TIMEOUT", 0.5)
    body = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    began = time.monotonic()
    with pytest.raises(CredentialsError, match=r"it did not end within 0\.5 seconds"):
        process.run(command(tmp_path, body), "here")
    assert time.monotonic() - began < 60  # the grandchild, which holds the pipe, did not live on


def test_a_process_runs_again_when_its_key_was_refused(home: Path, tmp_path: Path) -> None:
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); "
    answer = json.dumps({"mode": "AK", "access_key_id": "id", "access_key_secret": SECRET})
    cli(home, {"mode": "External", "process_command": command(tmp_path, f"{count}print({answer!r})")})
    provider = AliyunCli()
    provider.refused(provider.get())
    provider.get()
    assert (tmp_path / "runs").read_text() == "xx"


@pytest.mark.parametrize("kind", [AlibabaCloudFile, AliyunCli])
def test_a_file_is_read_anew_when_its_key_was_refused(home: Path, kind: type[AlibabaCloudFile | AliyunCli]) -> None:
    """Whatever its time stamp says; and what cannot be understood is no longer taken as it was before."""
    if kind is AliyunCli:
        path = cli(home, {"mode": "AK", "access_key_id": "one", "access_key_secret": SECRET})
    else:
        text = f"[default]\ntype = access_key\naccess_key_id = one\naccess_key_secret = {SECRET}\n"
        path = write(home / ".alibabacloud" / "credentials", text)
    before = path.stat().st_mtime_ns - 10**10
    os.utime(path, ns=(before, before))
    provider = kind()
    first = provider.get()
    with path.open("r+") as file:
        changed = file.read().replace("one", "two")
        file.seek(0)
        file.write(changed)
    os.utime(path, ns=(before, before))
    assert provider.get() == first
    provider.refused(first)
    assert provider.get().access_key_id == "two"
    provider.refused(provider.get())
    path.write_text("nonsense")
    assert "nonsense" not in why(provider)
