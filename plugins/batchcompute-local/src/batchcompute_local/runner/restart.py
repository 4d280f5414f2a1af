"""Starts the daemon again that was lost: without it nobody starts the next programs, and programs cannot reach their service.

Only a daemon that broke off without a goodbye is started again, and only while there is something to report to it. Clients
start daemons too, so the start lock is held meanwhile, and nothing is started while another daemon holds the folder.
"""

from __future__ import annotations

import fcntl
import os
import select

from batchcompute_local.detached import LOCK_FD, READY_FD, start_detached
from batchcompute_local.filelocks import is_locked, open_lock
from batchcompute_local.paths import Layout
from batchcompute_local.records import Introduce

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_LOOK_SECONDS = 0.05
_OTHERS_SECONDS = 0.25
_READY_SECONDS = 30.0


class DaemonStarter:
    """One per runner; it adds the pids of daemons to `started`. Times are monotonic seconds.

    The pause before a start doubles each time. It begins anew after a daemon that was connected for a minute.
    """

    def __init__(self, layout: Layout, started: set[int]) -> None:
        self._started = started
        self._layout = layout
        self._introduction: Introduce | None = None
        self._connected_at = 0.0
        self._due: float | None = None
        self._pause = 0.0
        self._lock = -1
        self._ready = -1
        self._patience = 0.0

    def note_connected(self, now: float) -> None:
        """A daemon is there; it has yet to introduce itself."""
        self._introduction = None
        self._due = None
        self._connected_at = now

    def introduce(self, introduction: Introduce) -> None:
        """Learn how to start the daemon that is connected."""
        self._introduction = introduction

    def forget(self) -> None:
        """The daemon says goodbye: it is not started again."""
        self._introduction = None

    def note_lost(self, now: float, is_wanted: bool) -> None:
        """The daemon broke off. `is_wanted`: something of its attempts is still to be reported."""
        if self._introduction is None or not is_wanted:
            return
        if now - self._connected_at >= _LONGEST_PAUSE:
            self._pause = 0.0
        self._due = now + self._pause

    def wait(self, now: float) -> float | None:
        """Seconds until there is something to do; None if there is nothing."""
        if self._ready >= 0:
            return _LOOK_SECONDS
        return None if self._due is None else max(0.0, self._due - now)

    def work(self, now: float) -> str:
        """Start the daemon if it is time, and see whether it is ready. Returns what is to be logged, "" for nothing."""
        if self._ready >= 0:
            return self._look(now)
        if self._due is None or now < self._due or self._introduction is None:
            return ""
        if not self._take_locks():
            self._release()
            self._due = now + _OTHERS_SECONDS  # somebody else is starting one, or has
            return ""
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._due, self._patience = now + self._pause, now + _READY_SECONDS
        # it keeps the start lock until it has its own, whatever becomes of the runner meanwhile
        argv = [*self._introduction.argv, "--ready-fd", str(READY_FD), "--lock-fd", str(LOCK_FD)]
        try:
            pid, self._ready = start_detached(argv, self._introduction.environment, self._layout.log, self._lock)
        except OSError as error:
            self._release()
            return f"the daemon is gone, and {argv[0]} cannot start another: {error.strerror}; {self._what_next()}"
        self._started.add(pid)
        return f"the daemon is gone without a goodbye; another one is started (pid {pid})"

    def _look(self, now: float) -> str:
        readable, _, _ = select.select([self._ready], [], [], 0)
        if not readable and now < self._patience:
            return ""
        ready = bool(readable) and os.read(self._ready, 1) == b"1"
        self._release()
        if ready:
            return ""
        if self._due is not None:
            self._due = now + self._pause
        return f"the daemon did not start, see above; {self._what_next()}"

    def _what_next(self) -> str:
        return f"it is tried again in {self._pause:.0f} seconds"

    def _take_locks(self) -> bool:
        """Take the start lock, and see that no daemon holds its own. False if not."""
        try:
            self._lock = open_lock(self._layout.start_lock)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return not is_locked(self._layout.lock)
        except OSError:
            return False

    def _release(self) -> None:
        for handle in (self._lock, self._ready):
            if handle >= 0:
                os.close(handle)
        self._lock = self._ready = -1
