"""Copies of the database, made by the daemon from time to time in a thread of its own."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from batchcompute_local.damage import DamageError
from batchcompute_local.jobs.copies import QUICK_BYTES, copy_database, newest_time, remove_superfluous
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_INTERVAL_SECONDS = 3600.0
_FIRST_SECONDS = 5.0
"""A new daemon has other things to do first."""
_FREE_BYTES = 256 << 20
_NICE = 10


class Copying:
    """One per daemon. A copy an hour if something has changed, and one at the end while the database is small."""

    def __init__(self, layout: Layout, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._database = layout.database
        self._folder = layout.copies
        self._limits = settings.hourly_copies, settings.daily_copies, settings.max_copies_bytes
        self._clock = clock
        self._copied: object = None
        self._trouble = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copies", daemon=True)

    def start(self) -> None:
        """Make copies until `close`. Nothing happens if the settings want none."""
        if any(self._limits[:2]):
            self._thread.start()

    def close(self) -> None:
        """End the thread; make a last copy if that takes a moment only."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
            with suppress(OSError):
                if self._database.stat().st_size <= QUICK_BYTES:
                    self.copy(lambda: False)

    def troubles(self) -> list[str]:
        """Return what is wrong with the database, in words."""
        return [self._trouble] if self._trouble else []

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        pause = _FIRST_SECONDS
        while not self._closing.wait(pause):
            age = self._clock() - newest_time(self._folder)
            # a copy from the future: the clock was set back
            pause = _INTERVAL_SECONDS - age if 0 <= age < _INTERVAL_SECONDS else 0.0
            if not pause:
                self.copy(self._closing.is_set)
                pause = _INTERVAL_SECONDS

    def copy(self, is_cancelled: Callable[[], bool]) -> None:
        """Make a copy if something has changed since the last one, and remove those that are too many. Logs what fails."""
        try:
            state = self._look()
            if state == self._copied:
                return
            if shutil.disk_usage(self._database.parent).free < self._database.stat().st_size + _FREE_BYTES:
                _log.warning("no copy of %s is made: the disk is almost full", self._database)
                return
            self._trouble = ""
            made = copy_database(self._database, self._folder, self._clock(), is_cancelled)
            if not is_cancelled():
                self._copied = state
            if made is not None:
                remove_superfluous(self._folder, *self._limits)
        except DamageError as damage:
            self._trouble = (
                f"no copy of {self._database} is made, since the copy {damage}. Make a copy of the data folder by hand, then see "
                "`batchcompute local restore --dry-run`"
            )
            _log.error("%s", self._trouble)
        except (OSError, sqlite3.Error) as error:
            _log.warning("no copy of %s is made: %s", self._database, error)

    def _look(self) -> list[tuple[int, int]]:
        """What changes with the database: size and time of its files."""
        found = []
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                facts = os.stat(f"{self._database}{end}")
                found.append((facts.st_size, facts.st_mtime_ns))
        return found
