"""The clock of the machine, which somebody may set, against the uptime, which nobody sets. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_SECONDS = 5.0
"""A change of the clock by more is a jump; time servers correct less by and by."""


def uptime() -> float:
    """Return the seconds since the machine was started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Notices jumps of the clock, and tells a time that no jump ahead makes later. Times are epoch seconds."""

    def __init__(self, wall: Callable[[], float] = time.time, uptime: Callable[[], float] = uptime) -> None:
        self._wall = wall
        self._uptime = uptime
        self.begin = self._last = wall() - uptime()
        """When the machine was started (epoch seconds), by the clock as it is now."""

    def least(self) -> float:
        """Return the time for decisions about age: that of the clock, or less if the clock was set ahead since the start."""
        return min(self._wall(), self.begin + self._uptime())

    def look(self) -> float:
        """Return the seconds by which the clock jumped since the last call; 0 if it did not."""
        before, self._last = self._last, self._wall() - self._uptime()
        change = self._last - before
        return change if abs(change) > JUMP_SECONDS else 0.0

    @property
    def difference(self) -> float:
        """Seconds by which the clock was set ahead (back if negative) since the start."""
        return self._wall() - self._uptime() - self.begin
