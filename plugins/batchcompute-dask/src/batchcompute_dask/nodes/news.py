"""What a node has to tell: final events until they are acknowledged, others once."""

from __future__ import annotations

import time

from batchcompute_local.executors.base import Event

_AGAIN_SECONDS = 3.0
"""A final event is sent again if it is not acknowledged."""


class News:
    """One per node, for one thread."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[Event, float]] = {}
        """With the time when they were sent last."""
        self._fresh: list[str] = []
        self._others: list[Event] = []

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._ended

    @property
    def is_fresh(self) -> bool:
        """True if there is something that was not sent yet."""
        return bool(self._fresh or self._others)

    def add(self, event: Event) -> None:
        """Tell this once."""
        self._others.append(event)

    def end(self, attempt: str, event: Event) -> None:
        """Tell this until it is acknowledged."""
        self._ended[attempt] = event, 0.0
        self._fresh.append(attempt)

    def acknowledge(self, attempt: str) -> None:
        """It is on the service's disk."""
        self._ended.pop(attempt, None)

    def take(self) -> tuple[Event, ...]:
        """Return what is to be sent now."""
        now = time.monotonic()
        due = [attempt for attempt in self._fresh if attempt in self._ended]
        if len(self._ended) > len(due):  # the oldest are first
            for attempt, (_, sent) in self._ended.items():
                if now - sent < _AGAIN_SECONDS:
                    break
                if sent:
                    due.append(attempt)
        found = [*self._others, *(self._ended[attempt][0] for attempt in due)]
        for attempt in due:
            self._ended[attempt] = self._ended.pop(attempt)[0], now
        self._fresh, self._others = [], []
        return tuple(found)

    def take_all(self) -> tuple[Event, ...]:
        """Return all final events, sent or not."""
        self._others = []
        self._fresh = [*self._ended]
        return self.take()
