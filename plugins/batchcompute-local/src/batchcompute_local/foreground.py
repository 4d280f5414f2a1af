"""Output of a service in the foreground: stdout and stderr may be a terminal that is stopped, or a pipe that nobody reads.

A write to those has no time limit. So a thread writes, and what does not fit in its queue is left out: the log has all of it.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from contextlib import suppress

_STDERR = 2
_MOST_LINES = 1000
_END_SECONDS = 1.0


class PatientStream:
    """Writes text to the descriptor `target` in a thread. Whoever calls it never waits, but for `close`.

    Not to a file object: the interpreter would wait for its buffer when it ends.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._queue: queue.Queue[str] = queue.Queue(_MOST_LINES)
        self._thread = threading.Thread(target=self._run, name="foreground", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Have `text` written soon, unless too much waits already."""
        with suppress(queue.Full):
            self._queue.put_nowait(text)

    def close(self) -> None:
        """Wait a moment until all is written."""
        deadline = time.monotonic() + _END_SECONDS
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks and (left := deadline - time.monotonic()) > 0:
                self._queue.all_tasks_done.wait(left)

    def _run(self) -> None:
        while True:
            data = self._queue.get().encode("utf-8", "backslashreplace")
            with suppress(OSError):  # it may be closed
                while data:
                    data = data[os.write(self._target, data) :]
            self._queue.task_done()


class ForegroundHandler(logging.Handler):
    """Writes log lines to stderr by a PatientStream."""

    def __init__(self) -> None:
        super().__init__()
        self._out = PatientStream(_STDERR)

    def emit(self, record: logging.LogRecord) -> None:
        """Have one line written."""
        try:
            self._out.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Wait a moment until all is written. logging calls it when the process ends."""
        self._out.close()
        super().close()
