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
from .attempts import Attempts
from .builtins.credentials.chain import Chain
from .config import Config
from .credentials import Credentials
from .error_answers import error_of
from .errors import BatchComputeError, ConfigError, CredentialsError, PluginError, RequestTimeoutError
from .hooks import AttemptContext, CallContext, CallResult, ResponseContext, RetryPolicy, Transport
from .hooks.answers import check_transport
from .hooks.manager import Hooks
from .locks import ForkSafeLock
from .messages import did_you_mean
from .operations import A, Call
from .regions import Region
from .service_time import ServiceTime
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
        self.service_time = ServiceTime()

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
            operation,
            self._region,
            self._config,
            request,
            self._credentials,
            deadline,
            self.clock,
            call.surroundings,
            self._hooks.state,
        )

    def call(self, call: Call[A]) -> A:
        """Do one call and decode its answer."""
        ctx = self.context(call)
        attempts = Attempts(self, ctx)
        began, started = time.time(), time.monotonic()
        error: BaseException | None = None
        try:
            response = attempts.run()
            answer: A = self._hooks.decode_response(ResponseContext(ctx, response, self._humanize))
            return answer
        except BatchComputeError as caught:
            error = caught
            attempts.describe(error)
            if call.operation.mutating and attempts.leave_open(caught):
                left = None if ctx.deadline is None else ctx.deadline - self.clock.monotonic()
                error = build_error(self.read_once, call, ctx.idempotency_token, caught, began, left)
                raise error from caught
            raise
        except BaseException as caught:
            error = caught
            raise
        finally:
            if self._hooks.observed("after_call"):
                elapsed = time.monotonic() - started
                self._hooks.observe("after_call", CallResult(ctx, attempts.number, elapsed, attempts.response, error))

    def read_once(self, call: Call[A]) -> A:
        """A call that only reads, without retry; its times stay numbers."""
        ctx = self.context(call)
        attempts = Attempts(self, ctx)
        try:
            answer: A = self._hooks.decode_response(ResponseContext(ctx, attempts.once()))
            return answer
        except BatchComputeError as error:
            attempts.describe(error)
            raise

    def attempt(self, attempts: Attempts) -> Response:
        """One attempt: resolve, sign, send. Raises what went wrong."""
        hooks = self._hooks
        call, number = attempts.call, attempts.number
        endpoint = attempts.endpoint = hooks.resolve_endpoint(call)
        found = attempts.renewed or self._find_credentials(call)
        credentials, missing = (found, None) if isinstance(found, Credentials) else (None, found)
        attempts.credentials, attempts.renewed = credentials, None
        offset = attempts.offset = self.service_time.offset
        timeout = _seconds_left(call)
        template = call.request
        request = Request(template.method, template.target, template.headers, template.body, endpoint, timeout)
        ctx = AttemptContext(call, number, request, endpoint, credentials, clock_offset=offset)
        # headers may have a token, so they are in no variable here: some tools show the variables of an error's frames
        if hooks.adds_headers and (added := hooks.request_headers(ctx)):
            request = replace(request, headers={**request.headers, **added})
            del added
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
        ctx = AttemptContext(call, number, request, endpoint, credentials, clock_offset=offset)
        transport = self._transports.get(endpoint.transport) or self._transport(endpoint)
        hooks.observe("before_attempt", ctx)
        started = time.monotonic()
        error: BaseException | None = None
        try:
            response = transport.send(request)
            if not isinstance(response, Response):
                kind = type(response).__name__
                raise PluginError(f"transport {endpoint.transport!r} answered {kind}, expected a Response")
            attempts.response = response
            if not 200 <= response.status < 300:
                raise error_of(response)
            return response
        except BaseException as caught:
            error = caught
            raise
        finally:
            if hooks.observed("after_attempt"):
                elapsed = time.monotonic() - started
                done = AttemptContext(
                    call, number, request, endpoint, credentials, attempts.response, error, elapsed, offset
                )
                hooks.observe("after_attempt", done)

    def retry_policy(self, call: CallContext) -> RetryPolicy | None:
        """Return the retry policy of the call; None for no retry."""
        return self._hooks.retry_policy(call)

    def renew(self, call: CallContext, refused: Credentials) -> Credentials | CredentialsError:
        """Return the credentials after the service has refused these; whoever had them drops them first."""
        if self._chain is not None:
            self._chain.refused(refused)
        return self._find_credentials(call)

    def find_credentials(self, call: CallContext) -> Credentials:
        """Return what a request would be signed with now. Raises CredentialsError."""
        found = self._find_credentials(call)
        if isinstance(found, CredentialsError):
            raise found
        return found

    def find_target(self, call: Call[Any]) -> tuple[str, str]:
        """Return where a request would go now, as a URL, and the id of the access key that would sign it; "" without one."""
        ctx = self.context(call)
        found = self._find_credentials(ctx)
        return self._hooks.resolve_endpoint(ctx).url, found.access_key_id if isinstance(found, Credentials) else ""

    def _find_credentials(self, call: CallContext) -> Credentials | CredentialsError:
        """Return what the plugins and the Client have, else what the providers have; an error when none of them has any."""
        given = self._hooks.resolve_credentials(call)
        if given is not None:
            return given
        if self._chain is None:
            with self._lock:
                if self._chain is None:
                    hooks = self._hooks
                    self._chain = Chain(hooks.credential_providers(), self._config, call.region, hooks.regions())
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
                self._transports[key] = check_transport(name, factories[name].open(self._config.transport))
            return self._transports[key]

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()
            self._transports = {}


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
