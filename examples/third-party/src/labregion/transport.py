"""HTTP with httpx. It sends once, exactly what was signed, and tells whether a lost request may have arrived."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from batchcompute import ConnectError, RequestTimeoutError, ResponseLostError, TransportConfig
from batchcompute.hooks import Transport
from batchcompute.wire import Request, Response

if TYPE_CHECKING:
    import httpx


class HttpxFactory:
    """The transport `lab-httpx`."""

    name = "lab-httpx"

    def open(self, settings: TransportConfig) -> Transport:
        """A transport with its own connections."""
        return HttpxTransport(settings)


class HttpxTransport:
    """One httpx.Client, made for the first request and again after `close` and after a fork. Thread-safe.

    The gateway is on this machine, so no proxy is used, neither of the settings nor of the environment.
    """

    def __init__(self, settings: TransportConfig) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._process = os.getpid()

    def send(self, request: Request) -> Response:
        """Send once. Raises ConnectError, RequestTimeoutError or ResponseLostError."""
        import httpx

        endpoint = request.endpoint
        if endpoint is None:
            raise ConnectError("a request needs an endpoint")
        where = endpoint.authority
        read = self._settings.read_timeout if request.timeout is None else request.timeout
        ends = time.monotonic() + min(read, self._settings.read_timeout)
        try:
            answer = self._open().send(self._built(request), stream=True)
            try:
                body = bytearray()
                for part in answer.iter_raw():
                    body += part
                    if time.monotonic() > ends:  # httpx only limits the wait for each part
                        raise RequestTimeoutError(f"{where} did not end its answer in time")
            finally:
                answer.close()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise ConnectError(f"{where} could not be reached: {type(error).__name__}") from error
        except httpx.TimeoutException as error:
            raise RequestTimeoutError(f"{where} did not answer in time") from error
        except httpx.HTTPError as error:
            raise ResponseLostError(f"{where} broke off: {type(error).__name__}") from error
        return Response(answer.status_code, {name.lower(): text for name, text in answer.headers.items()}, bytes(body))

    def _built(self, request: Request) -> httpx.Request:
        import httpx

        endpoint, settings = request.endpoint, self._settings
        assert endpoint is not None
        connect, read = settings.connect_timeout, settings.read_timeout
        if request.timeout is not None:
            connect, read = min(connect, request.timeout), min(read, request.timeout)
        return httpx.Request(
            request.method,
            httpx.URL(scheme=endpoint.scheme, host=endpoint.host, port=endpoint.port),
            headers=dict(request.headers),
            content=request.body or None,
            extensions={
                # As it was signed: httpx would encode a path its own way.
                "target": request.target.encode("ascii"),
                "timeout": {"connect": connect, "read": read, "write": read, "pool": connect},
            },
        )

    def _open(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._process != os.getpid():  # a child must not use its parent's connections
                self._client, self._process = None, os.getpid()
            if self._client is None:
                settings = self._settings
                verify: bool | object = True
                if settings.ca_bundle:
                    import ssl

                    verify = ssl.create_default_context(cafile=settings.ca_bundle)
                self._client = httpx.Client(
                    verify=verify,  # type: ignore[arg-type]  # httpx wants the very type
                    trust_env=False,
                    follow_redirects=False,
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.pool_size),
                )
            return self._client

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        with self._lock:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
            self._client = None
