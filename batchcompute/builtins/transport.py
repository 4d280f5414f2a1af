"""HTTP with urllib3. It sends once: no retry, no redirect (a redirect would carry the token to another host)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import TransportConfig
from ..errors import (
    ConfigError,
    ConnectError,
    DecodeError,
    RequestTimeoutError,
    ResponseLostError,
    TransportError,
)
from ..hooks import RegistrationContext, Transport, TransportFactory, hookimpl
from ..locks import ForkSafeLock
from ..wire import Endpoint, Request, Response
from .proxies import open_through, proxy_of

if TYPE_CHECKING:
    import urllib3

_SAY_WHERE_IT_ENDS = ("content-length", "transfer-encoding")
_PIECE = 1 << 18
Pool = Callable[[Endpoint], "urllib3.HTTPConnectionPool"]


@hookimpl(trylast=True)
def register_transports(ctx: RegistrationContext) -> Iterable[TransportFactory]:
    """`urllib3`, for http and https."""
    return (Urllib3Factory(),)


def _open_pool(endpoint: Endpoint, settings: TransportConfig) -> urllib3.HTTPConnectionPool:
    from .connections import HttpPool, HttpsPool  # not at import: urllib3 is large

    if endpoint.scheme == "https" and settings.ca_bundle is not None:
        settings = replace(settings, ca_bundle=_readable(settings.ca_bundle))
    proxy = proxy_of(endpoint, settings)
    if proxy is not None:
        return open_through(proxy, endpoint, settings)
    if endpoint.scheme == "https":
        return HttpsPool(endpoint.host, endpoint.port, maxsize=settings.pool_size, ca_certs=settings.ca_bundle)
    return HttpPool(endpoint.host, endpoint.port, maxsize=settings.pool_size)


def _readable(bundle: str) -> str:
    """Return the path of a CA bundle. Raises ConfigError when it is none: later it would look like a broken connection."""
    import ssl

    path = os.path.expanduser(bundle)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # an SSLError is one
        raise ConfigError(
            f"transport.ca_bundle must be a PEM file with certificates, not {bundle!r}: {error}"
        ) from None
    return path


class PooledTransport:
    """A Transport over urllib3 connection pools, one for each endpoint. Thread-safe, and safe to use after a fork."""

    def __init__(self, settings: TransportConfig, open_pool: Pool) -> None:
        from urllib3 import Retry, Timeout

        from . import connections, exchange

        self._exchange = exchange
        self._due = connections.due
        self._real = connections.Answer
        self._once = Retry(False, redirect=False)  # urllib3's own retry may sleep for hours
        self._settings = settings
        self._timeout = Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
        self._open_pool = open_pool
        self._pools: dict[Endpoint, urllib3.HTTPConnectionPool] = {}
        self._lock = ForkSafeLock()
        self._process = os.getpid()

    def send(self, request: Request) -> Response:
        """Send once. Raises ConnectError, RequestTimeoutError or ResponseLostError."""
        endpoint = request.endpoint
        assert endpoint is not None  # noqa: S101  # the pipeline resolved it
        pool = self._pools.get(endpoint) if self._process == os.getpid() else None
        if pool is None:
            pool = self._pool(endpoint)
        if request.timeout is not None:
            self._due.at = time.monotonic() + request.timeout
        connection = answer = data = None
        headers: dict[str, str] = {}
        try:
            connection = self._exchange.take(pool, request)
            answer = (
                self._open(pool, request)
                if connection is None
                else self._exchange.ask(pool, connection, request, self._settings)
            )
            if isinstance(answer, self._exchange.PlainAnswer):
                headers = answer.headers
                data = answer.read()
            else:
                headers = {name.lower(): value for name, value in answer.headers.iteritems()}
                data = self._read(answer, endpoint, headers)
        except Exception as error:
            explained = _explained(error, endpoint)
            if answer is not None and isinstance(explained, (TransportError, DecodeError)):  # its head came
                explained.status = answer.status
                explained.request_id = Response(answer.status, headers, b"").request_id
            if explained is error:
                raise
            raise explained from error
        finally:
            self._due.at = None
            if connection is not None:
                self._exchange.give_back(pool, connection, answer, data)
        return Response(answer.status, headers, data)

    def _open(self, pool: urllib3.HTTPConnectionPool, request: Request) -> urllib3.BaseHTTPResponse:
        """Send over a new connection, or one that is not ours, as urllib3 does."""
        timeout, settings = self._timeout, self._settings
        if request.timeout is not None:
            timeout = type(timeout)(total=request.timeout, connect=settings.connect_timeout, read=settings.read_timeout)
        return pool.urlopen(
            request.method,
            request.target,
            body=request.body or None,
            headers=request.headers,
            retries=self._once,
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
            preload_content=False,
        )

    def _read(self, answer: urllib3.BaseHTTPResponse, endpoint: Endpoint, headers: Mapping[str, str]) -> bytes:
        """Read the body. Raises DecodeError for one that is larger than the setting allows, inflated or not."""
        limit, due = self._settings.max_answer_bytes, self._due.at
        length = headers.get("content-length", "")
        if "content-encoding" not in headers and length.isascii() and length.isdigit() and int(length) <= limit:
            return answer.read()
        pieces = bytearray()
        while piece := answer.read(_PIECE):
            pieces += piece
            if len(pieces) > limit:
                answer.close()
                raise DecodeError(
                    f"the answer of {endpoint.authority} is larger than {limit} bytes, the limit of transport.max_answer_bytes"
                )
            if due is not None and time.monotonic() > due:  # inflating takes time too
                answer.close()
                raise TimeoutError("timed out")
        data = bytes(pieces)
        is_open = headers.keys().isdisjoint(_SAY_WHERE_IT_ENDS) and 200 <= answer.status < 300 and answer.status != 204
        if is_open and isinstance(getattr(answer, "_original_response", None), self._real):  # a recorded one is whole
            _check_whole(data, endpoint)
        return data

    def _pool(self, endpoint: Endpoint) -> urllib3.HTTPConnectionPool:
        with self._lock:
            if self._process != os.getpid():  # a forked child must not share its parent's sockets
                self._pools, self._process = {}, os.getpid()
            if endpoint not in self._pools:
                self._pools[endpoint] = self._open_pool(endpoint)
            return self._pools[endpoint]

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools = {}


class Urllib3Transport(PooledTransport):
    """The transport `urllib3`: http and https, through the proxies of the settings. A subclass may do more around `send`."""

    def __init__(self, settings: TransportConfig) -> None:
        super().__init__(settings, lambda endpoint: _open_pool(endpoint, settings))


class Urllib3Factory:
    """Registers a transport: `urllib3`, or a subclass of Urllib3Transport under a name of its own."""

    def __init__(
        self, name: str = "urllib3", transport: Callable[[TransportConfig], Transport] = Urllib3Transport
    ) -> None:
        self.name = name
        self._transport = transport

    def open(self, settings: TransportConfig) -> Transport:
        """A transport with its own connections."""
        return self._transport(settings)


def _check_whole(data: bytes, endpoint: Endpoint) -> None:
    """Check a body that only the end of the connection ends: a JSON text that is cut is none. Raises ResponseLostError."""
    try:
        json.loads(data)
    except ValueError:
        raise ResponseLostError(
            f"the answer of {endpoint.authority} does not say where it ends, and is not whole"
        ) from None


def _explained(error: Exception, endpoint: Endpoint) -> Exception:
    """Our error for one of urllib3: whether the request may have reached the service is what matters."""
    from http.client import HTTPException

    from urllib3 import exceptions

    where = endpoint.authority
    if isinstance(error, TransportError):
        return error
    if isinstance(error, exceptions.ProxyError):  # raised only until the proxy is connected, so nothing was sent
        return ConnectError(f"{where} could not be reached through the proxy: {_reason(error)}")
    if isinstance(error, exceptions.NewConnectionError):
        return ConnectError(f"{where} could not be reached: {_reason(error)}")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return ConnectError(f"{where} could not be reached in time")
    if isinstance(error, exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return ConnectError(f"{where} has no TLS that can be trusted: {_reason(error)}")
    if isinstance(error, (exceptions.ReadTimeoutError, TimeoutError)) or isinstance(_cause(error), TimeoutError):
        return RequestTimeoutError(f"{where} did not answer in time")
    if isinstance(error, (exceptions.HTTPError, HTTPException, OSError)):
        return ResponseLostError(f"the connection to {where} broke before the answer was complete: {_reason(error)}")
    return error


def _reason(error: BaseException) -> str:
    """Return the innermost reason that urllib3 gives."""
    cause = _cause(error)
    return f"{type(cause).__name__}: {cause}" if cause is not error else str(error)


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ or error.__context__ or error
