"""The plugin for the SDK: the objects of regions that have an OSS, and the logs that their tasks redirect there.

Every program with this package installed imports it at its first Client. So it imports the library (0.3 s) only at the first
operation on an object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from batchcompute.hooks import CallContext, LogContext, ObjectStore, RegistrationContext, Section, hookimpl
from batchcompute_oss.settings import NAME, Settings

if TYPE_CHECKING:
    from batchcompute_oss.store import OssStore

_LOCAL = "local"


@hookimpl
def register_settings(ctx: RegistrationContext) -> Iterable[Section]:
    """Register the table `[oss]`."""
    return (Section(NAME, Settings),)


@hookimpl
def object_store(ctx: CallContext) -> ObjectStore | None:
    """Return the store at the configured endpoint, else at that of the region, else at that which the service names.

    None for region local, which has its own way to its folder, and where no endpoint is known.
    """
    if ctx.region.transport == _LOCAL or ctx.find_credentials is None or ctx.find_retry_policy is None:
        return None
    settings = ctx.config.sections.get(NAME, Settings())
    endpoint = settings.endpoint or ctx.region.oss_endpoint
    if endpoint is None and ctx.find_oss_endpoint is not None:
        endpoint = ctx.find_oss_endpoint()
    if endpoint is None:
        return None
    from batchcompute_oss.store import OssStore

    kept = ctx.state.of(_Kept)
    if kept.store is None or kept.endpoint != endpoint:  # a service may have moved
        kept.endpoint = endpoint
        kept.store = OssStore(
            endpoint, settings, ctx.region.name, ctx.config, ctx.find_credentials, ctx.find_retry_policy
        )
    return kept.store


@hookimpl
def fetch_log(ctx: LogContext) -> BinaryIO | None:
    """Open the log of a task with a redirect path: it is an object. None for others, for region local and for one that is absent.

    A service of region local keeps the log of an earlier attempt beside it. Raises LookupError if there is none.
    """
    if ctx.region.transport == _LOCAL or not ctx.redirect_path or ctx.open_object is None:
        return None
    uri = f"{ctx.redirect_path.rstrip('/')}/{ctx.stream}.{ctx.job_id}.{ctx.task_name}.{ctx.instance_id}"  # protocol 2.9
    earlier = ctx.attempt is not None and ctx.attempt != ctx.newest_attempt
    if earlier:
        uri += f".attempt-{ctx.attempt}"
    try:
        return ctx.open_object(uri)
    except FileNotFoundError:
        if earlier:
            raise LookupError(f"there is no log of attempt {ctx.attempt}: no object {uri}") from None
        return None


class _Kept:
    """The store of a Client: it has the connections."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.store: OssStore | None = None
