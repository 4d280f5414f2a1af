"""Requests that wait for the end of a job: they have the header `Prefer: wait` (RFC 7240)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from batchcompute_local.jobs.model import Job
from batchcompute_local.jobs.views import job_view

View = dict[str, Any]
_Notify = Callable[[View | None], None]
LONGEST_SECONDS = 30
"""The longest time that a request may wait."""


def preferred_seconds(values: Iterable[str]) -> int:
    """Read from the Prefer headers how many seconds to wait; 0 if they do not ask for it or cannot be read."""
    for preference in ",".join(values).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return min(int(seconds[:9]), LONGEST_SECONDS)  # thousands of digits would take their time
    return 0


class JobWaiters:
    """Notifies requests of the ends of jobs. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, set[_Notify]] = {}
        self._closed = False

    def __len__(self) -> int:
        """Return how many wait."""
        with self._lock:
            return sum(map(len, self._wanted.values()))

    @asynccontextmanager
    async def of(self, job: str) -> AsyncIterator[asyncio.Future[View | None]]:
        """Yield a future: the view of `job` once it has ended, None when nobody may wait any more."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[View | None] = loop.create_future()

        def take(view: View | None) -> None:
            if not ended.done():
                ended.set_result(view)

        def notify(view: View | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(take, view)

        with self._lock:
            self._wanted.setdefault(job, set()).add(notify)
            if self._closed:
                take(None)
        try:
            yield ended
        finally:
            with self._lock:
                left = self._wanted.get(job, set())
                left.discard(notify)
                if not left:
                    self._wanted.pop(job, None)

    def notify(self, jobs: Iterable[Job]) -> None:
        """Pass on the views of these jobs, whose ends are on the disk."""
        for job in jobs:
            with self._lock:
                wanted = self._wanted.pop(job.id, ())
            for notify in wanted:
                notify(job_view(job))

    def close(self) -> None:
        """Release all requests; later ones do not wait."""
        with self._lock:
            self._closed = True
            wanted = [notify for each in self._wanted.values() for notify in each]
        for notify in wanted:
            notify(None)
