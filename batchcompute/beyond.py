"""What a service knows beyond the API: operations of its own, and what it says of itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from .errors import BatchComputeError, ClientError, DecodeError, NotFoundError
from .hooks import Clock
from .operations import GET_LOG, GET_REGION, A, Call
from .regions import Ranges, Region

_UNKNOWN_PATH = ("InvalidUrlPattern", "InvalidApi.NotFound")
"""The codes with which services refuse a path that they do not know (protocol 2.11)."""
_ASK_AGAIN_SECONDS = 300.0
"""After so long a service is asked again what it did not know: another one may have taken its place."""


class Caller(Protocol):
    """What is needed of a Client's pipeline."""

    @property
    def clock(self) -> Clock: ...

    def call(self, call: Call[A]) -> A: ...

    def read_once(self, call: Call[A]) -> A: ...


class Beyond:
    """Asks the service of one Client. `region` is what is known of it, with what it has said."""

    def __init__(self, caller: Caller, region: Region) -> None:
        self.region = region
        self._caller = caller
        from_now = -math.inf if region.details or not region.declared else math.inf
        self._ask_from = dict.fromkeys((False, True), from_now)  # services of 3.1 know the details alone
        self._ask_region_from = -math.inf

    def call(self, call: Call[A]) -> A | None:
        """Do a call that the API does not have; None where the service does not know it."""
        is_log = call.operation is GET_LOG
        if self._now() < self._ask_from[is_log]:
            return None
        try:
            return self._caller.call(call)
        except ClientError as error:
            if not self._does_not_know(error):
                raise
        self._ask_from[is_log] = self._now() + _ASK_AGAIN_SECONDS
        return None

    def ask_region(self, timeout: float | None) -> bool:
        """Ask the service for its ranges; False if there is no need. A failure teaches nothing: the next time asks again."""
        if not self._may_ask_region():
            return False
        with suppress(BatchComputeError):
            self._learn_region(self._caller.read_once, timeout)
        return True

    def find_oss_endpoint(self, timeout: float | None) -> str | None:
        """Return the URL of the region's OSS; None if nobody knows one. A service at a URL that no region has is asked."""
        if self._may_ask_region():
            self._learn_region(self._caller.call, timeout)
        return self.region.oss_endpoint

    def _now(self) -> float:
        return self._caller.clock.monotonic()

    def _may_ask_region(self) -> bool:
        return not self.region.declared and self._now() >= self._ask_region_from

    def _learn_region(self, ask: Callable[[Call[Ranges]], Ranges], timeout: float | None) -> None:
        """Learn what the service says of itself; nothing from one that does not know the question. Raises what a call raises."""
        try:
            ranges = ask(Call(GET_REGION, timeout=timeout))
        except (ClientError, DecodeError) as error:
            if isinstance(error, ClientError) and not self._does_not_know(error):
                raise
            self._ask_region_from = self._now() + _ASK_AGAIN_SECONDS
        else:
            self.region = self.region.learn(ranges)

    def _does_not_know(self, error: ClientError) -> bool:
        """Return whether the service refused a path that the API does not have as one that it does not know."""
        if error.code in _UNKNOWN_PATH:
            return True
        unknown = isinstance(error, NotFoundError) or error.status in (405, 501)
        return unknown and not self.region.details and error.code != "ResourceNotFound"
