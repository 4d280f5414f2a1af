"""One operation on an object as a call of the Client: our errors, repeated by the Client's retry policy, with its events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from batchcompute.builtins.tracing import note_object
from batchcompute.config import Config
from batchcompute.errors import BatchComputeError
from batchcompute_oss.library import ask

T = TypeVar("T")
FindPolicy = Callable[[], Callable[[Callable[[], Any]], Any] | None]


class Calls:
    """Does operations at one endpoint. Thread-safe.

    Every operation that it is given may be done twice: a put of the same content, a part of an upload, a delete.
    """

    def __init__(self, endpoint: str, region: str, config: Config, find_policy: FindPolicy) -> None:
        self._known = {"region": region, "endpoint": endpoint.partition("://")[2].rstrip("/")}
        self._config = config
        self._find_policy = find_policy

    def do(self, operation: str, uri: str, work: Callable[[], T], sent: int = 0) -> T:
        """Return what `work` returns, an answer of the library; `sent`: the bytes of the body. Raises as `ask` does."""
        began = time.monotonic()
        call = _Call(operation, uri, work, sent)
        error: BaseException | None = None
        try:
            return self._repeat(call)
        except BaseException as caught:
            error = caught
            if isinstance(caught, BatchComputeError):
                caught.operation, caught.attempts = operation, call.number
            raise
        finally:
            self._note("call", call, error, began, attempts=call.number)

    def _repeat(self, call: _Call[T]) -> T:
        """Do the call, by the retry policy after a first failure, which then counts as attempt 1."""
        try:
            return self._attempt(call)
        except BatchComputeError as error:
            first: list[BatchComputeError] = [error]
        policy = self._find_policy()

        def again() -> T:
            if first:
                raise first.pop()
            return self._attempt(call)

        return again() if policy is None else policy(again)

    def _attempt(self, call: _Call[T]) -> T:
        began = time.monotonic()
        call.number += 1
        call.answer = error = None
        try:
            call.answer = found = ask(call.uri, call.work)
            return found
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._note("attempt", call, error, began, attempt=call.number)

    def _note(self, event: str, call: _Call[T], error: BaseException | None, began: float, **count: int) -> None:
        note_object(
            self._config,
            event,
            error,
            **count,
            operation=call.operation,
            object=call.uri,
            **self._known,
            elapsed=round(time.monotonic() - began, 6),
            bytes_sent=call.sent,
            status=getattr(call.answer, "status_code", None),
            request_id=getattr(call.answer, "request_id", None),
        )


class _Call(Generic[T]):
    """One operation: the number of its attempts, and the answer to the last one."""

    def __init__(self, operation: str, uri: str, work: Callable[[], T], sent: int) -> None:
        self.operation = operation
        self.uri = uri
        self.work = work
        self.sent = sent
        self.number = 0
        self.answer: T | None = None
