"""The place where order exists: what happens to a call, step by step.

call -> [ attempt 1; after a failure the retry policy takes over, and each attempt works on a copy:
          resolve endpoint -> credentials -> plugins' headers -> sign with a fresh Date and nonce
          -> before_attempt -> transport -> after_attempt -> raise the specific error, or return ]
     -> decode -> after_call
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .ambiguity import build_error
from .builtins.credentials.chain import Chain
from .config import Config
from .credentials import Credentials
from .error_answers import date_of, error_of, is_clock_error
from .errors import (
    BatchComputeError,
    ClientError,
    ClockSkewWarning,
    ConfigError,
    CredentialsError,
    DecodeError,
    PluginError,
    RequestTimeoutError,
    ThrottlingError,
)
from .hooks import AttemptContext, CallContext, CallResult, ResponseContext, Transport
from .hooks.manager import Hooks
from .locks import ForkSafeLock
from .messages import did_you_mean, warn_caller
from .operations import A, Call, may_be_done
from .regions import Region
from .wire import IDEMPOTENCY_HEADER, Endpoint, Request, Response

USER_AGENT = "batchcompute-python/3"
# What every request says about itself, as SDK 0.1a13 did (protocol 1.3).
HEADERS = {"accept": "application/json", "content-type": "application/json", "user-agent": USER_AGENT}


class Pipeline:
    """Carries the calls of one Client. Thread-safe."""

    def __init__(
        self,
        hooks: Hooks,
        region: Region,
        config: Config,
        credentials: Credentials | None,
        humanize: Callable[[int], object] | None,
    ) -> None:
        self._hooks = hooks
        self._region = region
        self._config = config
        self._credentials = credentials
        self._humanize = humanize
        self._transports: dict[str, Transport] = {}
        self._chain: Chain | None = None
        self._lock = ForkSafeLock()
        self.clock = hooks.clock()
        """The clock for deadlines."""
        self.clock_offset = 0.0
        """Seconds that the service's clock is ahead of ours; set once, when the service has refused our Date."""

    def context(self, call: Call[Any]) -> CallContext:
        """Return the context of a call: the request without endpoint and signature, and the deadline."""
        operation = call.operation
        headers = {**HEADERS, "prefer": f"wait={call.wait}"} if call.wait else HEADERS
        if call.body:
            from hashlib import md5

            headers = {**headers, "contentmd5": md5(call.body, usedforsecurity=False).hexdigest()}
        if operation.mutating and self._region.idempotent_tokens:
            headers = {**headers, IDEMPOTENCY_HEADER: call.token or os.urandom(16).hex()}
        deadline = None if call.timeout is None else self.clock.monotonic() + call.timeout
        request = Request(operation.method, call.target, headers, call.body)
        return CallContext(
            operation, self._region, self._config, request, self._credentials, deadline, self.clock, call.surroundings
        )

    def call(self, call: Call[A]) -> A:
        """Do one call and decode its answer."""
        ctx = self.context(call)
        attempts = _Attempts(self, ctx)
        began, started = time.time(), time.monotonic()
        response: Response | None = None
        error: BaseException | None = None
        try:
            response = attempts.run()
            answer: A = self._hooks.decode_response(ResponseContext(ctx, response, self._humanize))
            return answer
        except BatchComputeError as caught:
            error = caught
            if call.operation.mutating and attempts.leave_open(caught):
                error = build_error(self.read_once, call, ctx.idempotency_token, caught, began)
                raise error from caught
            raise
        except BaseException as caught:
            error = caught
            raise
        finally:
            if self._hooks.observed("after_call"):
                elapsed = time.monotonic() - started
                self._hooks.observe("after_call", CallResult(ctx, attempts.number, elapsed, response, error))

    def read_once(self, call: Call[A]) -> A:
        """One attempt of a call that only reads; its times stay numbers."""
        ctx = self.context(call)
        answer: A = self._hooks.decode_response(ResponseContext(ctx, self.attempt(ctx, 1)))
        return answer

    def attempt(self, call: CallContext, number: int) -> Response:
        """One attempt: resolve, sign, send. Raises what went wrong."""
        hooks = self._hooks
        endpoint = hooks.resolve_endpoint(call)
        missing: CredentialsError | None = None
        credentials = hooks.resolve_credentials(call)
        if credentials is None:
            found = self._find_credentials(call.region)
            credentials, missing = (found, None) if isinstance(found, Credentials) else (None, found)
        timeout = _seconds_left(call)
        template = call.request
        request = Request(template.method, template.target, template.headers, template.body, endpoint, timeout)
        ctx = AttemptContext(call, number, request, endpoint, credentials, clock_offset=self.clock_offset)
        # headers may have a token, so they are in no variable here: some tools show the variables of an error's frames
        if hooks.adds_headers:
            request = replace(request, headers={**request.headers, **hooks.request_headers(ctx)})
            ctx = replace(ctx, request=request)
        try:
            request = Request(
                request.method,
                request.target,
                {**request.headers, **hooks.sign_request(ctx)},
                request.body,
                endpoint,
                timeout,
            )
        except CredentialsError:
            if missing is not None:  # a signature may do without credentials; this one does not
                raise missing from None
            raise
        offset = ctx.clock_offset
        ctx = AttemptContext(call, number, request, endpoint, credentials, clock_offset=offset)
        transport = self._transports.get(endpoint.transport) or self._transport(endpoint)
        hooks.observe("before_attempt", ctx)
        started = time.monotonic()
        response: Response | None = None
        error: BatchComputeError | None = None
        try:
            response = transport.send(request)
            if not isinstance(response, Response):
                kind = type(response).__name__
                raise PluginError(f"transport {endpoint.transport!r} answered {kind}, expected a Response")
            if not 200 <= response.status < 300:
                error = error_of(response)
                self._note_clock(error, response)
                raise error
            return response
        except BatchComputeError as caught:
            error = caught
            raise
        finally:
            if hooks.observed("after_attempt"):
                elapsed = time.monotonic() - started
                done = AttemptContext(call, number, request, endpoint, credentials, response, error, elapsed, offset)
                hooks.observe("after_attempt", done)

    def retried(self, ctx: CallContext, fn: Callable[[], Response]) -> Response:
        """`fn` under the retry policy; without one, once."""
        policy = self._hooks.retry_policy(ctx)
        return policy(fn) if policy is not None else fn()

    def _note_clock(self, error: BatchComputeError, response: Response) -> None:
        """Learn the service's time from an answer that refused ours; once, so that nobody leads us about."""
        if not is_clock_error(error) or self.clock_offset:
            return
        there = date_of(response)
        if there is not None:
            self.clock_offset = there - time.time()
            warn_caller(
                f"this machine's clock is {-self.clock_offset:+.0f} seconds off the service's; the service's time is used",
                ClockSkewWarning,
            )

    def _find_credentials(self, region: Region) -> Credentials | CredentialsError:
        """Return what the providers have, when nobody gave credentials to the Client; an error when none of them has any."""
        if self._chain is None:
            with self._lock:
                if self._chain is None:
                    hooks = self._hooks
                    self._chain = Chain(hooks.credential_providers(), self._config, region, hooks.regions())
        return self._chain.get()

    def _transport(self, endpoint: Endpoint) -> Transport:
        key = name = endpoint.transport
        if endpoint.scheme in ("http", "https"):  # another one, as local's, is known to its own transport only
            name = self._config.transport.name or name
        with self._lock:
            if key not in self._transports:
                factories = self._hooks.transports()
                if name not in factories:
                    raise ConfigError(f"there is no transport {name!r}{did_you_mean(name, factories)}")
                self._transports[key] = factories[name].open(self._config.transport)
            return self._transports[key]

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()
            self._transports = {}


class _Attempts:
    """Attempts of one call. The retry policy is asked only after a first failure, which then counts as attempt 1."""

    __slots__ = ("_ctx", "_first", "_lost", "_pipeline", "number")

    def __init__(self, pipeline: Pipeline, ctx: CallContext) -> None:
        self._pipeline = pipeline
        self._ctx = ctx
        self._first: BatchComputeError | None = None
        self._lost = False
        self.number = 0

    def leave_open(self, last: BatchComputeError) -> bool:
        """Return whether the call may have been done, although it ended in this error."""
        if isinstance(last, DecodeError):
            return True
        refused = isinstance(last, ClientError) and last.status < 500 and not isinstance(last, ThrottlingError)
        return self._lost and not refused

    def run(self) -> Response:
        try:
            return self._next()
        except BatchComputeError as error:
            self._first = error
        try:
            return self._pipeline.retried(self._ctx, self._next)
        except BatchComputeError as error:
            if self.number > 1:
                error.add_note(f"{self._ctx.operation.name} gave up after {self.number} attempts")
            raise

    def _next(self) -> Response:
        first, self._first = self._first, None
        if first is not None:
            raise first
        self.number += 1
        offset = self._pipeline.clock_offset
        try:
            return self._pipeline.attempt(self._ctx, self.number)
        except BatchComputeError as error:
            if is_clock_error(error) and self._pipeline.clock_offset != offset:
                return self._next()  # nothing was done; it is signed with the right time now
            self._lost = self._lost or may_be_done(error)
            raise


def _seconds_left(call: CallContext) -> float | None:
    """Seconds that the call has left."""
    if call.deadline is None:
        return None
    left = call.deadline - call.clock.monotonic()
    if left <= 0:
        error = RequestTimeoutError(f"{call.operation.name} did not end in time")
        error.sent = False  # this attempt; an earlier one may have been
        raise error
    return left
