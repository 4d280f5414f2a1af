"""The plugin for the SDK: the region `local` with its transport, credentials, objects and logs.

In a program of a job, region `local` is the service that runs the job, as its attempt file says, whatever HOME and data folder.
Every program with this package installed imports it at its first Client. So it imports heavy modules only for the region.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from batchcompute.credentials import Credentials
from batchcompute.errors import Problem
from batchcompute.hooks import (
    AttemptContext,
    CallContext,
    CredentialProvider,
    DiagnosisContext,
    Finding,
    LogContext,
    ObjectStore,
    RegistrationContext,
    TransportFactory,
    ValidationContext,
    hookimpl,
)
from batchcompute.operations import CREATE_JOB
from batchcompute.regions import Region
from batchcompute.wire import Endpoint

if TYPE_CHECKING:
    import click

    from batchcompute.config import TransportConfig
    from batchcompute.hooks import Transport
    from batchcompute_local.attempt_files import AttemptFile
    from batchcompute_local.settings import Settings

NAME = "local"
_INSIDE = "local-inside"


@hookimpl
def register_regions(ctx: RegistrationContext) -> Iterable[Region]:
    """Register region `local`: this machine. The service needs Linux."""
    if not sys.platform.startswith("linux"):
        return ()
    from batchcompute_local.jobs.ranges import LOCAL_RANGES

    return (
        Region(
            NAME,
            NAME,
            scheme="unix",
            transport=NAME,
            credential_provider=NAME,
            ranges=LOCAL_RANGES,
            port=0,
            idempotent_tokens=True,
            details=True,
        ),
    )


@hookimpl
def register_transports(ctx: RegistrationContext) -> Iterable[TransportFactory]:
    """Register the transport: HTTP over the daemon's Unix socket. It starts the daemon; that of programs does not."""
    return (_Factory(), _InsideFactory())


@hookimpl
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:
    """Register the provider of the daemon's own account."""
    return (_Account(),)


@hookimpl
def register_commands(ctx: RegistrationContext) -> Iterable[click.Command]:
    """Register `serve` and `local`. The service needs Linux."""
    if not sys.platform.startswith("linux"):
        return ()
    from batchcompute_local.client.commands import local, serve

    return (serve, local)


@hookimpl
def diagnose(ctx: DiagnosisContext) -> Iterable[Finding]:
    """Check the service, its storage and its interpreters. Nothing for other regions."""
    if ctx.region.transport != NAME:
        return ()
    from batchcompute_local.client.diagnosis import findings
    from batchcompute_local.paths import Layout

    return findings(Layout.at(_data_dir()))


@hookimpl
def resolve_endpoint(ctx: CallContext) -> Endpoint | None:
    """Return the socket in the data folder; None for other regions."""
    if ctx.region.transport != NAME:
        return None
    inside = _inside()
    if inside is not None:
        return Endpoint("unix", inside.socket, 0, ctx.region.name, _INSIDE)
    return Endpoint("unix", str(_data_dir()), 0, ctx.region.name, NAME)


@hookimpl
def resolve_credentials(ctx: CallContext) -> Credentials | None:
    """Return the service's own account, whatever key a script or the configuration has for other regions.

    In a program it is the account that submitted the job. So only the endpoint of a script changes. An explicit key of an
    account of the service is used unchanged.
    """
    if ctx.region.credential_provider != NAME:
        return None
    own, explicit = _Account().get(ctx), ctx.credentials
    if explicit is None:
        return own
    return explicit if explicit.access_key_id == own.access_key_id or _is_account(explicit.access_key_id) else own


@hookimpl
def request_headers(ctx: AttemptContext) -> Mapping[str, str] | None:
    """Send the surroundings with a new job. None for other calls and other regions. Raises ConfigError if they are too large."""
    if ctx.call.operation is not CREATE_JOB or ctx.call.region.transport != NAME:
        return None
    from batchcompute.surroundings import HEADER, Surroundings

    return {HEADER: (ctx.call.surroundings or Surroundings.of_process()).to_header()}


@hookimpl
def validate_description(ctx: ValidationContext) -> Iterable[Problem] | None:
    """Add the problems that only this service finds. None if there are none, and for other regions."""
    if ctx.region.transport != NAME:
        return None
    from batchcompute.validation import check_job
    from batchcompute_local.jobs.checks import check_here

    local = check_here(ctx.description, _settings(_data_dir()))
    return [*check_job(ctx.description, ctx.region.ranges), *local] if local else None


@hookimpl
def object_store(ctx: CallContext) -> ObjectStore | None:
    """Return the object store in the data folder; None for other regions."""
    if ctx.region.transport != NAME:
        return None
    from batchcompute_local.paths import Layout
    from batchcompute_local.routing import AllObjects

    inside = _inside()
    if inside is not None:
        if not inside.objects:
            return None  # the endpoint has them: this is a node of a cluster without the service's files
        layout = Layout.at(_data_dir())
        return AllObjects(Path(inside.objects), _settings(layout.root).buckets, layout.unsent)
    layout = Layout.at(_data_dir())
    try:
        layout.create()
    except OSError as error:
        from batchcompute_local.errors import DaemonError

        raise DaemonError(f"the data folder {layout.root} cannot be used: {error.strerror}") from error
    return AllObjects(layout.oss, _settings(layout.root).buckets, layout.unsent)


@hookimpl
def fetch_log(ctx: LogContext) -> BinaryIO | None:
    """Open an instance's log, also while it runs. None for other regions, and for an instance that never started.

    Raises OSError at once if its program replaced the log by something else than a regular file.
    Raises LookupError for an attempt without a log; it says which attempts have one.
    """
    if ctx.region.transport != NAME:
        return None
    from batchcompute_local.paths import Layout
    from batchcompute_local.process.log_files import open_log

    layout = Layout.at(_data_dir())
    return open_log(
        layout,
        ctx.redirect_path,
        ctx.stream,
        ctx.job_id,
        ctx.task_name,
        ctx.instance_id,
        ctx.attempt,
        ctx.newest_attempt,
        _settings(layout.root).buckets if ctx.redirect_path else {},
    )


class _Factory:
    name = NAME

    def open(self, settings: TransportConfig) -> Transport:
        from batchcompute_local.client.transport import LocalTransport

        return LocalTransport(settings)


class _InsideFactory:
    name = _INSIDE

    def open(self, settings: TransportConfig) -> Transport:
        from batchcompute_local.client.inside import open_transport

        return open_transport(settings)


class _Account:
    name = NAME

    def get(self, ctx: CallContext | None = None) -> Credentials:
        """Return the account. A service that has none yet is started, within the deadline of the call `ctx`."""
        inside = _inside()
        if inside is not None:
            return Credentials(inside.access_key_id, inside.access_key_secret, source="the attempt of this program")
        import time

        from batchcompute_local.client import control
        from batchcompute_local.errors import DaemonError

        data_dir = _data_dir()
        try:
            key = control.read_credentials(data_dir)
        except (FileNotFoundError, DaemonError):  # the daemon creates the file, or mends it, before it listens
            until = None
            if ctx is not None and ctx.deadline is not None:
                until = time.monotonic() + max(0.0, ctx.deadline - ctx.clock.monotonic())
            control.ensure_running(data_dir, until)
            try:
                key = control.read_credentials(data_dir)
            except FileNotFoundError as error:
                cure = "`batchcompute local stop`; the next start makes a new key, and jobs continue"
                raise DaemonError(f"a service runs, but its key is gone: no file {error.filename}; {cure}") from None
        return Credentials(*key, source=f"the service in {data_dir}")


def _settings(data_dir: Path) -> Settings:
    """Return the service's settings. A changed file is read again. Raises SettingsError."""
    import os

    from batchcompute_local.paths import Layout

    path = Layout.at(data_dir).settings
    try:
        facts = os.stat(path)
    except OSError:
        return _settings_in(path, None)
    return _settings_in(path, (facts.st_mtime_ns, facts.st_size, facts.st_ino))


@lru_cache(maxsize=4)
def _settings_in(path: Path, version: object) -> Settings:
    from batchcompute_local.settings import read_settings

    return read_settings(path)


def _is_account(access_key_id: str) -> bool:
    from batchcompute_local.http.accounts import Book
    from batchcompute_local.paths import Layout

    return any(one.access_key_id == access_key_id for one in Book(Layout.at(_data_dir())).all())


def _inside() -> AttemptFile | None:
    """Return the attempt file of the program that runs us; None outside of programs. Raises DaemonError if it cannot be read."""
    import os

    path = os.environ.get("BATCHCOMPUTE_LOCAL_ATTEMPT")
    return _read_attempt_file(path) if path else None


@lru_cache(maxsize=4)
def _read_attempt_file(path: str) -> AttemptFile:
    from batchcompute_local.attempt_files import read_attempt_file
    from batchcompute_local.errors import DaemonError

    try:
        return read_attempt_file(path)
    except (OSError, ValueError) as error:
        raise DaemonError(
            f"the attempt file {path} cannot be read ({getattr(error, 'strerror', None) or error}): the attempt has ended, or "
            "its container has no access to the service (docs/service-programs.md, Inside a job)"
        ) from None


def _data_dir() -> Path:
    import os

    variables = ("BATCHCOMPUTE_LOCAL_ATTEMPT", "BATCHCOMPUTE_DATA_DIR", "HOME")
    return _data_dir_for(*map(os.environ.get, variables))


@cache
def _data_dir_for(attempt: str | None, named: str | None, home: str | None) -> Path:
    from batchcompute_local.paths import default_data_dir

    return default_data_dir()
