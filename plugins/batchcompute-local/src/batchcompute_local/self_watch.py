"""What the daemon looks at in each tick: its lock, its folder, the clock and the runner. It heals, or says, what is wrong."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable

from batchcompute_local.clocks import JUMP_SECONDS, SteadyClock
from batchcompute_local.filelocks import open_lock
from batchcompute_local.paths import Layout
from batchcompute_local.unixsocket import identify

_log = logging.getLogger(__name__)


class SelfWatch:
    """One per daemon, which holds `lock`, the open lock file. `trouble` tells what keeps programs from being started."""

    def __init__(self, layout: Layout, lock: int, clock: SteadyClock, trouble: Callable[[], str]) -> None:
        self._layout = layout
        self._lock = lock
        self._clock = clock
        self._trouble = trouble
        self._folder = identify(layout.root)
        self._jumped = ""

    def look(self) -> bool:
        """Look once. False if the daemon has to end: its folder is gone, or belongs to another daemon."""
        self._trouble()  # it logs what changes
        jump = self._clock.look()
        if jump:
            way = "ahead" if jump > 0 else "back"
            _log.warning("the clock of this machine was set %s by %.0f seconds", way, abs(jump))
            self._jumped = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time()))
        if identify(self._layout.root) != self._folder:
            _log.error("the data folder %s was moved or removed: the daemon ends", self._layout.root)
            return False
        return self._has_lock() or self._lock_again()

    def troubles(self) -> list[str]:
        """Return what is wrong at the moment, in words."""
        found = [self._trouble()]
        difference = self._clock.difference
        if self._jumped and abs(difference) > JUMP_SECONDS:
            way = "ahead" if difference > 0 else "back"
            found.append(
                f"the clock of this machine was set {way} by {abs(difference):.0f} seconds since the service was started, the "
                f"last time at {self._jumped}"
            )
        return [text for text in found if text]

    def _has_lock(self) -> bool:
        try:  # the lock may be a link, which was followed when it was opened
            return os.path.samestat(os.stat(self._layout.lock), os.fstat(self._lock))
        except OSError:
            return False

    def _lock_again(self) -> bool:
        try:
            handle = open_lock(self._layout.lock)
        except OSError as error:
            _log.error("%s was replaced, and cannot be used: %s: the daemon ends", self._layout.lock, error.strerror)
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            _log.error("%s was replaced, and another process holds it: the daemon ends", self._layout.lock)
            return False
        _log.warning("%s was removed or replaced; it is made and locked again", self._layout.lock)
        os.close(self._lock)
        self._lock = handle
        return True
