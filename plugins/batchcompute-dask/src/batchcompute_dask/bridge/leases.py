"""How long a node may run programs without a word of the service, and when the service may be certain that it runs none.

No clock is compared with another machine's. A node's lease counts from a time of its own boot clock, which it sent in an
answer; the service counts from the moment when it received that answer. So a delay makes the service late, never early.
"""

from __future__ import annotations

_MARGIN_SECONDS = 5.0
_MARGIN_PART = 0.01


def whole_lease(lease_seconds: float, grace_seconds: float) -> float:
    """Return the seconds after which no program runs on a node, from the receipt of the answer from which its lease counts.

    After the lease a program has `grace_seconds` between SIGTERM and SIGKILL. The margin is for the runner, which looks at its
    clock twice a second, and for clocks that do not run alike.
    """
    return lease_seconds + grace_seconds + _MARGIN_SECONDS + _MARGIN_PART * (lease_seconds + grace_seconds)
