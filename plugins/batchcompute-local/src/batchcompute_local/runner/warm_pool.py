"""The warm spawners of one runner, by what their interpreters have. One begins when a program found none free, one at a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from batchcompute_local.records import Order
from batchcompute_local.runner.spawner import Spawner, Warmth

_AGAIN_SECONDS = 60.0
"""After this, one is started again of which the last was never ready."""
_MOST = max(16, 2 * (os.cpu_count() or 1))
"""Interpreters at once: each different set of variables has its own, and a job may have any number of sets."""


def find_warmth(order: Order) -> Warmth | None:
    """Return what the interpreter of `order` begins with if a warm one is wanted, else None."""
    if order.warm is None:
        return None
    named = [name for name in order.warm.variables if name in order.environment]
    return order.argv[0], order.warm.modules, tuple((name, order.environment[name]) for name in named)


class WarmPool:
    """Which warm spawners are free. `make` starts one; it returns None if it cannot."""

    def __init__(self, make: Callable[[Warmth], Spawner | None]) -> None:
        self._make = make
        self._free: dict[Warmth, list[Spawner]] = {}
        self._starting: dict[Warmth, Spawner] = {}
        self._not_before: dict[Warmth, float] = {}
        self._count = 0

    def take(self, warmth: Warmth) -> Spawner | None:
        """Return a spawner that is ready; None if none is, and then one is started for later programs."""
        free = self._free.get(warmth)
        if free:
            return free.pop()
        starting = self._starting.get(warmth)
        if starting is not None:
            if not starting.is_ready():
                return None
            del self._starting[warmth]
            return starting
        if self._count < _MOST and time.monotonic() >= self._not_before.get(warmth, 0.0):
            made = self._make(warmth)
            if made is None:
                self._put_off(warmth)
            else:
                self._starting[warmth] = made
                self._count += 1
        return None

    def give_back(self, warmth: Warmth, spawner: Spawner) -> None:
        """Note that `spawner` is free again."""
        self._free.setdefault(warmth, []).append(spawner)

    def remove(self, warmth: Warmth, spawner: Spawner, code: int) -> None:
        """Note that `spawner` has ended, with this exit code (the negative signal)."""
        self._count -= 1
        free = self._free.get(warmth, [])
        if spawner in free:
            free.remove(spawner)
            if not free:
                del self._free[warmth]
        was_starting = self._starting.get(warmth) is spawner
        if was_starting:
            del self._starting[warmth]
        if not spawner.is_usable or not (was_starting or code):
            return  # it was ended, or had nothing to do
        when = "before it was ready, see above" if was_starting else f"with {code}"
        sys.stderr.write(
            f"runner: a warm {warmth[0]} ended {when}; meanwhile programs begin in interpreters of their own\n"
        )
        if was_starting:
            self._put_off(warmth)

    def _put_off(self, warmth: Warmth) -> None:
        now = time.monotonic()
        self._not_before = {each: until for each, until in self._not_before.items() if until > now}
        self._not_before[warmth] = now + _AGAIN_SECONDS
