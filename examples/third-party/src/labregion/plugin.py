"""What the distribution adds to batchcompute. Imported in every program that has it installed, so it is quick to import."""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from batchcompute import Config, Region
from batchcompute.hooks import (
    AttemptContext,
    CallContext,
    CredentialProvider,
    LogContext,
    ObjectStore,
    RegistrationContext,
    Section,
    TransportFactory,
    hookimpl,
)
from labregion.credentials import KeyringProvider
from labregion.settings import NAME, RULES, LabSettings
from labregion.transport import HttpxFactory

if TYPE_CHECKING:
    import click

    from batchcompute import Client


@hookimpl
def register_settings(ctx: RegistrationContext) -> Iterable[Section]:
    """[lab], and BATCHCOMPUTE_LAB_HOST and so on."""
    return (Section(NAME, LabSettings),)


@hookimpl
def register_regions(ctx: RegistrationContext) -> Iterable[Region]:
    """`lab`, wherever the settings say that it is."""
    settings: LabSettings = ctx.config.sections[NAME]
    return (
        Region(
            NAME,
            settings.host,
            scheme="http",
            port=settings.port,
            transport=HttpxFactory.name,
            credential_provider=KeyringProvider.name,
            ranges=RULES,
            idempotent_tokens=True,
        ),
    )


@hookimpl
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:
    """`lab-keyring`."""
    return (KeyringProvider(ctx.config.sections[NAME].keyring_file),)


@hookimpl
def register_transports(ctx: RegistrationContext) -> Iterable[TransportFactory]:
    """`lab-httpx`."""
    return (HttpxFactory(),)


@hookimpl
def register_commands(ctx: RegistrationContext) -> Iterable[click.Command]:
    """`batchcompute lab`."""
    from labregion.commands import commands

    return (commands(ctx.config.sections[NAME]),)


@hookimpl
def request_headers(ctx: AttemptContext) -> Mapping[str, str] | None:
    """Who pays, signed since its name begins with x-acs-; and the place in a W3C trace, which what is on the way may change."""
    if ctx.call.region.name != NAME:
        return None
    settings: LabSettings = ctx.call.config.sections[NAME]
    span = secrets.token_hex(8)
    return {"x-acs-lab-tenant": settings.tenant, "traceparent": f"00-{_trace(os.environ.get('TRACEPARENT'))}-{span}-01"}


@hookimpl
def object_store(ctx: CallContext) -> ObjectStore | None:
    """The lab's objects are those of the service behind its gateway."""
    return _service().objects if ctx.region.name == NAME else None


@hookimpl
def fetch_log(ctx: LogContext) -> BinaryIO | None:
    """The lab's logs are those of the service behind its gateway."""
    if ctx.region.name != NAME:
        return None
    log = _service().read_log(ctx.job_id, ctx.task_name, ctx.instance_id, ctx.stream, attempt=ctx.attempt)
    return None if log is None else io.BytesIO(log)


@cache
def _service() -> Client:
    """A Client of the service itself; for its files, since the gateway carries calls only."""
    from batchcompute import Client

    return Client("local", config=Config())


@cache
def _trace(parent: str | None) -> str:
    """The id of the trace that this program is part of, or begins."""
    match = re.fullmatch(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", parent or "")
    return match[1] if match else secrets.token_hex(16)
