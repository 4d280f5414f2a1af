"""The layers of the configuration: which one wins, and that every value knows where it comes from."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

import platformdirs
import pytest

from batchcompute import Client, Config, ConfigError, ConfigWarning, RetryConfig
from batchcompute.config import SECTIONS
from batchcompute.configuration import environment, files, load
from batchcompute.schema import keys_of
from tests.support.place import Place
from tests.support.stub import Stub


def test_nothing_around_means_defaults(place: Place) -> None:
    assert load().config == dataclasses.replace(Config(), ambient=True)
    assert {source for _, source in place.shown().values()} == {"default"}


def test_every_setting_is_shown(place: Place) -> None:
    expected = [*keys_of(Config), *(f"{name}.{key}" for name, kind in SECTIONS.items() for key in keys_of(kind))]
    assert list(place.shown()) == expected
    assert "retry.attempts" in expected
    assert "ambient" not in expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere platformdirs itself is asked")
@pytest.mark.parametrize("xdg", [None, "", "relative", "/tmp/x", "/tmp/with space/"])
def test_the_users_file_is_where_platformdirs_says(xdg: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if xdg is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", xdg)
    folder = platformdirs.user_config_dir("batchcompute", appauthor=False)
    assert files.user_file() == os.path.join(folder, "config.toml")


def test_each_layer_wins_over_the_one_before(place: Place) -> None:
    place.user(
        """
timeout = 1
[retry]
attempts = 1
deadline = 1
base_wait = 1
max_wait = 1

[profiles.work.retry]
deadline = 2
base_wait = 2
max_wait = 2
"""
    )
    place.project('profile = "work"\n[retry]\nbase_wait = 3\nmax_wait = 3\n')
    place.set(BATCHCOMPUTE_RETRY_MAX_WAIT="4")
    assert load().config.retry == RetryConfig(1, 2.0, 3.0, 4.0)
    shown = place.shown()
    assert shown["timeout"] == (1.0, f"{place.user_path}, line 2")
    assert shown["retry.attempts"] == (1, f"{place.user_path}, line 4")
    assert shown["retry.deadline"] == (2.0, f"{place.user_path}, line 10")
    assert shown["retry.base_wait"] == (3.0, f"{place.project_path}, line 3")
    assert shown["retry.max_wait"] == (4.0, "BATCHCOMPUTE_RETRY_MAX_WAIT")
    assert shown["profile"] == ("work", f"{place.project_path}, line 1")
    assert shown["tracing.level"] == ("off", "default")


@pytest.mark.parametrize(
    "text",
    [
        "[retry]\nattempts = 7",
        "\nretry.attempts = 7",
        "\nretry = { attempts = 7 }",
        "[ retry ]  # twice\n'attempts' = 7",
        '\n"retry" . "attempts" = 7',
    ],
)
def test_toml_may_be_written_in_any_way(text: str, place: Place) -> None:
    place.user(text)
    value, source = place.shown()["retry.attempts"]
    assert value == 7
    assert source == f"{place.user_path}, line 2"


def test_a_client_needs_no_argument_when_an_endpoint_is_configured(place: Place, stub: Stub) -> None:
    place.user('endpoint = "cn-shenzhen"\ntimeout = 5\n')
    stub.answer(b"{}")
    with Client(plugins=[stub]) as client:
        assert repr(client) == "Client('cn-shenzhen')"
    with Client("cn-qingdao", plugins=[stub]) as client:
        assert repr(client) == "Client('cn-qingdao')"


def test_the_configured_timeout_is_that_of_calls(place: Place, stub: Stub) -> None:
    place.set(BATCHCOMPUTE_TIMEOUT="5", BATCHCOMPUTE_ENDPOINT="cn-qingdao")
    stub.answer(b"{}")
    stub.answer(b"{}")
    with Client(access_key_id="id", access_key_secret="secret", plugins=[stub]) as client:
        client.list_jobs()
    with Client(access_key_id="id", access_key_secret="secret", plugins=[stub], timeout=500) as client:
        client.list_jobs()
    first, second = (request.timeout for request in stub.requests)
    assert first is not None
    assert second is not None
    assert 4 < first <= 5 < 400 < second <= 500


@pytest.mark.parametrize("arguments", [{}, {"config": Config()}])
def test_without_an_endpoint_a_client_says_where_to_put_it(place: Place, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"endpoint is missing: .*cn-qingdao.*BATCHCOMPUTE_ENDPOINT"):
        Client(**arguments)


def test_a_config_made_by_hand_reads_nothing(place: Place, stub: Stub) -> None:
    place.user("this is not TOML")
    place.project("neither is this")
    place.set(BATCHCOMPUTE_NONSENSE="1", BATCHCOMPUTE_ENDPOINT="nowhere", HTTP_PROXY="http://proxy.example")
    config = Config("cn-qingdao")
    with Client(config=config, plugins=[stub]) as client:
        assert repr(client) == "Client('cn-qingdao')"
        assert client._config is config
    assert not config.ambient


def test_a_config_of_the_wrong_type_is_refused(place: Place) -> None:
    with pytest.raises(TypeError, match="config must be a Config, not dict"):
        Client("cn-qingdao", config={"endpoint": "local"})  # type: ignore[arg-type]  # wrong on purpose


def test_every_key_has_a_variable(place: Place) -> None:
    texts = {int: "3", float: "2.5", bool: "yes", tuple: "a, b", frozenset: "a,,b ", str: "text"}
    values = {int: 3, float: 2.5, bool: True, tuple: ("a", "b"), frozenset: frozenset("ab"), str: "text"}
    special = {"tracing.level": "debug", "tracing.format": "json", "transport.http_proxy": "http://p"}
    special |= {"transport.https_proxy": "http://p", "profile": "default"}
    expected = {}
    for variable, (section, key) in environment.variables({"": Config, **SECTIONS}).items():
        name = f"{section}.{key}" if section else key
        kind = keys_of(SECTIONS.get(section, Config))[key].kind
        place.set(**{variable: special.get(name, texts[kind])})
        expected[name] = (special.get(name, values[kind]), variable)
    assert place.shown() == expected
    assert expected["transport.pool_size"] == (3, "BATCHCOMPUTE_TRANSPORT_POOL_SIZE")
    assert expected["access_key_id"] == ("text", "BATCHCOMPUTE_ACCESS_KEY_ID")


def test_an_empty_variable_is_not_set(place: Place) -> None:
    place.set(BATCHCOMPUTE_TIMEOUT="", BATCHCOMPUTE_PLUGINS="", HTTPS_PROXY="")
    assert {source for _, source in place.shown().values()} == {"default"}


def test_an_access_key_is_never_mixed(place: Place) -> None:
    place.user(
        """
access_key_id = "temporary"
access_key_secret = "s1"
security_token = "t1"
[profiles.fixed]
access_key_secret = "s2"
access_key_id = "fixed"
"""
    )
    config = load().config
    assert (config.access_key_id, config.access_key_secret, config.security_token) == ("temporary", "s1", "t1")
    place.set(BATCHCOMPUTE_PROFILE="fixed")
    config = load().config
    assert (config.access_key_id, config.access_key_secret, config.security_token) == ("fixed", "s2", None)


def test_profiles_are_chosen_by_the_last_who_says(place: Place) -> None:
    place.user('profile = "a"\n[profiles]\na.timeout = 1\nb.timeout = 2\nc.timeout = 3\ndefault.timeout = 9\n')
    assert load().config.timeout == 1
    place.project('profile = "b"')
    assert load().config.timeout == 2
    place.set(BATCHCOMPUTE_PROFILE="c")
    assert load().config.timeout == 3
    place.set(BATCHCOMPUTE_PROFILE="default")
    assert load().config.timeout == 9


def test_the_profile_default_needs_not_exist(place: Place) -> None:
    place.set(BATCHCOMPUTE_PROFILE="default")
    assert load().config.profile == "default"


def test_secrets_are_in_no_repr(place: Place) -> None:
    place.user('access_key_id = "id"\naccess_key_secret = "zq9"\n[transport]\nhttp_proxy = "http://u:zq9@p"')
    ambient = load()
    assert ambient.config.access_key_secret == "zq9"
    for item in (ambient, ambient.config, ambient.settings(), files.read(str(place.user_path))):
        assert "zq9" not in repr(item)
    shown = {item.name: item.shown for item in ambient.settings()}
    assert shown["access_key_secret"] == "***"
    assert shown["transport.http_proxy"] == "http://***@p"
    assert shown["security_token"] is None


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_secrets_that_others_can_read_are_warned_of(mode: int, place: Place) -> None:
    place.user('timeout = 1\n[profiles.default]\naccess_key_secret = "zq9"\n', mode)
    with pytest.warns(ConfigWarning, match="config.toml holds secrets and others can read it: chmod 600") as warned:
        load().hooks()
    assert "zq9" not in str(warned[0].message)


def test_what_is_no_secret_may_be_read(place: Place) -> None:
    place.user("timeout = 1\n", 0o644)
    place.set(BATCHCOMPUTE_ACCESS_KEY_SECRET="zq9")
    load().hooks()


class TestProxies:
    """The variables that other programs read."""

    def test_they_are_read(self, place: Place) -> None:
        place.set(HTTP_PROXY="proxy.example:3128", https_proxy="http://s.example", NO_PROXY="a.example, .b.example")
        transport = load().config.transport
        assert transport.http_proxy == "http://proxy.example:3128"
        assert transport.https_proxy == "http://s.example"
        assert transport.no_proxy == ("a.example", ".b.example")
        assert place.shown()["transport.http_proxy"][1] == "HTTP_PROXY"

    def test_lower_case_wins_and_our_own_settings_win_over_them(self, place: Place) -> None:
        place.set(HTTP_PROXY="http://upper", http_proxy="http://lower")
        assert load().config.transport.http_proxy == "http://lower"
        place.user('[transport]\nhttp_proxy = "http://file"\n')
        assert load().config.transport.http_proxy == "http://file"
        place.set(BATCHCOMPUTE_TRANSPORT_HTTP_PROXY="http://variable")
        assert load().config.transport.http_proxy == "http://variable"

    def test_a_cgi_program_does_not_believe_http_proxy(self, place: Place) -> None:
        place.set(REQUEST_METHOD="GET", HTTP_PROXY="http://evil.example", HTTPS_PROXY="http://s.example")
        assert load().config.transport.http_proxy is None
        assert load().config.transport.https_proxy == "http://s.example"
        place.set(http_proxy="http://lower")
        assert load().config.transport.http_proxy == "http://lower"

    def test_one_that_we_cannot_use_disturbs_only_those_who_need_it(self, place: Place, stub: Stub) -> None:
        place.set(HTTPS_PROXY="socks5://proxy.example:1080")
        Client("http://batch.example", "id", "secret", plugins=[stub]).close()
