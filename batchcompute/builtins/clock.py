"""The computer's own clock."""

from __future__ import annotations

import time

from ..hooks import Clock, RegistrationContext, hookimpl


@hookimpl(trylast=True)
def clock(ctx: RegistrationContext) -> Clock:
    """`time.monotonic` and `time.sleep`."""
    return time
