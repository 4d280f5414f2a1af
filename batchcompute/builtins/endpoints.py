"""The cloud regions (protocol 1.1), and the endpoint that a region names."""

from __future__ import annotations

from ..hooks import CallContext, RegistrationContext, hookimpl
from ..regions import CLOUD_REGIONS, Region
from ..wire import Endpoint


@hookimpl(trylast=True)
def register_regions(ctx: RegistrationContext) -> tuple[Region, ...]:
    """CN_QINGDAO, CN_SHENZHEN and CN_HANGZHOU."""
    return CLOUD_REGIONS


@hookimpl(trylast=True)
def resolve_endpoint(ctx: CallContext) -> Endpoint:
    """Return the region's own endpoint."""
    return ctx.region.endpoint
