"""Events of every attempt and call, through structlog onto the standard logger `batchcompute`.

Off, as it is until somebody configures logging, it costs one level check. structlog is never configured globally.
Nothing secret is ever put into an event: no headers, no bodies, no credentials.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from ..errors import ClientError
from ..hooks import AttemptContext, CallResult, hookimpl

_logger = logging.getLogger("batchcompute")
_logger.addHandler(logging.NullHandler())


@cache
def _structured() -> Any:
    """A structlog logger of our own over the standard one; made when the first event is wanted."""
    import structlog

    return structlog.wrap_logger(
        _logger,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


@hookimpl(trylast=True)
def after_attempt(ctx: AttemptContext) -> None:
    """`attempt` at DEBUG."""
    if _logger.isEnabledFor(logging.DEBUG):
        _structured().debug("attempt", number=ctx.number, **_outcome(ctx, ctx.elapsed))


@hookimpl(trylast=True)
def after_call(ctx: CallResult) -> None:
    """`call` at INFO, or WARNING when it failed."""
    level = logging.INFO if ctx.error is None else logging.WARNING
    if _logger.isEnabledFor(level):
        log = _structured()
        (log.info if ctx.error is None else log.warning)("call", attempts=ctx.attempts, **_outcome(ctx, ctx.elapsed))


def _outcome(ctx: AttemptContext | CallResult, elapsed: float) -> dict[str, object]:
    event: dict[str, object] = {
        "operation": ctx.call.operation.name,
        "region": ctx.call.region.name,
        "elapsed": round(elapsed, 6),
        "bytes_sent": len(ctx.call.request.body),
    }
    if ctx.response is not None:
        event |= {
            "status": ctx.response.status,
            "request_id": ctx.response.request_id,
            "bytes_received": len(ctx.response.body),
        }
    if ctx.error is not None:
        event["error"] = type(ctx.error).__name__
    if isinstance(ctx.error, ClientError):
        event["code"] = ctx.error.code
    return event
