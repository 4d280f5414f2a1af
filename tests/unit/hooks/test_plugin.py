"""The base class for plugins: its hooks are those of specs.py, and only what a subclass overrides is registered."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from batchcompute import Config, Credentials, PluginConfig, PluginError
from batchcompute.builtins import BUILTINS
from batchcompute.hooks import AttemptContext, CallContext, Plugin, hookimpl, override, specs
from batchcompute.hooks.manager import Hooks
from tests.support.stub import Stub


@pytest.mark.parametrize("hook", specs.HOOKS)
def test_every_hook_is_a_method_with_the_same_types(hook: str) -> None:
    ours, spec = inspect.signature(getattr(Plugin, hook)), inspect.signature(getattr(specs, hook))
    assert list(ours.parameters.values())[1:] == list(spec.parameters.values())
    assert ours.return_annotation == spec.return_annotation
    assert getattr(Plugin, hook).__doc__ == (getattr(specs, hook).__doc__ or "").partition("\n")[0]
    assert not getattr(Plugin(), hook)(None), "it declines, adds nothing or observes nothing"


def test_the_base_has_no_hook_that_is_not_specified() -> None:
    assert {name for name in vars(Plugin) if not name.startswith("_")} == {*specs.HOOKS, "name", "enabled_by_default"}


class Mixed:
    """Not a plugin by itself."""

    def before_attempt(self, ctx: AttemptContext) -> None: ...


class Base(Mixed, Plugin):
    def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
        return Credentials("base", "secret-of-the-base") if super().resolve_credentials(ctx) is None else None


class Lab(Base):
    name = "lab"

    @override
    @hookimpl(tryfirst=True)
    def sign_request(self, ctx: AttemptContext) -> dict[str, str]:
        return {"authorization": "lab"}

    def explain(self, ctx: CallContext) -> str:
        """No hook, and not nearly one."""
        return ""


def test_only_what_is_overridden_is_registered(stub: Stub) -> None:
    hooks = dict(Hooks(Config(), BUILTINS, [Lab(), Base()]).plugins())
    assert hooks["lab"] == ["before_attempt", "resolve_credentials", "sign_request"]
    assert hooks["argument 1: Base"] == ["before_attempt", "resolve_credentials"]
    stub.answer({})
    stub.client(plugins=(Lab(),)).list_jobs()
    assert stub.requests[0].headers["authorization"] == "lab"
    assert Lab.sign_request.batchcompute_impl["tryfirst"]  # type: ignore[attr-defined]  # by pluggy


class Misspelt(Plugin):
    def resolve_credential(self, ctx: CallContext) -> None: ...

    def before_attempt(self, ctx: AttemptContext) -> None: ...


class Unmarked(Plugin):
    pass


@pytest.mark.parametrize(
    ("plugin", "why"),
    [
        (
            Misspelt(),
            r"has a method resolve_credential\(ctx\), which is not a hook; did you mean 'resolve_credentials'",
        ),
        (Unmarked(), "has no hooks"),
    ],
)
def test_a_plugin_that_would_do_nothing_is_left_out(plugin: Any, why: str) -> None:
    with pytest.raises(PluginError, match=why):
        Hooks(Config(plugins=PluginConfig(strict=True)), BUILTINS, [plugin])
