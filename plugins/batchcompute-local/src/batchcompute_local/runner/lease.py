"""The lease of a runner on another machine than its service: how long its programs may run without a word of the service.

The boot clock measures it, which nobody sets and which goes on while the machine sleeps. Standard library only.
"""

from __future__ import annotations

from batchcompute_local.clocks import uptime

LOOK_SECONDS = 0.5
"""How often the boot clock is looked at: a wait does not go on while the machine sleeps."""


class Lease:
    """One per runner. Without a first `renew` there is no limit; one that has ended is not renewed any more."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._has_ended = False

    def renew(self, until: float) -> None:
        """Let programs run until `until` (seconds of the boot clock), or longer if that was allowed before."""
        self._until = until if self._until is None else max(self._until, until)

    def has_ended(self) -> bool:
        """Return whether the programs are to be ended. Called after each wait."""
        self._has_ended = self._has_ended or (self._until is not None and uptime() >= self._until)
        return self._has_ended

    def wait(self) -> float | None:
        """Seconds until the next look; None if there is no lease."""
        if self._until is None or self._has_ended:
            return None
        return max(0.0, min(LOOK_SECONDS, self._until - uptime()))
