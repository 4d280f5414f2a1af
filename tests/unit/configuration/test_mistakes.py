"""A mistake is reported with its place, its name, what is allowed, and the nearest right name."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batchcompute import (
    Client,
    Config,
    ConfigError,
    ConfigWarning,
    CredentialsConfig,
    PluginConfig,
    RetryConfig,
    TracingConfig,
    TransportConfig,
    configuration,
)
from batchcompute.configuration import load
from batchcompute.schema import keys_of
from tests.support.place import Place

CANARY = "zq9-canary"

FILES = {
    "unknown key": (
        '\nendpint = "local"',
        2,
        "there is no setting 'endpint'; did you mean 'endpoint'?; settings: endpoint,",
    ),
    "unknown key in a section": (
        "[retry]\n\nattemps = 3",
        3,
        "there is no setting 'retry.attemps'; did you mean 'attempts'?; settings of retry: attempts, deadline,",
    ),
    "unknown section": (
        "\n[rety]\nattempts = 3",
        3,
        "there is no section [rety]; did you mean 'retry'?; sections: retry,",
    ),
    "empty unknown section": ("\n\n[rety]", 3, "there is no section [rety]"),
    "a key for a section": ("retry = 3", 1, "retry is a section; write its keys under [retry]"),
    "a section for a key": ("[endpoint]\na = 1", 1, "endpoint must be text, not {'a': 1}"),
    "wrong type": ('[retry]\nattempts = "3"', 2, "retry.attempts must be a whole number from 1 to 1000, not '3'"),
    "a bool is no number": ("timeout = true", 1, "timeout must be a number, at least 0.001, not True"),
    "a fraction is no whole number": ("retry.attempts = 1.5", 1, "retry.attempts must be a whole number"),
    "too small": ("[retry]\nattempts = 0", 2, "retry.attempts must be a whole number from 1 to 1000, not 0"),
    "not a number": ("timeout = nan", 1, "timeout must be a number, at least 0.001, not nan"),
    "endless": (
        "transport.read_timeout = inf",
        1,
        "transport.read_timeout must be a number from 0.001 to 1000000, not inf",
    ),
    "choice": (
        '[tracing]\nlevel = "debgu"',
        2,
        "tracing.level must be one of off, debug, info, warning, not 'debgu'; did you mean 'debug'?",
    ),
    "text for a list": ('[plugins]\nblock = "a"', 2, "plugins.block must be a list of text, not 'a'"),
    "numbers in a list": ("credentials.chain = [1]", 1, "credentials.chain must be a list of text, not [1]"),
    "no URL": ('[transport]\nhttp_proxy = "proxy:3128"', 2, "transport.http_proxy must be a URL such as http://"),
    "empty text": ('endpoint = ""', 1, "endpoint must be text, not ''"),
    "unknown key in a profile": (
        "[profiles.default]\nendpint = 1",
        2,
        "there is no setting 'profiles.default.endpint'; did you mean 'endpoint'?",
    ),
    "unknown key in a profile's section": ("[profiles.default.retry]\nx = 1", 2, "there is no setting 'retry.x'"),
    "a profile in a profile": (
        '[profiles.default]\nprofile = "a"',
        2,
        "there is no setting 'profiles.default.profile'",
    ),
    "a profile that is no table": ("[profiles]\ndefault = 3", 2, "a profile is a table: [profiles.NAME]"),
    "profiles that are no table": ("profiles = 3", 1, "a profile is a table: [profiles.NAME]"),
    "unknown profile": (
        'profile = "wrk"\n[profiles.work]\n[profiles.home]',
        1,
        "there is no profile 'wrk' in {path}; did you mean 'work'?; profiles: work, home",
    ),
}


@pytest.mark.parametrize(("text", "line", "message"), FILES.values(), ids=FILES)
def test_a_mistake_in_a_file(text: str, line: int, message: str, place: Place) -> None:
    place.user(text)
    with pytest.raises(ConfigError) as caught:
        load().hooks()
    message_shown = str(caught.value)
    assert message_shown.startswith(
        f"{place.user_path}, line {line}: {message.replace('{path}', str(place.user_path))}"
    )


VARIABLES = {
    "BATCHCOMPUTE_TIMEOUT": ("soon", "timeout must be a number, at least 0.001, not 'soon'"),
    "BATCHCOMPUTE_RETRY_ATTEMPTS": ("-1", "retry.attempts must be a whole number from 1 to 1000, not -1"),
    "BATCHCOMPUTE_PLUGINS_STRICT": ("perhaps", "plugins.strict must be true or false, not 'perhaps'"),
    "BATCHCOMPUTE_TRACING_FORMAT": ("jsn", "one of console, json, not 'jsn'; did you mean 'json'?"),
    "BATCHCOMPUTE_PROFILE": ("work", "there is no profile 'work' in "),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_a_mistake_in_a_variable(name: str, place: Place) -> None:
    text, message = VARIABLES[name]
    place.set(**{name: text})
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value).startswith(f"{name}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'access_key_secret = ["{CANARY}"]',
        f'[transport]\nhttp_proxy = "{CANARY}"',
        f'[profiles.default]\nsecurity_token = {{ a = "{CANARY}" }}',
        f'access_key_secret = "{CANARY}',
    ],
)
def test_secrets_stay_out_of_errors(text: str, place: Place) -> None:
    place.user(text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert "zq9" not in str(caught.value)
    assert caught.value.__cause__ is None


class TestFiles:
    """Files that cannot be read."""

    def test_not_toml(self, place: Place) -> None:
        place.user("endpoint = local")
        with pytest.raises(ConfigError, match=r"config\.toml is not TOML: .*line 1"):
            load()

    def test_not_utf8(self, place: Place) -> None:
        place.user("")
        place.user_path.write_bytes(b"endpoint = '\xff'")
        with pytest.raises(ConfigError, match=r"config\.toml is not UTF-8: byte 12"):
            load()

    def test_a_folder(self, place: Place) -> None:
        place.user_path.mkdir(parents=True)
        with pytest.raises(ConfigError, match=r"config\.toml cannot be read: Is a directory"):
            load()

    def test_a_file_where_the_folder_would_be(self, place: Place) -> None:
        Path(os.environ["HOME"], ".config").touch()
        assert load().config.endpoint is None

    def test_a_working_directory_that_is_gone(self, place: Place) -> None:
        place.cwd.rmdir()
        assert load().config.endpoint is None


class TestVariablesThatAreNone:
    """Variables that only look like settings."""

    def test_one_warning_for_each_in_a_process(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(configuration, "_warned", set())
        place.set(BATCHCOMPUTE_RETRY_ATEMPTS="3")
        with pytest.warns(ConfigWarning) as warned:
            _ = [load().hooks() for _ in range(2)]
        assert [str(item.message) for item in warned] == [
            "the variable BATCHCOMPUTE_RETRY_ATEMPTS is no setting of batchcompute; "
            "did you mean 'BATCHCOMPUTE_RETRY_ATTEMPTS'?"
        ]

    def test_the_value_is_not_shown(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(configuration, "_warned", set())
        place.set(BATCHCOMPUTE_ACCES_KEY_SECRET=CANARY)
        with pytest.warns(ConfigWarning) as warned:
            load().hooks()
        assert "zq9" not in str(warned[0].message)

    @pytest.mark.parametrize("strict", [True, None])
    def test_strict_makes_each_an_error(self, place: Place, strict: bool | None) -> None:
        place.set(BATCHCOMPUTE_RETRY_ATEMPTS="3", **({} if strict else {"BATCHCOMPUTE_STRICT": "true"}))
        expected = "RETRY_ATEMPTS is no setting of batchcompute; did you mean 'BATCHCOMPUTE_RETRY_ATTEMPTS'?"
        for _ in range(2):
            with pytest.raises(ConfigError, match=re.escape(expected)):
                Client("cn-qingdao", strict=strict)

    def test_an_argument_wins_over_the_setting(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(configuration, "_warned", set())
        place.set(BATCHCOMPUTE_RETRY_ATEMPTS="3", BATCHCOMPUTE_STRICT="true")
        with pytest.warns(ConfigWarning):
            Client("cn-qingdao", strict=False)

    def test_variables_of_a_blocked_plugin_are_no_error(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(configuration, "_warned", set())
        place.set(BATCHCOMPUTE_LAB_TENANT="3", BATCHCOMPUTE_PLUGINS="-tracing")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Client("cn-qingdao", strict=True)

    def test_what_the_service_uses_is_reserved(self, place: Place) -> None:
        place.set(BATCHCOMPUTE_DATA_DIR="/x", BATCHCOMPUTE_OSS_ROOT="/x", BATCHCOMPUTE_ATTEMPT="1")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load().hooks()
        assert {source for _, source in place.shown().values()} == {"default"}

    def test_what_workers_are_given_is_reserved(self) -> None:
        """The service must not give a program what its own Client would take for a setting."""
        given = {"BATCHCOMPUTE_OSS_ROOT", "BATCHCOMPUTE_ATTEMPT"}
        assert given <= configuration.environment.RESERVED


BY_HAND: dict[str, Callable[[], object]] = {
    "RetryConfig.attempts must be a whole number from 1 to 1000, not 0": lambda: RetryConfig(attempts=0),
    "RetryConfig.deadline must be a number, at least 0, not nan": lambda: RetryConfig(deadline=math.nan),
    "TransportConfig.connect_timeout must be a number": lambda: TransportConfig(connect_timeout=0),
    "TransportConfig.pool_size must be a whole number": lambda: TransportConfig(pool_size=True),
    "TransportConfig.http_proxy must be a URL": lambda: TransportConfig(http_proxy=CANARY),
    "TracingConfig.level must be one of": lambda: TracingConfig(level="DEBUG"),
    "CredentialsConfig.chain must be a list of text": lambda: CredentialsConfig(chain="profile"),  # type: ignore[arg-type]  # wrong on purpose
    "PluginConfig.strict must be true or false": lambda: PluginConfig(strict=1),  # type: ignore[arg-type]  # wrong on purpose
    "Config.timeout must be a number": lambda: Config(timeout=-1),
    "Config.access_key_secret must be text; what it is (bytes) is not shown": lambda: Config(
        access_key_secret=CANARY.encode()  # type: ignore[arg-type]  # wrong on purpose
    ),
    "Config.retry must be a RetryConfig, not dict": lambda: Config(retry={}),  # type: ignore[arg-type]  # wrong on purpose
    "Config.sections must be a dict": lambda: Config(sections=[]),  # type: ignore[arg-type]  # wrong on purpose
}


@pytest.mark.parametrize("message", BY_HAND)
def test_a_config_made_by_hand_is_checked_too(message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BY_HAND[message]()
    assert str(caught.value).startswith(message)
    assert "zq9" not in str(caught.value)


def test_lists_are_made_immutable() -> None:
    assert PluginConfig(block=["a"]).block == frozenset("a")  # type: ignore[arg-type]  # wrong on purpose
    assert TransportConfig(no_proxy=["a"]).no_proxy == ("a",)  # type: ignore[arg-type]  # wrong on purpose


def test_a_type_that_no_setting_can_have() -> None:
    @dataclass(frozen=True)
    class Wrong:
        table: dict[str, str] = field(default_factory=dict)

    with pytest.raises(TypeError, match=r"Wrong\.table needs a default, and a type that a setting can have"):
        keys_of(Wrong)
