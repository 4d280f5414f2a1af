"""Reports that could not be stored, not even without what they say: they are tried again, with pauses that double."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from batchcompute_local.executors.base import Exited

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Unstored:
    """Until such a report is stored, the executor keeps it: it must be acknowledged some day."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pauses: dict[str, float] = {}
        self._waiting: dict[str, tuple[float, Exited]] = {}

    def add(self, event: Exited) -> None:
        """Try it again after a pause, which is twice the last one for this attempt."""
        pause = min(max(_FIRST_PAUSE, 2 * self._pauses.get(event.attempt, 0.0)), _LONGEST_PAUSE)
        self._pauses[event.attempt] = pause
        self._waiting[event.attempt] = self._clock() + pause, event

    def take_due(self) -> list[Exited]:
        """Take those whose pause is over."""
        if not self._waiting:
            return []
        now = self._clock()
        due = [event for until, event in self._waiting.values() if now >= until]
        for event in due:
            del self._waiting[event.attempt]
        return due

    def note_stored(self, attempts: Sequence[str]) -> None:
        """Forget these attempts, whose ends are stored."""
        if self._pauses:
            for attempt in attempts:
                self._pauses.pop(attempt, None)
                self._waiting.pop(attempt, None)

    def wait(self) -> float | None:
        """Return the seconds until one is due; None if there is none."""
        if not self._waiting:
            return None
        return max(0.0, min(until for until, _ in self._waiting.values()) - self._clock())
