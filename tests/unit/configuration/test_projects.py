"""A file that happens to lie in the working directory must not send anybody's requests, or keys, elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchcompute import ConfigError
from batchcompute.configuration import load
from tests.support.place import Place

HARMLESS = """
profile = "work"
timeout = 30
strict = true
[retry]
attempts = 9
deadline = 1
base_wait = 1
max_wait = 1
[tracing]
level = "debug"
format = "json"
[transport]
connect_timeout = 5
read_timeout = 6
"""
REFUSED = {
    'endpoint = "http://evil.example"': "endpoint",
    'access_key_id = "a"': "access_key_id",
    'access_key_secret = "zq9"': "access_key_secret",
    'security_token = "zq9"': "security_token",
    'transport.http_proxy = "http://evil.example"': "transport.http_proxy",
    '[transport]\nhttps_proxy = "http://evil.example"': "transport.https_proxy",
    'transport = { read_timeout = 1, ca_bundle = "evil.pem" }': "transport.ca_bundle",
    '[transport]\nno_proxy = ["*"]': "transport.no_proxy",
    '[transport]\nname = "evil"': "transport.name",
    "[transport]\npool_size = 1": "transport.pool_size",
    '[plugins]\nblock = ["signing"]': "plugins.block",
    "plugins.strict = true": "plugins.strict",
    '[credentials]\nprovider = "evil"': "credentials.provider",
    '[corp]\ntenant = "evil"': "corp.tenant",
    "[corp]": "corp",
    '[profiles.work]\nendpoint = "http://evil.example"': "profiles.work",
    "[[transport]]\nread_timeout = 1": "transport",
    "[timeout]\nseconds = 1": "timeout.seconds",
}


def test_a_project_may_set_what_leads_nowhere_else(place: Place) -> None:
    place.user('[profiles.work]\nendpoint = "cn-shenzhen"\n')
    place.project(HARMLESS)
    config = load().config
    assert (config.endpoint, config.timeout, config.retry.attempts) == ("cn-shenzhen", 30, 9)
    assert config.strict
    assert (config.tracing.level, config.transport.connect_timeout) == ("debug", 5)


@pytest.mark.parametrize("text", REFUSED)
def test_a_project_may_set_nothing_else(text: str, place: Place) -> None:
    place.user("[profiles.work]")
    place.project(text)
    with pytest.raises(ConfigError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"{place.project_path}, line ")
    assert f": {REFUSED[text]} cannot be set by a project that is not trusted" in message
    assert (
        "; allowed: profile, timeout, strict, transport.connect_timeout, transport.read_timeout, [retry] and [tr"
        in message
    )
    assert message.endswith(f'; to trust it, put trusted_projects = ["{place.cwd}"] into {place.user_path}')
    assert "zq9" not in message


def test_a_misspelt_key_is_reported_as_such(place: Place) -> None:
    place.project("retry.attemps = 3")
    with pytest.raises(ConfigError, match=r"line 1: there is no setting 'retry.attemps'; did you mean 'attempts'\?"):
        load()
    place.project("tieout = 3")
    with pytest.raises(ConfigError, match=r"not trusted; did you mean 'timeout'\?"):
        load()


def test_a_profile_that_a_project_chooses_is_the_users(place: Place) -> None:
    place.project('profile = "work"')
    with pytest.raises(ConfigError, match=r"there is no profile 'work' in .*config\.toml; profiles: none") as caught:
        load()
    assert str(caught.value).startswith(f"{place.project_path}, line 1: ")


@pytest.mark.parametrize("written", ["{cwd}", "{cwd}/", "{link}", "~/../cwd"])
def test_a_trusted_project_may_set_everything(written: str, place: Place, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place.cwd)
    place.user(f'trusted_projects = ["/elsewhere", "{written.format(cwd=place.cwd, link=link)}"]\ntimeout = 1\n')
    place.project(
        """
endpoint = "cn-qingdao"
profile = "own"
[transport]
http_proxy = "http://proxy.example"
[profiles.own]
timeout = 9
endpoint = "cn-shenzhen"
"""
    )
    config = load().config
    assert (config.endpoint, config.timeout) == ("cn-shenzhen", 9)
    assert config.transport.http_proxy == "http://proxy.example"
    shown = place.shown()
    assert shown["timeout"] == (9.0, f"{place.project_path}, line 7")


@pytest.mark.parametrize("other", ["{parent}", "{cwd}/sub", "{cwd}x"])
def test_trust_is_for_that_folder_only(other: str, place: Place) -> None:
    place.user(f'trusted_projects = ["{other.format(parent=place.cwd.parent, cwd=place.cwd)}"]')
    place.project('endpoint = "cn-qingdao"')
    with pytest.raises(ConfigError, match="not trusted"):
        load()


@pytest.mark.parametrize("text", ["trusted_projects = 3", 'trusted_projects = "/x"', 'trusted_projects = ["here"]'])
def test_trust_is_a_list_of_absolute_paths(text: str, place: Place) -> None:
    place.user(f"\n{text}")
    place.project("timeout = 1")
    with pytest.raises(ConfigError, match=r"line 2: trusted_projects must be a list of absolute paths"):
        load()


def test_a_project_cannot_trust_itself(place: Place) -> None:
    place.project(f'trusted_projects = ["{place.cwd}"]\nendpoint = "http://evil.example"')
    with pytest.raises(ConfigError, match=r"line 1: trusted_projects belongs into the user's own .*config\.toml"):
        load()


def test_only_the_working_directory_is_looked_at(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.project("timeout = 9")
    below = place.cwd / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert load().config.timeout is None
    assert os.getcwd() == str(below)
