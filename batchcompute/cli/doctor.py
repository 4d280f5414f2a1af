"""`batchcompute doctor`: what is well and what is not, from the settings to a first call, each finding with its cure."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from .. import Client, __version__
from ..configuration import hooks_for, load
from ..errors import BatchComputeError, ClientError, ConfigError, CredentialsError, TransportError
from ..hooks import AttemptContext, DiagnosisContext, Finding, hookimpl
from ..regions import find_region
from .output import emit_json, plain, styled, terminal_width
from .session import Session, command

if TYPE_CHECKING:
    from ..hooks.manager import Hooks

_SECONDS = 40.0
_REFUSED, _WORTH_KNOWING = 15 * 60, 30
_INDENT = 22
_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@command(
    "doctor", examples=["batchcompute doctor", "batchcompute doctor -e cn-qingdao", "batchcompute doctor --format json"]
)
def doctor(session: Session) -> None:
    """Look for what could go wrong, and say how to mend it. Ends with 1 if there is a problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is among the findings
        found = list(examine(session.endpoint))
    well = all(finding.state != "problem" for finding in found)
    if session.json:
        emit_json({"ok": well, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            _print(finding)
    raise click.exceptions.Exit(0 if well else 1)


def _print(finding: Finding) -> None:
    """One finding, with its cure below; on a terminal long lines are broken."""
    mark, colour = _MARKS[finding.state]
    width = terminal_width()
    head = f"{styled(f'{mark:<7}', colour)}  {finding.name:<12} "
    parts = [plain(line) for line in finding.what.splitlines()]
    if finding.cure:
        parts.append(f"cure: {plain(finding.cure)}")
    for part in parts:
        for line in wrap(part, max(30, width - _INDENT)) if width else [part]:
            if line.startswith("cure:"):
                line = styled("cure:", "cyan") + line.removeprefix("cure:")
            click.echo(head + line)
            head = " " * _INDENT


def examine(endpoint: str | None) -> Iterator[Finding]:
    """Look at everything, in the order in which a call needs it."""
    yield Finding("version", "ok", f"batchcompute {__version__}")
    try:
        config = load().config
        hooks = hooks_for(None)
        where = endpoint or config.endpoint or "local"
        region = find_region(where, hooks.regions())
    except BatchComputeError as error:
        yield Finding("settings", "problem", str(error), "`batchcompute config show` tells where each value comes from")
        return
    profile = f", profile {config.profile}" if config.profile else ""
    yield Finding("settings", "ok", f"region {region.name}{profile}")
    yield from _plugins(hooks)
    yield from _call(where)
    try:
        yield from hooks.diagnose(DiagnosisContext(region, hooks.config))
    except Exception as error:  # a plugin's
        cure = "`batchcompute plugin list` shows the plugins; report it to whoever made it"
        yield Finding("plugins", "problem", f"a plugin failed to diagnose: {type(error).__name__}: {error}", cure)


def _plugins(hooks: Hooks) -> Iterator[Finding]:
    yield Finding("plugins", "ok", f"{len(hooks.plugins())} in use")
    for name, why in hooks.skipped.items():
        if "blocked" in why:
            yield Finding("plugins", "note", f"{name} is {why}", "take it out of plugins.block to use it")
        else:
            yield Finding(
                "plugins", "problem", f"{name} was left out: it {why}", "update or uninstall its distribution"
            )


class _Probe:
    """Sees what a call really used."""

    name = "doctor"

    def __init__(self) -> None:
        self.seen: AttemptContext | None = None
        self.at = 0.0

    @hookimpl
    def after_attempt(self, ctx: AttemptContext) -> None:
        self.seen, self.at = ctx, time.time()


def _call(where: str) -> Iterator[Finding]:
    """Try the call that changes nothing and works for everybody."""
    probe = _Probe()
    failed: BatchComputeError | None = None
    try:
        with Client(where, plugins=[probe]) as client:
            client.list_images(timeout=_SECONDS)
            has_objects = _has_objects(client)
    except BatchComputeError as error:
        failed = error
    seen = probe.seen
    if isinstance(failed, CredentialsError):
        yield Finding(
            "credentials", "problem", str(failed), "`batchcompute config init` makes a file to put a key into"
        )
        return
    if seen is None:
        yield Finding("endpoint", "problem", str(failed), _cure_of(failed))
        return
    if seen.credentials is not None:
        source = seen.credentials.source or "a plugin"
        yield Finding("credentials", "ok", f"access key {seen.credentials.access_key_id}, from {source}")
    place = seen.endpoint.host if seen.endpoint.scheme == "unix" else seen.endpoint.url
    if seen.response is None or (failed is not None and not isinstance(failed, ClientError)):
        yield Finding("endpoint", "problem", f"{place}: {failed}", _cure_of(failed))
        return
    yield Finding("endpoint", "ok", f"{place} answered in {seen.elapsed * 1000:.0f} ms")
    yield from _clock(seen, probe.at)
    if isinstance(failed, ClientError):
        yield Finding(
            "call", "problem", str(failed), "the service refuses the call: check the access key and its rights"
        )
    elif not has_objects:
        yield Finding("objects", "note", "the region has no object store here", "upload packages with OSS's own tools")
    else:
        yield Finding("objects", "ok", "packages can be uploaded with `batchcompute oss cp`")


def _has_objects(client: Client) -> bool:
    try:
        return client.objects is not None
    except ConfigError:
        return False


def _clock(seen: AttemptContext, at: float) -> Iterator[Finding]:
    from ..error_answers import date_of

    there = date_of(seen.response) if seen.response is not None else None
    if there is None:
        return
    offset = at - there  # a Date has whole seconds
    what = f"this machine's clock is {offset:+.0f} s off the service's" if abs(offset) >= 2 else "the clocks agree"
    cure = "set this machine's clock, for instance with NTP"
    if abs(offset) >= _REFUSED:
        yield Finding("clock", "problem", f"{what}; more than {_REFUSED} s are refused", cure)
    elif abs(offset) >= _WORTH_KNOWING:
        yield Finding("clock", "note", what, cure)
    else:
        yield Finding("clock", "ok", what)


def _cure_of(error: BatchComputeError | None) -> str:
    if isinstance(error, ConfigError):
        return "`batchcompute config show` tells where each value comes from"
    if isinstance(error, TransportError):
        return "check the endpoint, the network and the proxy; for region local `batchcompute local logs` tells more"
    return "try again with --verbose"
