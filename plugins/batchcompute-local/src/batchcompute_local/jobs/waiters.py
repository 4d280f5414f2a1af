"""Who wants to hear that a job has ended: requests that `Prefer: wait` (RFC 7240) for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from batchcompute_local.jobs.model import Job
from batchcompute_local.jobs.views import job_view

View = dict[str, Any]
_Tell = Callable[[View | None], None]
LONGEST_SECONDS = 30
"""How long a request may wait."""


def preferred_seconds(values: Iterable[str]) -> int:
    """What the Prefer headers of a request ask for, in seconds; 0 if they do not ask to wait, or not well (then ignored)."""
    for preference in ",".join(values).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return min(int(seconds[:9]), LONGEST_SECONDS)  # thousands of digits would take their time
    return 0


class JobWaiters:
    """Tells whoever wants to know how a job ended. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, set[_Tell]] = {}
        self._closed = False

    def __len__(self) -> int:
        """How many wait."""
        with self._lock:
            return sum(map(len, self._wanted.values()))

    @asynccontextmanager
    async def of(self, job: str) -> AsyncIterator[asyncio.Future[View | None]]:
        """The view of `job` once it has ended; None when nobody may wait any more."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[View | None] = loop.create_future()

        def take(view: View | None) -> None:
            if not ended.done():
                ended.set_result(view)

        def tell(view: View | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(take, view)

        with self._lock:
            self._wanted.setdefault(job, set()).add(tell)
            if self._closed:
                take(None)
        try:
            yield ended
        finally:
            with self._lock:
                left = self._wanted.get(job, set())
                left.discard(tell)
                if not left:
                    self._wanted.pop(job, None)

    def tell(self, jobs: Iterable[Job]) -> None:
        """These have ended, and that is on the disk."""
        for job in jobs:
            with self._lock:
                wanted = self._wanted.pop(job.id, ())
            for tell in wanted:
                tell(job_view(job))

    def close(self) -> None:
        """Let everybody go; who comes later does not wait."""
        with self._lock:
            self._closed = True
            wanted = [tell for each in self._wanted.values() for tell in each]
        for tell in wanted:
            tell(None)
