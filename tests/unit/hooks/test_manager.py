"""The order of plugins, what is refused, and what a plugin may and may not do."""

from __future__ import annotations

import json
import sys
import types
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from batchcompute import (
    Config,
    ConfigError,
    Credentials,
    CredentialsError,
    PluginConfig,
    PluginError,
    PluginWarning,
)
from batchcompute.builtins import BUILTINS
from batchcompute.hooks import AttemptContext, CallContext, hookimpl, loading, specs
from batchcompute.hooks.manager import Hooks
from tests.support.stub import Stub

STRICT = Config(plugins=PluginConfig(strict=True))


def blocking(*names: str) -> Config:
    return Config(plugins=PluginConfig(block=frozenset(names)))


class Said:
    """Has an opinion on who is asking; `None` declines."""

    def __init__(self, who: str | None, order: list[str] | None = None) -> None:
        self.who, self.order = who, order if order is not None else []

    @hookimpl
    def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
        self.order.append(self.who or "declined")
        return Credentials(self.who, "secret") if self.who else None


class Point:
    """An installed plugin."""

    def __init__(self, plugin: object) -> None:
        self.plugin = plugin

    dist = SimpleNamespace(name="alpha", version="1.2")

    def load(self) -> object:
        if isinstance(self.plugin, Exception):
            raise self.plugin
        return self.plugin


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**plugins: object) -> None:
        """`dist__name=plugin` is the entry point `name` of the distribution `dist`."""
        found = tuple((name.replace("__", ":"), Point(plugin)) for name, plugin in sorted(plugins.items()))
        monkeypatch.setattr(loading, "installed_plugins", lambda: found)

    return install


def who_asks(stub: Stub, **kwargs: Any) -> str:
    stub.answer({})
    stub.client(**kwargs).list_jobs()
    return str(stub.requests[-1].headers["x-acs-access-key-id"])


def test_the_last_plugin_object_is_asked_first_then_installed_then_built_in(stub: Stub, install: Any) -> None:
    order: list[str] = []

    class Declines(Said):
        @hookimpl
        def resolve_credentials(self, ctx: CallContext) -> None:
            self.order.append(self.who or "")

    install(alpha__b=Declines("alpha:b", order), alpha__a=Declines("alpha:a", order), beta__a=Declines("beta:a", order))
    assert who_asks(stub, plugins=(Declines("one", order), Declines("two", order))) == "testid"
    assert order == ["two", "one", "alpha:a", "alpha:b", "beta:a"]


def test_the_first_answer_wins(stub: Stub, install: Any) -> None:
    install(alpha__a=Said("installed"))
    assert who_asks(stub) == "installed"
    assert who_asks(stub, plugins=(Said("object"),)) == "object"
    assert who_asks(stub, plugins=(Said(None),)) == "installed"
    assert who_asks(stub, config=blocking("alpha:a")) == "testid"


def test_plugins_are_listed_in_the_order_in_which_they_are_asked(install: Any) -> None:
    install(alpha__a=Said("a"), beta__a=Said("b"))
    hooks = Hooks(Config(), BUILTINS, [Said("one"), Said("two")])
    names = [name for name, _ in hooks.plugins()]
    assert names[:4] == ["argument 1: Said", "argument 0: Said", "alpha:a", "beta:a"]
    assert sorted(names[4:]) == sorted(BUILTINS)
    assert dict(hooks.plugins())["alpha:a"] == ["resolve_credentials"]


def test_every_built_in_hook_can_be_beaten(stub: Stub) -> None:
    """The built-ins are trylast: a plugin never has to outshout them."""
    names = {name for name, spec in vars(specs).items() if hasattr(spec, "batchcompute_spec")}
    found = 0
    for plugin in BUILTINS.values():
        for name in names & set(vars(plugin)):
            assert vars(plugin)[name].batchcompute_impl["trylast"], (plugin, name)
            found += 1
    assert found >= len(BUILTINS)


def test_one_entry_point_name_of_two_distributions(install: Any, stub: Stub) -> None:
    install(alpha__plugin=Said(None), beta__plugin=Said("beta"))
    hooks = Hooks(Config(), BUILTINS)
    assert [name for name, _ in hooks.plugins()][:2] == ["alpha:plugin", "beta:plugin"]
    assert who_asks(stub) == "beta"
    assert Hooks(blocking("beta:plugin"), BUILTINS).skipped == {"beta:plugin": "blocked by configuration"}
    both = Hooks(blocking("plugin"), BUILTINS)
    assert sorted(both.skipped) == ["alpha:plugin", "beta:plugin"]


def test_a_blocked_plugin_is_not_even_imported(install: Any) -> None:
    install(alpha__a=AssertionError("imported"))
    assert Hooks(blocking("alpha:a"), BUILTINS).skipped == {"alpha:a": "blocked by configuration"}


def test_a_built_in_can_be_blocked(stub: Stub) -> None:
    stub.answer({})
    with pytest.raises(CredentialsError, match="for region cn-qingdao"):
        stub.client(config=blocking("credentials")).list_jobs()
    for name, hook in (("endpoints", "cn-qingdao"), ("signing", "sign_request"), ("decoding", "decode_response")):
        with pytest.raises((PluginError, ConfigError), match=hook):
            stub.client(config=blocking(name)).list_jobs()


class Quiet(Said):
    enabled_by_default = False


def enabling(*names: str) -> Config:
    return Config(plugins=PluginConfig(enable=frozenset(names)))


def test_a_plugin_may_be_off_until_it_is_enabled(stub: Stub, install: Any) -> None:
    install(alpha__quiet=Quiet("quiet"), beta__a=Said("beta"))
    assert Hooks(Config(), BUILTINS).skipped == {"alpha:quiet": "off unless plugins.enable names it"}
    assert who_asks(stub) == "beta"
    for name in ("quiet", "alpha:quiet"):
        assert who_asks(stub, config=enabling(name)) == "quiet"
    both = Config(plugins=PluginConfig(enable=frozenset({"quiet"}), block=frozenset({"alpha:quiet"})))
    assert who_asks(stub, config=both) == "beta"
    assert who_asks(stub, plugins=(Quiet("given"),)) == "given"  # whoever gives it to the Client wants it


def test_a_module_may_be_off_too(install: Any) -> None:
    module = types.ModuleType("quiet_module")
    vars(module).update(enabled_by_default=False, resolve_credentials=Said("a").resolve_credentials)
    install(alpha__quiet=module)
    assert list(Hooks(Config(), BUILTINS).skipped) == ["alpha:quiet"]


class Misspelt:
    @hookimpl
    def resolve_credential(self, ctx: CallContext) -> None:
        """There is no such hook."""


class Coroutine:
    @hookimpl
    async def before_attempt(self, ctx: AttemptContext) -> None:
        """Nobody would await it."""


class WrongArguments:
    @hookimpl
    def before_attempt(self, context: AttemptContext) -> None:
        """The argument is called ctx."""


class NoHooks:
    def before_attempt(self, ctx: AttemptContext) -> None:
        """The marker was forgotten."""


BROKEN = {
    "misspelt": (Misspelt(), "'resolve_credential', which is not a hook; did you mean 'resolve_credentials'"),
    "async": (Coroutine(), "'before_attempt' as a coroutine"),
    "arguments": (WrongArguments(), "has a wrong hook"),
    "unmarked": (NoHooks(), "or mark them with"),
}


@pytest.mark.parametrize(("plugin", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_left_out_by_name(stub: Stub, plugin: object, why: str) -> None:
    stub.answer({})
    with pytest.warns(PluginWarning, match=type(plugin).__name__) as caught:
        client = stub.client(plugins=(plugin,))
    assert why in str(caught[0].message)
    assert len(client.list_jobs()) == 0
    with pytest.raises(PluginError, match=type(plugin).__name__):
        stub.client(plugins=(plugin,), config=STRICT)


def test_a_broken_plugin_takes_none_of_its_other_hooks_along(stub: Stub) -> None:
    class Half(Misspelt, Said):
        pass

    with pytest.warns(PluginWarning):
        assert who_asks(stub, plugins=(Half("half"),)) == "testid"


@pytest.mark.parametrize("error", [ImportError("no module x"), ZeroDivisionError("bug"), SyntaxError("bad")])
def test_an_installed_plugin_that_cannot_be_loaded(stub: Stub, install: Any, error: Exception) -> None:
    install(alpha__bad=error, beta__good=Said("good"))
    with pytest.warns(
        PluginWarning, match=rf"plugin alpha:bad was left out: it cannot be loaded: {type(error).__name__}"
    ):
        assert who_asks(stub) == "good"
    with pytest.raises(PluginError, match="alpha:bad cannot be loaded") as caught:
        stub.client(config=STRICT)
    assert caught.value.__cause__ is error


def test_one_object_twice_is_reported(stub: Stub) -> None:
    plugin = Said("a")
    with pytest.warns(PluginWarning, match="registered twice"):
        assert who_asks(stub, plugins=(plugin, plugin)) == "a"


def test_modules_and_functions_without_arguments_are_plugins(stub: Stub) -> None:
    module = types.ModuleType("my_plugin")
    calls: list[str] = []

    @hookimpl
    def before_attempt() -> None:
        calls.append("attempt")

    @hookimpl
    def resolve_credentials() -> Credentials:
        return Credentials("module", "secret")

    vars(module).update(before_attempt=before_attempt, resolve_credentials=resolve_credentials)
    assert who_asks(stub, plugins=(module,)) == "module"
    assert calls == ["attempt"]
    assert "my_plugin" not in sys.modules


def test_a_wrapper_sees_what_the_others_answer(stub: Stub) -> None:
    class Wrapper:
        @hookimpl(wrapper=True)
        def resolve_credentials(self, ctx: CallContext) -> Any:
            answer = yield
            return Credentials(answer.access_key_id + "-wrapped", answer.access_key_secret)

    assert who_asks(stub, plugins=(Wrapper(),)) == "testid-wrapped"


@pytest.mark.parametrize("answer", [0, "", False, [], {}, "text", 5])
def test_a_falsy_or_wrong_answer_ends_the_search_and_is_refused(stub: Stub, answer: object) -> None:
    class Odd:
        @hookimpl
        def resolve_credentials(self, ctx: CallContext) -> Any:
            return answer

    article = "an" if isinstance(answer, int) and not isinstance(answer, bool) else "a"
    with pytest.raises(
        PluginError, match=f"resolve_credentials answered {article} {type(answer).__name__}, expected Cred"
    ):
        who_asks(stub, plugins=(Odd(),))
    assert stub.requests == []


def test_a_falsy_time_ends_the_search(stub: Stub) -> None:
    class Blank:
        @hookimpl
        def humanize_timestamp(self, ctx: object) -> str:
            return ""

    stub.answer({"CreateTime": 5})
    assert stub.client(True, plugins=(Blank(),)).get_job("job-1").CreateTime == ""


def test_entry_points_are_named_and_loaded_for_every_group() -> None:
    """The local service finds its own plugins with the same two functions."""
    first = EntryPoint("json", "json:dumps", "any")
    broken = EntryPoint("broken", "no_such_module_at_all", "any")
    last = EntryPoint("loads", "json:loads", "any")
    named = loading.name_entry_points([last, broken, first, first])
    assert named == ((":broken", broken), (":json", first), (":loads", last))
    refused: list[tuple[str, str]] = []
    loaded = list(loading.load_entry_points(named, lambda name, error: refused.append((name, type(error).__name__))))
    assert loaded == [(":loads", json.loads), (":json", json.dumps)]
    assert refused == [(":broken", "ModuleNotFoundError")]


def test_who_refuses_may_end_the_loading() -> None:
    def refuse(name: str, error: Exception) -> None:
        raise PluginError(name) from error

    with pytest.raises(PluginError, match="broken"):
        list(loading.load_entry_points([("a:broken", EntryPoint("broken", "no_such_module_at_all", "any"))], refuse))
