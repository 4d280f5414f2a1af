"""Retry with tenacity: exponential back-off with full jitter. Imported for its policy only after a first failure."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from ..errors import ClientError
from ..hooks import CallContext, RetryPolicy, hookimpl
from ..operations import may_repeat

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying


@hookimpl(trylast=True)
def retry_policy(ctx: CallContext) -> RetryPolicy:
    """The default one."""
    return default_retry_policy(ctx)


def default_retry_policy(ctx: CallContext) -> Retrying:
    """Repeats what may be repeated, within `ctx.config.retry`, `ctx.deadline` and the call's own timeout.

    A `tenacity.Retrying`: its `copy` takes further arguments, such as `before_sleep`.
    """
    from tenacity import Retrying, retry_if_exception

    config = ctx.config.retry
    clock = ctx.clock
    ends = clock.monotonic() + config.deadline
    if ctx.deadline is not None:
        ends = min(ends, ctx.deadline)

    def wait(state: RetryCallState) -> float:
        ceiling = min(config.max_wait, config.base_wait * 2.0 ** (state.attempt_number - 1))
        jitter = random.uniform(0, ceiling)  # noqa: S311  # not a secret
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ClientError) else None
        return max(jitter, asked or 0.0)

    def stop(state: RetryCallState) -> bool:
        return state.attempt_number >= config.attempts or clock.monotonic() + state.upcoming_sleep >= ends

    return Retrying(
        retry=retry_if_exception(partial(may_repeat, repeatable=ctx.repeatable)),
        stop=stop,
        wait=wait,
        sleep=clock.sleep,
        reraise=True,
    )
