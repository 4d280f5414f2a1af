"""Sections that plugins declare, which plugins are used, and which of several candidates."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from batchcompute import (
    Client,
    Config,
    ConfigError,
    ConfigWarning,
    PluginConfig,
    PluginError,
    PluginWarning,
    TransportConfig,
    configuration,
)
from batchcompute.configuration import hooks_for, load
from batchcompute.hooks import RegistrationContext, Section, hookimpl
from tests.support.place import Place
from tests.support.stub import Stub


@dataclass(frozen=True)
class Corp:
    tenant: str = "none"
    limit: int = field(default=3, metadata={"min": 1, "max": 9})
    password: str | None = field(default=None, repr=False)
    zones: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tenant == "forbidden":
            raise ValueError("tenant is forbidden")


class Plugin:
    name = "corp"

    def __init__(self, *sections: Any) -> None:
        self.sections = sections or (Section("corp", Corp),)

    @hookimpl
    def register_settings(self, ctx: RegistrationContext) -> Iterable[Section]:
        return self.sections


def corp(*plugins: object) -> Any:
    return load().hooks(plugins or [Plugin()]).config.sections["corp"]


def test_register_settings_gives_a_plugin_its_section(place: Place) -> None:
    assert corp() == Corp()
    place.user('[corp]\ntenant = "a"\nlimit = 1\n[profiles.default.corp]\nlimit = 2\n')
    place.set(BATCHCOMPUTE_CORP_ZONES="x,y")
    assert corp() == Corp("a", 2, None, ("x", "y"))
    place.set(BATCHCOMPUTE_CORP_LIMIT="4")
    assert corp().limit == 4


def test_the_hooks_see_the_section(place: Place, stub: Stub) -> None:
    class Headers(Plugin):
        @hookimpl
        def request_headers(self, ctx: Any) -> dict[str, str]:
            return {"x-tenant": ctx.call.config.sections["corp"].tenant}

    place.set(BATCHCOMPUTE_CORP_TENANT="a")
    stub.answer(b"{}")
    stub.client(plugins=(Headers(),)).list_jobs()
    assert stub.requests[0].headers["x-tenant"] == "a"


def test_a_section_has_sources_and_secrets_too(place: Place) -> None:
    place.user('[corp]\npassword = "zq9"\n')
    ambient = load()
    ambient.hooks([Plugin()])
    shown = {item.name: (item.shown, item.source) for item in ambient.settings() if item.name.startswith("corp.")}
    assert shown == {
        "corp.tenant": ("none", "default"),
        "corp.limit": (3, "default"),
        "corp.password": ("***", f"{place.user_path}, line 2"),
        "corp.zones": ((), "default"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[corp]\nlimt = 3", "line 2: there is no setting 'corp.limt'; did you mean 'limit'?"),
        ("[corp]\nlimit = 10", "line 2: corp.limit must be a whole number from 1 to 9, not 10"),
        ("[crop]\nlimit = 1", "line 2: there is no section [crop]; did you mean 'corp'?"),
        ('[corp]\ntenant = "forbidden"', "[corp]: tenant is forbidden"),
    ],
)
def test_mistakes_in_a_section(text: str, message: str, place: Place) -> None:
    place.user(text)
    with pytest.raises(ConfigError) as caught:
        corp()
    assert message in str(caught.value)


def test_a_section_made_by_hand(place: Place) -> None:
    def sections(given: Any) -> Any:
        return hooks_for(Config(sections=given), [Plugin()]).config.sections["corp"]

    assert sections({}) == Corp()
    assert sections({"corp": {"tenant": "a", "zones": ["x"]}}) == Corp("a", zones=("x",))
    own = Corp("b")
    assert sections({"corp": own}) is own
    for given, message in (
        ({"crop": {}}, r"no plugin declares 'crop'; did you mean 'corp'\?; declared: corp"),
        ({"corp": {"limt": 1}}, r"there is no setting 'corp\.limt'; did you mean 'limit'\?"),
        ({"corp": {"limit": 0}}, r"corp\.limit must be a whole number from 1 to 9, not 0"),
        ({"corp": 3}, "'corp' must be a Corp or a dict, not int"),
    ):
        with pytest.raises(ConfigError, match=message):
            sections(given)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([Section("retry", Corp)], "'retry' is taken"),
        ([Section("endpoint", Corp)], "'endpoint' is taken"),
        ([Section("Corp", Corp)], "no name of lower-case letters"),
        ([Section("corp", dict)], "must be a frozen dataclass"),
        ([Section("corp", dataclass(type("Loose", (), {})))], "must be a frozen dataclass"),
        (
            [Section("corp", Corp), Section("corp", Corp)],
            "declares the section 'corp', which plugin 'corp' .* declares",
        ),
        (["corp"], "answered items, of which number 0 is a str, expected an iterable of Section"),
        ([Section("corp", dataclass(frozen=True)(type("T", (), {"__annotations__": {"a": int}})))], "needs a default"),
        (
            [Section("data", dataclass(frozen=True)(type("T", (), {"__annotations__": {"dir": str}, "dir": ""})))],
            "the variable BATCHCOMPUTE_DATA_DIR is taken",
        ),
    ],
)
def test_a_declaration_that_cannot_be_used(sections: list[Any], message: str, place: Place) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        corp(Plugin(*sections))
    assert str(caught.value).startswith(f"plugin 'corp' ({__name__}.Plugin, given to the Client): ")


def test_a_plugin_may_declare_nothing(place: Place) -> None:
    class Silent:
        @hookimpl
        def register_settings(self, ctx: RegistrationContext) -> None:
            return None

    assert load().hooks([Silent()]).config.sections == {}


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each warning comes once in a process; here it has not come yet."""
    monkeypatch.setattr(configuration, "_warned", set())


@pytest.mark.usefixtures("nothing_said")
def test_a_section_of_a_plugin_that_is_blocked_is_one_note(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.user('[corp]\ntenant = "a"\nlimit = 5\n[profiles.default.corp]\nlimit = 6\n')
    place.set(BATCHCOMPUTE_PLUGINS="-corp", BATCHCOMPUTE_CORP_ZONES="x", BATCHCOMPUTE_CORP_PASSWORD="canary-4a1c")
    ambient = load()
    hooks = ambient.hooks([Plugin()])  # warnings are errors in these tests
    assert hooks.config.sections == {}
    why = "plugin corp is blocked by configuration"
    assert ambient.unused == [
        f"{place.user_path}, line 2: the section [corp] is not used; {why}",
        f"not used: BATCHCOMPUTE_CORP_PASSWORD, BATCHCOMPUTE_CORP_ZONES; {why}",
    ]
    assert [record.getMessage() for record in caplog.records if record.name == "batchcompute.plugins"] == ambient.unused
    config = Config(plugins=PluginConfig(frozenset({"corp"})), sections={"corp": {"tenant": "a"}})
    assert hooks_for(config, [Plugin()]).config.sections == {"corp": {"tenant": "a"}}


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("section", ["corp", "trcing"])
def test_a_section_warns_once_if_a_plugin_is_broken_or_its_name_is_almost_right(place: Place, section: str) -> None:
    place.user(f'[{section}]\ntenant = "a"\nlimit = 5\n')
    plugins: list[object] = [Plugin()]
    if section == "corp":
        plugins = [object()]
    else:
        place.set(BATCHCOMPUTE_PLUGINS="-corp")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load().hooks(plugins)
    warned = [str(one.message) for one in caught if one.category is ConfigWarning]
    assert len(warned) == 1
    assert f"there is no section [{section}]" in warned[0]
    assert "a plugin that was left out may know it: " in warned[0]


class TestWhichPlugins:
    """plugins.block and BATCHCOMPUTE_PLUGINS."""

    def test_the_variable_adds_and_takes_back(self, place: Place) -> None:
        place.user('[plugins]\nblock = ["a", "b"]\n')
        place.set(BATCHCOMPUTE_PLUGINS=" -c ,b, ")
        assert load().config.plugins.block == {"a", "c"}
        assert place.shown()["plugins.block"] == ({"a", "c"}, "BATCHCOMPUTE_PLUGINS")
        place.set(BATCHCOMPUTE_PLUGINS_BLOCK="x")
        assert load().config.plugins.block == {"x", "c"}

    @pytest.mark.parametrize("variable", ["BATCHCOMPUTE_PLUGINS", "BATCHCOMPUTE_PLUGINS_BLOCK"])
    def test_a_blocked_plugin_is_skipped(self, variable: str, place: Place) -> None:
        place.set(**{variable: "-corp" if variable.endswith("PLUGINS") else "corp"})
        hooks = load().hooks([Plugin()])
        assert hooks.skipped == {"corp": "blocked by configuration"}
        assert "corp" not in dict(hooks.plugins())

    def test_a_name_that_is_almost_a_plugins_warns(self, place: Place) -> None:
        place.set(BATCHCOMPUTE_PLUGINS="-tracng,-something-of-another-machine")
        with pytest.warns(PluginWarning, match="plugins.block names 'tracng', .* did you mean 'tracing'") as warned:
            load().hooks()
        assert len(warned) == 1

    def test_the_variable_enables(self, place: Place) -> None:
        place.user('[plugins]\nenable = ["a"]\nblock = ["b"]\n')
        place.set(BATCHCOMPUTE_PLUGINS="b,-c")
        assert load().config.plugins == PluginConfig(block=frozenset({"c"}), enable=frozenset({"a", "b"}))
        assert place.shown()["plugins.enable"] == ({"a", "b"}, "BATCHCOMPUTE_PLUGINS")

    def test_an_enabled_name_that_is_no_plugin(self, place: Place) -> None:
        place.set(BATCHCOMPUTE_PLUGINS_ENABLE="crp")
        with pytest.warns(
            PluginWarning, match="plugins.enable names 'crp', which is not a plugin here; did you mean 'co"
        ):
            load().hooks([Plugin()])
        place.set(BATCHCOMPUTE_PLUGINS_STRICT="on")
        with pytest.raises(PluginError, match=r"plugins\.enable names 'crp'.*; plugins: .*corp"):
            load().hooks([Plugin()])

    def test_strict_makes_a_broken_plugin_an_error(self, place: Place) -> None:
        place.set(BATCHCOMPUTE_PLUGINS_STRICT="on")
        with pytest.raises(PluginError, match="has no hooks"):
            load().hooks([object()])


class Carrier:
    """A transport with another name than the stub's."""

    name = "carrier"

    def __init__(self, stub: Stub | None) -> None:
        self.stub = stub

    @hookimpl
    def register_transports(self, ctx: RegistrationContext) -> list[Any]:
        return [self]

    def open(self, settings: TransportConfig) -> Stub:
        assert self.stub is not None
        self.stub.opened.append(settings)
        return self.stub


class TestWhichTransport:
    """transport.name."""

    def test_it_wins_over_the_regions(self, place: Place, stub: Stub) -> None:
        place.set(BATCHCOMPUTE_TRANSPORT_NAME="carrier")
        stub.answer(b"{}")
        Client("cn-qingdao", "id", "secret", plugins=[Carrier(stub)]).list_jobs()
        assert [settings.name for settings in stub.opened] == ["carrier"]

    def test_one_that_nobody_offers_is_reported_at_once(self, place: Place, stub: Stub) -> None:
        place.set(BATCHCOMPUTE_TRANSPORT_NAME="carier")
        with pytest.raises(
            ConfigError, match=r"no transport 'carier'; did you mean 'carrier'\?; transports: carrier, ur"
        ):
            Client("cn-qingdao", "id", "secret", plugins=[Carrier(stub)])

    def test_another_scheme_keeps_its_own(self, place: Place, stub: Stub) -> None:
        from batchcompute import Region

        class Socket:
            @hookimpl
            def register_regions(self, ctx: RegistrationContext) -> list[Region]:
                return [Region("sock", "sock", scheme="unix", port=0)]

        place.set(BATCHCOMPUTE_TRANSPORT_NAME="carrier")
        stub.answer(b"{}")
        with Client("sock", "id", "secret", plugins=[Socket(), stub, Carrier(None)]) as client:
            client.list_jobs()
        assert len(stub.requests) == 1
