"""The service's time, learned whenever it refuses ours."""

from __future__ import annotations

import time

from .error_answers import time_of
from .errors import BatchComputeError, ClockSkewWarning
from .locks import ForkSafeLock
from .messages import warn_caller

# A Date has whole seconds, and takes a moment to arrive: clocks that differ by less are the same.
_SAME_SECONDS = 2.0


class ServiceTime:
    """Seconds that the service's clock is ahead of ours, for the calls of one Client. Thread-safe.

    It is learned from each refusal, in either direction: this machine's clock may be put right at any time.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        self._lock = ForkSafeLock()

    def learn(self, refusal: BatchComputeError, used: float) -> bool:
        """Return whether to send the request again, after the service has refused one that was signed with offset `used`.

        Of many threads that were refused with one offset the first learns the new one, with a ClockSkewWarning; others take it.
        """
        there = time_of(refusal)
        if there is None:
            return False
        with self._lock:
            if self.offset != used:
                return True
            offset = there - time.time()
            if abs(offset - used) < _SAME_SECONDS:  # the request was long on its way
                return True
            self.offset = offset if abs(offset) >= _SAME_SECONDS else 0.0
        if self.offset:
            warn_caller(
                f"this machine's clock is {-offset:+.0f} seconds off the service's; the service's time is used",
                ClockSkewWarning,
            )
        return True
