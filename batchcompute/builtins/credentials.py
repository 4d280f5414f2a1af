"""Explicit credentials: the ones that were given to the Client."""

from __future__ import annotations

from ..credentials import Credentials
from ..hooks import CallContext, hookimpl


@hookimpl(trylast=True)
def resolve_credentials(ctx: CallContext) -> Credentials | None:
    """The Client's own credentials; declines when it was given none."""
    return ctx.credentials
