"""Keeps the workers of a cluster running: those that are missing are started, after a pause that grows while they fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from distributed import Scheduler

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0


class Starter(Protocol):
    """Starts workers of one kind by name."""

    @property
    def names(self) -> Collection[str]:
        """The workers."""

    async def start(self, name: str) -> None:
        """Start the worker. Raises OSError, RuntimeError, ValueError."""

    async def is_there(self, name: str) -> bool:
        """Check if what was started for this worker may still become, or be, one. Raises OSError, RuntimeError."""

    async def close(self) -> None:
        """End all workers."""


@dataclass
class _Trial:
    pause: float = 0.0
    next: float = 0.0


async def keep(scheduler: Scheduler, starter: Starter) -> None:
    """Look after them, for ever."""
    trials = {name: _Trial() for name in starter.names}
    while True:
        connected = {str(worker.name) for worker in scheduler.workers.values()}
        for name, trial in trials.items():
            now = time.monotonic()
            if name in connected:
                trial.pause = 0.0
            elif now >= trial.next:
                await _look(starter, name, trial, now)
        await asyncio.sleep(_LOOK_SECONDS)


async def _look(starter: Starter, name: str, trial: _Trial, now: float) -> None:
    try:
        if await starter.is_there(name):
            return
        trial.pause = min(max(_FIRST_PAUSE, 2 * trial.pause), _LONGEST_PAUSE)
        trial.next = now + trial.pause
        await starter.start(name)
        _log.info("the worker %s is started", name)
    except (OSError, RuntimeError, ValueError) as error:
        _log.warning("the worker %s cannot be started: %s", name, error)


async def watch_clients(scheduler: Scheduler, linger: float) -> None:
    """Return when there was no client for `linger` seconds: the service has ended, or has nothing to do."""
    alone_since = time.monotonic()
    while time.monotonic() - alone_since < linger:
        if any(name != "fire-and-forget" for name in scheduler.clients):
            alone_since = time.monotonic()
        await asyncio.sleep(_LOOK_SECONDS)
