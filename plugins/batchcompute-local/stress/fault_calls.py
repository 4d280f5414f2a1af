"""Calls that are measured: when each began and ended, how, and what refused it on the way; one JSON object a line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchcompute_local.errors import DaemonError

from batchcompute import AmbiguousResultError, Client, NotFoundError, StateConflictError
from batchcompute.errors import BatchComputeError, ClientError, RequestTimeoutError, TransportError
from batchcompute.hooks import AttemptContext, hookimpl

HANG_SECONDS = 10.0
"""A call that takes so much longer than its timeout hangs."""


class Refusals:
    """A plugin that counts the attempts that were refused with 503, with Retry-After and without."""

    def __init__(self) -> None:
        self.asked = self.blunt = 0

    @hookimpl
    def after_attempt(self, ctx: AttemptContext) -> None:
        if isinstance(ctx.error, ClientError) and ctx.error.status == 503:
            if ctx.error.retry_after is None:
                self.blunt += 1
            else:
                self.asked += 1


class Measured:
    """Makes calls with one Client, and writes down how each ended: kind, times, outcome, refusals on the way."""

    def __init__(self, output: int, hangs: int) -> None:
        self.output = output
        self.hangs = hangs
        self.fresh()

    def fresh(self) -> None:
        self.refusals = Refusals()
        self.client = Client("local", plugins=[self.refusals])

    def call(self, kind: str, do: Callable[..., Any], *arguments: Any, timeout: float) -> tuple[Any, str]:
        """The answer and the outcome."""
        before = self.refusals.asked, self.refusals.blunt
        answer, outcome, detail, queued = None, "done", "", _queued()
        began = time.monotonic()
        try:
            answer = do(*arguments, timeout=timeout)
        except Exception as error:
            outcome, detail = _name(error), f"{type(error).__name__}: {error}"[:1000]
        ended = time.monotonic()
        row = {
            "kind": kind,
            "name": getattr(do, "__name__", ""),
            "about": arguments[0] if arguments and isinstance(arguments[0], str) else "",
            "timeout": timeout,
            "began": began,
            "ended": ended,
            "queued": _queued() - queued,
            "outcome": outcome,
            "asked": self.refusals.asked - before[0],
            "blunt": self.refusals.blunt - before[1],
            "detail": detail,
        }
        os.write(self.output, json.dumps(row).encode() + b"\n")
        return answer, outcome


def _queued() -> float:
    """The seconds that this thread was ready to run and had no processor."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def _name(error: Exception) -> str:
    if isinstance(error, AmbiguousResultError):
        return "unsure"
    if isinstance(error, RequestTimeoutError):
        return "late"
    if isinstance(error, StateConflictError):
        return "conflict"
    if isinstance(error, NotFoundError):
        return "absent"
    if isinstance(error, ClientError) and error.status == 503 and error.retry_after is not None:
        return "refused"
    if isinstance(error, TransportError) and not isinstance(error, DaemonError):
        return "lost"
    return "error" if isinstance(error, BatchComputeError) else "bare error"
