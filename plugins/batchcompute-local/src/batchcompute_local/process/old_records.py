"""Requests for a runner of version 3.0 that still has programs when a newer daemon starts. May go with 4.0.

Such a runner greets without a version. What it reports, and its journal, need no translation: the records that it knows
have kept their names, and fields that came later have defaults. What it is asked is said in its own words here.
"""

from __future__ import annotations

from typing import Any

from batchcompute_local.records import Acknowledge, Order, Request, Start, fields_of


def translate_request(request: Request) -> dict[str, Any]:
    """The request as version 1 has it."""
    match request:
        case Start(orders, slots):
            return {"op": "start", "slots": slots, "orders": [_translate_order(order) for order in orders]}
        case Acknowledge(attempts):
            return {"op": "ack", "attempts": attempts}
        case _:
            return fields_of(request)


def _translate_order(order: Order) -> dict[str, Any]:
    return {
        "attempt": order.attempt,
        "argv": order.argv,
        "cwd": order.cwd,
        "env": order.environment,
        "stdout": order.stdout,
        "stderr": order.stderr,
        "timeout": order.timeout,
        "grace": order.grace_seconds,
    }
