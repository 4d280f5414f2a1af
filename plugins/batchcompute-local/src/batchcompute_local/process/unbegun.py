"""Reports of attempts that did not begin: the end of one that cannot, the return of one for which there is no room."""

from __future__ import annotations

import logging
import queue
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial

from batchcompute_local.executors.base import Delayed, Exited, Launch, Returned, Sink
from batchcompute_local.process.patience import Workers, on_no_answer
from batchcompute_local.process.preparing import Preparer
from batchcompute_local.process.sending import Sending

_log = logging.getLogger(__name__)
_FULL_SECONDS = 1.0


class Unbegun:
    """One per executor. Reports go to `sink`. `pool` has the threads for logs. Thread-safe."""

    def __init__(self, sink: Sink, preparer: Preparer, pool: Workers, sending: Sending) -> None:
        self._sending = sending
        self._sink = sink
        self._preparer = preparer
        self._pool = pool
        self._returning: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()

    def end(self, launch: Launch, reason: str) -> None:
        """Report the end of an attempt; without a `reason` it was stopped."""
        end = Exited(launch.attempt, reason=reason or "stopped", ended=time.time(), host=socket.gethostname())
        self._sink(end)

    def explain_and_end(self, failures: deque[tuple[Launch, str]]) -> None:
        """Write into their logs why these cannot run, and report it. Takes them off, so that another thread goes on with the rest
        if this one waits for a log: it may be on a network folder that hangs.
        """
        with suppress(IndexError):
            while True:
                launch, reason = failures.popleft()
                on_no_answer(partial(self._end_unexplained, launch, reason))
                self._preparer.explain(launch, reason)
                self._sending.end(launch.attempt, partial(self.end, launch, reason), self._preparer.logs(launch))

    def explain(self, launch: Launch, reason: str) -> None:
        """Have it written into its log why an attempt ended that is reported already."""
        self._pool.submit(partial(self._preparer.explain, launch, reason))

    def return_later(self, attempt: str, reason: str) -> None:
        """Report that an attempt cannot begin yet, and return it a second later."""
        _log.warning("%s cannot begin: %s", attempt, reason)
        self._sink(Delayed(attempt, reason))
        self._returning.put((time.monotonic() + _FULL_SECONDS, attempt))

    def run(self) -> None:
        """Return attempts when it is time, until `close`."""
        while (one := self._returning.get()) is not None:
            due, attempt = one
            time.sleep(max(0.0, due - time.monotonic()))
            self._sink(Returned(attempt))

    def close(self) -> None:
        """Return nothing more."""
        self._returning.put(None)

    def _end_unexplained(self, launch: Launch, reason: str, no_answer: str) -> None:
        self.end(launch, reason)
