"""`batchcompute doctor`: check everything from the settings to a first call. Each finding has its cure."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from .. import Client, __version__
from ..configuration import load
from ..errors import BatchComputeError, ClientError, ConfigError, CredentialsError, TransportError
from ..hooks import AttemptContext, DiagnosisContext, Finding, hookimpl
from ..hooks.loading import CHOSEN
from ..regions import find_region
from .cures import cure_left_out, find_cure
from .output import emit_json, plain, styled, terminal_width
from .session import Session, advise_objects, command

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
    """Check settings, plugins, credentials and endpoint, and show how to correct problems. Exits with 1 if there is a problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the findings have them
        found = list(examine(session.endpoint))
    well = all(finding.state != "problem" for finding in found)
    if session.json:
        emit_json({"ok": well, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            _print(finding)
    raise click.exceptions.Exit(0 if well else 1)


def _print(finding: Finding) -> None:
    """Print one finding, with its cure below. On a terminal long lines are wrapped."""
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
    """Check everything, in the order of a call."""
    yield Finding("version", "ok", f"batchcompute {__version__}")
    try:
        ambient = load()
        hooks = ambient.hooks()
        config = ambient.config
        where = endpoint or config.endpoint or "local"
        region = find_region(where, hooks.regions())
    except BatchComputeError as error:
        yield Finding("settings", "problem", str(error), "`batchcompute config show` shows the source of each value")
        return
    profile = f", profile {config.profile}" if config.profile else ""
    yield Finding("settings", "ok", f"region {region.name}{profile}")
    for unused in ambient.unused:
        yield Finding("settings", "note", unused, "`batchcompute plugin list` shows the plugins that were left out")
    yield from _plugins(hooks)
    yield from _call(where)
    yield from hooks.diagnose(DiagnosisContext(region, hooks.config))


def _plugins(hooks: Hooks) -> Iterator[Finding]:
    yield Finding("plugins", "ok", f"{len(hooks.plugins())} in use")
    for name, why in hooks.skipped.items():
        if why in CHOSEN:
            yield Finding("plugins", "note", f"{name} is {why}", cure_left_out(why))
        else:
            yield Finding("plugins", "problem", f"{name} was left out: it {why}", cure_left_out(why))


class _Probe:
    """Records the last attempt of a call."""

    name = "doctor"

    def __init__(self) -> None:
        self.attempt: AttemptContext | None = None
        self.at = 0.0

    @hookimpl
    def after_attempt(self, ctx: AttemptContext) -> None:
        self.attempt, self.at = ctx, time.time()


def _call(where: str) -> Iterator[Finding]:
    """Make a call that changes nothing and that every account may make."""
    probe = _Probe()
    failed: BatchComputeError | None = None
    try:
        with Client(where, plugins=[probe]) as client:
            client.list_images(timeout=_SECONDS)
            has_objects = _has_objects(client)
    except BatchComputeError as error:
        failed = error
    attempt = probe.attempt
    if isinstance(failed, CredentialsError):
        yield Finding("credentials", "problem", str(failed), _cure_of(failed))
        return
    if attempt is None:
        yield Finding("endpoint", "problem", str(failed), _cure_of(failed))
        return
    if attempt.credentials is not None:
        source = attempt.credentials.source or "a plugin"
        yield Finding("credentials", "ok", f"access key {attempt.credentials.access_key_id}, from {source}")
    place = attempt.endpoint.host if attempt.endpoint.scheme == "unix" else attempt.endpoint.url
    if attempt.response is None or (failed is not None and not isinstance(failed, ClientError)):
        yield Finding("endpoint", "problem", f"{place}: {failed}", _cure_of(failed))
        return
    yield Finding("endpoint", "ok", f"{place} answered in {attempt.elapsed * 1000:.0f} ms")
    yield from _clock(attempt, probe.at)
    if isinstance(failed, ClientError):
        yield Finding("call", "problem", str(failed), _cure_of(failed))
    elif not has_objects:
        yield Finding("objects", "note", "no plugin offers the objects of the region", advise_objects())
    else:
        yield Finding("objects", "ok", "packages can be uploaded with `batchcompute oss cp`")


def _has_objects(client: Client) -> bool:
    try:
        return client.objects is not None
    except ConfigError:
        return False


def _clock(attempt: AttemptContext, at: float) -> Iterator[Finding]:
    from ..error_answers import date_of

    date = date_of(attempt.response) if attempt.response is not None else None
    if date is None:
        return
    offset = at - date  # a Date has whole seconds
    what = f"this machine's clock is {offset:+.0f} s off the service's" if abs(offset) >= 2 else "the clocks agree"
    cure = "set this machine's clock, for instance with NTP"
    if abs(offset) >= _REFUSED:
        yield Finding("clock", "problem", f"{what}; more than {_REFUSED} s are refused", cure)
    elif abs(offset) >= _WORTH_KNOWING:
        yield Finding("clock", "note", what, cure)
    else:
        yield Finding("clock", "ok", what)


def _cure_of(error: BatchComputeError | None) -> str:
    if isinstance(error, TransportError):  # where others are sent to the doctor
        return "check the endpoint, the network and the proxy; for region local see `batchcompute local logs`"
    found = find_cure(error) if error is not None else ""
    if not found and isinstance(error, ConfigError):
        return "`batchcompute config show` shows the source of each value"
    return found or "try again with --verbose"
