"""What `batchcompute doctor` finds, and that plugins take part (see test_hook_effects)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from batchcompute import ConnectError, Region
from batchcompute.cli.doctor import doctor
from batchcompute.hooks import DiagnosisContext, Finding, RegistrationContext, hookimpl, loading
from tests.support.place import USER
from tests.support.stub import Stub, response


class Lab:
    """A region whose transport is the stub, with two accounts' worth of trouble on request."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub

    @hookimpl
    def register_transports(self, ctx: RegistrationContext) -> list[Any]:
        return [self.stub]

    @hookimpl
    def register_regions(self, ctx: RegistrationContext) -> list[Region]:
        return [Region("lab", "lab.example")]


@pytest.fixture
def lab(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, dict[str, str]]]]:
    """Runs doctor on the region; gives its exit code and the findings by name."""
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret-of-the-lab")

    def run(*plugins: object) -> tuple[int, dict[str, dict[str, str]]]:
        found = [(f"dist:{number}", plugin) for number, plugin in enumerate([Lab(stub), *plugins])]
        points = tuple((name, SimpleNamespace(load=lambda plugin=plugin: plugin, dist=None)) for name, plugin in found)
        monkeypatch.setattr(loading, "installed_plugins", lambda: points)
        done = CliRunner().invoke(doctor, ["-e", "lab", "--format", "json"])
        assert "testsecret" not in done.output
        said = json.loads(done.stdout)
        assert said["ok"] == (done.exit_code == 0)
        return done.exit_code, {finding["name"]: finding for finding in said["findings"]}

    return run


def now(offset: float = 0) -> str:
    return formatdate(time.time() + offset, usegmt=True)


def test_diagnose_is_reported_by_doctor(stub: Stub, lab: Any) -> None:
    class Health:
        @hookimpl
        def diagnose(self, ctx: DiagnosisContext) -> Iterable[Finding]:
            assert ctx.region.name == "lab"
            return [Finding("freezer", "note", "it is open", "close it")]

    stub.answer({}, date=now())
    code, found = lab(Health())
    assert code == 0
    assert found["freezer"] == {"name": "freezer", "state": "note", "what": "it is open", "cure": "close it"}

    class Broken:
        @hookimpl
        def diagnose(self, ctx: DiagnosisContext) -> Iterable[Finding]:
            raise RuntimeError("the lab is closed")

    stub.answer({}, date=now())
    code, found = lab(Broken())
    assert code == 1
    what = "plugin 'dist:1' (of no distribution) failed to diagnose: RuntimeError: the lab is closed"
    assert found["plugins"]["what"] == what


def test_one_plugin_that_fails_does_not_hide_what_others_report(stub: Stub, lab: Any) -> None:
    class Broken:
        @hookimpl
        def diagnose(self, ctx: DiagnosisContext) -> Iterable[Finding]:
            yield 5  # type: ignore[misc]  # on purpose

    class Health:
        @hookimpl
        def diagnose(self, ctx: DiagnosisContext) -> Iterable[Finding]:
            yield Finding("freezer", "ok", "it is closed")

    stub.answer({}, date=now())
    code, found = lab(Broken(), Health())
    assert code == 1
    assert "plugin 'dist:1' (of no distribution): diagnose answered items, of which" in found["plugins"]["what"]
    assert found["freezer"]["state"] == "ok"


def test_what_is_set_for_a_plugin_that_is_off_is_a_note(stub: Stub, lab: Any) -> None:
    class Quiet:
        enabled_by_default = False

        @hookimpl
        def register_settings(self, ctx: RegistrationContext) -> None: ...

    file = Path.home() / USER
    file.parent.mkdir(parents=True)
    file.write_text("[quiet]\na = 1\nb = 2\n")
    stub.answer({}, date=now())
    code, found = lab(Quiet())
    assert code == 0
    unused = f"{file}, line 2: the section [quiet] is not used; plugin dist:1 is off unless plugins.enable names it"
    assert (found["settings"]["state"], found["settings"]["what"]) == ("note", unused)
    assert found["plugins"]["cure"] == "add it to plugins.enable to use it"


def test_all_is_well(stub: Stub, lab: Any) -> None:
    stub.answer({}, date=now())
    code, found = lab()
    assert code == 0
    assert {finding["state"] for finding in found.values()} == {"ok", "note"}
    assert "testid" in found["credentials"]["what"]
    assert found["credentials"]["what"].endswith("from environment variables")
    assert found["clock"]["what"] == "the clocks agree"
    assert found["objects"]["state"] == "note", "the lab has no object store"


@pytest.mark.parametrize(("offset", "state"), [(-5, "ok"), (-120, "note"), (3600, "problem")])
def test_a_clock_that_is_off(stub: Stub, lab: Any, offset: float, state: str) -> None:
    stub.answer({}, date=now(offset))
    code, found = lab()
    assert (code, found["clock"]["state"]) == (state == "problem", state)
    assert f"clock is {'-' if offset > 0 else '+'}" in found["clock"]["what"]


def test_nobody_answers(stub: Stub, lab: Any) -> None:
    stub.always = ConnectError("nobody is there")
    code, found = lab()
    assert code == 1
    assert found["endpoint"]["state"] == "problem"
    assert "nobody is there" in found["endpoint"]["what"]
    assert "clock" not in found


def test_a_refused_call(stub: Stub, lab: Any) -> None:
    stub.always = response({"Code": "Forbidden", "Message": "not you"}, 403, date=now())
    code, found = lab()
    assert code == 1
    assert found["endpoint"]["state"] == "ok"
    assert "Forbidden: not you" in found["call"]["what"]
    assert "access key" in found["call"]["cure"]


def test_no_credentials(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_ID")
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    code, found = lab()
    assert (code, found["credentials"]["state"]) == (1, "problem")


def test_settings_that_cannot_be_read(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_RETRY_ATTEMPTS", "many")
    code, found = lab()
    assert code == 1
    assert "BATCHCOMPUTE_RETRY_ATTEMPTS" in found["settings"]["what"]


def test_a_plugin_that_was_left_out(stub: Stub, lab: Any) -> None:
    stub.answer({}, date=now())
    code, found = lab(object())
    assert code == 1
    assert "dist:1 was left out: it has no hooks" in found["plugins"]["what"]
