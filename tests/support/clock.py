"""The fake clock."""

from __future__ import annotations


class Clock:
    """A clock that moves only when somebody sleeps; `naps` are the lengths."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now
