"""Times for people."""

from __future__ import annotations

import time

from ..hooks import TimestampContext, hookimpl


@hookimpl(trylast=True)
def humanize_timestamp(ctx: TimestampContext) -> str | None:
    """`YYYY-MM-DD HH:MM:SS` in local time; declines a time that no calendar has."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ctx.seconds))
    except (OverflowError, ValueError, OSError):
        return None
