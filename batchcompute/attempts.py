"""Attempts of one call: how many there are, what the last one used and got, and what its refusal teaches."""

from __future__ import annotations

from typing import Protocol

from .credentials import Credentials, is_same_key
from .error_answers import is_clock_error
from .errors import (
    AuthenticationError,
    BatchComputeError,
    ClientError,
    CredentialsError,
    DecodeError,
    PermissionDeniedError,
    RequestTimeoutError,
    ThrottlingError,
)
from .hooks import CallContext, RetryPolicy
from .operations import may_be_done
from .service_time import ServiceTime
from .wire import Endpoint, Response


class Sender(Protocol):
    """What attempts need of a Client's pipeline."""

    service_time: ServiceTime

    def attempt(self, attempts: Attempts) -> Response:
        """Do one attempt, and note in `attempts` what it uses and gets."""
        ...

    def renew(self, call: CallContext, refused: Credentials) -> Credentials | CredentialsError:
        """Return the credentials after the service has refused these; an error when there are none."""
        ...

    def retry_policy(self, call: CallContext) -> RetryPolicy | None:
        """Return the retry policy of the call; None for no retry."""
        ...


class Attempts:
    """Attempts of one call. The retry policy is asked only after a first failure, which then counts as attempt 1.

    `number` counts them; `endpoint`, `credentials`, `offset` and `response` are those of the last one. `renewed` are credentials
    for the next one, in the place of those that were refused.
    """

    __slots__ = (
        *("call", "credentials", "endpoint", "number", "offset", "renewed", "response"),
        *("_first", "_has_learned", "_has_renewed", "_last", "_lost", "_sender"),
    )

    def __init__(self, sender: Sender, call: CallContext) -> None:
        self.call = call
        self.number = 0
        self.endpoint: Endpoint | None = None
        self.credentials: Credentials | None = None
        self.offset = 0.0
        self.response: Response | None = None
        self.renewed: Credentials | None = None
        self._sender = sender
        self._first: BatchComputeError | None = None
        self._last: BatchComputeError | None = None
        self._lost = False
        self._has_learned = False
        self._has_renewed = False

    def run(self) -> Response:
        """Return the answer, under the retry policy."""
        try:
            return self._next()
        except BatchComputeError as error:
            self._first = error
        policy = self._sender.retry_policy(self.call)
        return policy(self._next) if policy is not None else self._next()

    def once(self) -> Response:
        """Do one attempt, and at once another one if the service refused only the time or the credentials of the first."""
        while True:
            self.number += 1
            self.endpoint = self.response = None
            try:
                return self._sender.attempt(self)
            except BatchComputeError as error:
                if not self._correct(error):
                    self._note(error)
                    raise

    def leave_open(self, last: BatchComputeError) -> bool:
        """Return whether the call may have been done, although it ended in this error."""
        if isinstance(last, DecodeError):
            return True
        return self._lost and not _answers_for_all(last)

    def describe(self, error: BaseException) -> None:
        """Note in an error that ends the call where it happened."""
        if not isinstance(error, BatchComputeError):
            return
        error.operation, error.attempts = self.call.operation.name, self.number
        if self.endpoint is not None:
            error.endpoint = f"{self.endpoint.scheme}://{self.endpoint.authority}"
        if isinstance(error, DecodeError) and self.response is not None:
            error.status = self.response.status
            error.request_id = error.request_id or self.response.request_id

    def _next(self) -> Response:
        first, self._first = self._first, None
        if first is not None:
            raise first
        return self.once()

    def _note(self, error: BatchComputeError) -> None:
        """Note a failed attempt. A call whose time is over before the next one names the failure that took the time."""
        if isinstance(error, RequestTimeoutError) and error.__cause__ is None and self._last is not error:
            error.__cause__ = self._last
        self._last = error
        self._lost = self._lost or may_be_done(error)

    def _correct(self, error: BatchComputeError) -> bool:
        """Return whether to repeat what the service refused before it did anything: once for the time, once for credentials."""
        if is_clock_error(error) and not self._has_learned:
            self._has_learned = True
            return self._sender.service_time.learn(error, self.offset)
        if isinstance(error, AuthenticationError) and not self._has_renewed:
            self._has_renewed = True
            return self._renew(error)
        return False

    def _renew(self, error: AuthenticationError) -> bool:
        """Return whether there are other credentials than the refused ones."""
        refused = self.credentials
        if refused is None or (self._lost and self.call.operation.mutating):  # another account would not know the token
            return False
        why = ""
        try:
            found = self._sender.renew(self.call, refused)
        except Exception as failure:  # of a provider; the message of a foreign one could hold what must not be shown
            why = str(failure) if isinstance(failure, CredentialsError) else type(failure).__name__
        else:
            if isinstance(found, Credentials):
                self.renewed = None if is_same_key(found, refused) else found
                return self.renewed is not None
            why = str(found)
        error.add_note(f"there are no other credentials: {why}")
        return False


def _answers_for_all(error: BatchComputeError) -> bool:
    """Return whether a refusal means that no attempt before it was done either."""
    says_nothing = isinstance(error, (ThrottlingError, AuthenticationError, PermissionDeniedError)) or is_clock_error(
        error
    )
    return isinstance(error, ClientError) and error.status < 500 and not says_nothing
