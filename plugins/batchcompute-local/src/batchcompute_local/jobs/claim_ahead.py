"""How many short instances are claimed ahead of a free slot, so that many ends and claims share a commit. No I/O."""

from __future__ import annotations

_UNKNOWN_SECONDS = 1.0
_SHORTEST_SECONDS = 0.0005
_LONGEST_SECONDS = 3600.0


class ClaimAhead:
    """Estimate of how soon slots become free, by how long the latest instances ran.

    Only as many are claimed ahead as will probably begin within `ahead_seconds`, so that a new job of a higher priority hardly
    waits.
    """

    __slots__ = ("_ahead_seconds", "_seconds")

    def __init__(self, ahead_seconds: float) -> None:
        self._ahead_seconds = ahead_seconds
        self._seconds = _UNKNOWN_SECONDS

    def note_end(self, seconds: float) -> None:
        """Note that an instance ended that ran for `seconds`."""
        self._seconds += (max(_SHORTEST_SECONDS, seconds) - self._seconds) / 4

    def note_return(self) -> None:
        """Note that an instance claimed ahead did not begin in time, so that less is claimed ahead each time."""
        self._seconds = min(_LONGEST_SECONDS, max(2 * self._seconds, _UNKNOWN_SECONDS))

    def per_slot(self) -> float:
        """Return how many instances a slot will probably begin soon, besides the one that runs now."""
        return self._ahead_seconds / self._seconds

    def count(self, slots: int) -> int:
        """Return how many instances will probably begin soon, besides those that run now."""
        return int(slots * self._ahead_seconds / self._seconds)
