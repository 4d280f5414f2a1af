"""Work items for the engine's turn: something to run, and where the answer goes."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Event
from batchcompute_local.jobs.turn import Turn

_MOST_PER_TURN = 1000
_GATHER_SECONDS = 0.01


@dataclass(frozen=True, eq=False)
class WorkItem:
    """`run` raises ServiceError for what it refuses, before it changes anything."""

    run: Callable[[Turn], Any]
    future: Future[Any]

    def begins(self) -> bool:
        """Return whether it is still wanted; it cannot be cancelled any more then."""
        future = self.future
        return not future.cancelled() and (future.running() or future.set_running_or_notify_cancel())

    def outcome(self, turn: Turn) -> tuple[Any, ServiceError | None]:
        """Run it; return its answer or its refusal. Raises what else it raises: what it changed must be undone then."""
        try:
            return self.run(turn), None
        except ServiceError as error:
            return None, error

    def fail(self, error: ServiceError) -> None:
        """Answer `error`, if anybody still waits."""
        if self.begins():
            self.future.set_exception(error)


class Inbox:
    """Work items and events of the executor that wait for the next turn. Filled from any thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[WorkItem | Event | None] = queue.SimpleQueue()
        self.closed = False
        """Set by `take` when no turn may follow."""

    def put(self, item: WorkItem | Event) -> None:
        """Add `item` to the next turn."""
        self._queue.put(item)

    def close(self) -> None:
        """Let the next turn be the last one."""
        self._queue.put(None)

    def take(self, timeout: float | None, wanted: int = 0) -> list[WorkItem | Event]:
        """Wait up to `timeout` seconds (None: for ever) for something, and take all there is, within reason.

        Wait a moment more for so many events as are `wanted`, unless a work item is there, for which somebody waits.
        """
        items: list[WorkItem | Event] = []
        try:
            item = self._queue.get(timeout=timeout) if timeout != 0.0 else self._queue.get_nowait()
            until = time.monotonic() + _GATHER_SECONDS
            while item is not None:
                items.append(item)
                if len(items) >= _MOST_PER_TURN:
                    return items
                if isinstance(item, WorkItem):
                    wanted = 0
                left = until - time.monotonic() if len(items) < wanted else 0.0
                item = self._queue.get(timeout=left) if left > 0.0 else self._queue.get_nowait()
            self.closed = True
        except queue.Empty:
            pass
        return items
