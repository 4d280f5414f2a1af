"""Whether the state can be written, since when it cannot, and why. The log has it at once, then each minute, and its end."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime

from batchcompute_local.errors import ServiceError

_log = logging.getLogger(__name__)
_LOG_SECONDS = 60.0
_RETRY_AFTER = 1


def is_fault_of_item(error: sqlite3.Error) -> bool:
    """Check if SQLite cannot store a value. Everything else is the fault of the disk: it would be the same with other values."""
    return isinstance(
        error, sqlite3.DataError | sqlite3.IntegrityError | sqlite3.InterfaceError | sqlite3.ProgrammingError
    )


class Writing:
    """Noted by the engine; read from any thread."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self.error = ""
        """What SQLite says, such as `database or disk is full`; empty while the state can be written."""
        self.since = 0.0
        """The first failure, in epoch seconds."""
        self.reports = 0
        """Reports of an executor that wait until they can be stored."""
        self._clock = clock
        self._monotonic = monotonic
        self._turns = 0
        self._logged = 0.0

    def note(self, error: Exception, reports: int) -> None:
        """Note a turn that could not be written; `reports` of it wait."""
        now, text = self._monotonic(), str(error) or type(error).__name__
        if not self.error:
            self.since, self._turns = self._clock(), 0
        self._turns += 1
        if text != self.error or now - self._logged >= _LOG_SECONDS:
            self._logged = now
            what = "the state cannot be written: %s (%d turns, %d reports wait)"
            _log.error(what, text, self._turns, reports, exc_info=None if isinstance(error, sqlite3.Error) else error)
        self.error, self.reports = text, reports

    def end(self) -> None:
        """Note that the state was written."""
        if self.error:
            _log.info("the state is written again, after %d turns that could not be: %s", self._turns, self.error)
            self.error, self.since, self.reports = "", 0.0, 0

    def describe(self) -> str:
        """Say what is wrong; empty if nothing is."""
        return f"the service cannot write its state: {self.error}" if self.error else ""

    def notes(self) -> list[str]:
        """Return what the status says: since when, why, and how many reports wait; empty if nothing is wrong."""
        error, since, reports = self.error, self.since, self.reports
        if not error:
            return []
        waiting = f"; {reports} reports of programs wait" if reports else ""
        return [
            f"its state cannot be written since {datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}: {error}{waiting}"
        ]

    def refusal(self) -> ServiceError:
        """Return the answer to a change, which was not made."""
        message = f"The service cannot write its state: {self.error}. Nothing was changed; send it again later."
        return ServiceError(503, "ServiceUnavailable", message, _RETRY_AFTER)
