"""HTTP over the daemon's Unix socket, with the same urllib3 pools as other regions. Starts the daemon."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from batchcompute.builtins.connections import due, ours
from batchcompute.builtins.transport import PooledTransport
from batchcompute.config import TransportConfig
from batchcompute.errors import ConnectError, RequestTimeoutError
from batchcompute.wire import Endpoint, Request, Response
from batchcompute_local.client import control


class _UnixConnection(HTTPConnection):
    """A connection to the daemon. The host of the endpoint is its data folder."""

    data_dir: Path

    def _new_conn(self) -> socket.socket:
        """Connect within the limit of a connection, and of the call."""
        seconds = float(self.timeout or control.CONNECT_SECONDS)
        if due.at is not None:
            seconds = min(seconds, due.at - time.monotonic())
        try:
            sock = control.connect(self.data_dir, seconds)
            sock.settimeout(seconds)
            return sock
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"the service in {self.data_dir} accepts no connection: {error}") from error
        except OSError as error:
            raise NewConnectionError(self, f"no service listens in {self.data_dir}: {error}") from error


def _open_pool(endpoint: Endpoint, settings: TransportConfig) -> urllib3.HTTPConnectionPool:
    class Connection(_UnixConnection):
        data_dir = Path(endpoint.host)

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = ours(Connection)

    return Pool("localhost", 80, maxsize=settings.pool_size)


class LocalTransport:
    """Sends requests to the daemon, and starts it if none answers. Thread-safe and fork-safe."""

    def __init__(self, settings: TransportConfig) -> None:
        self._pooled = PooledTransport(settings, lambda endpoint: _open_pool(endpoint, settings))
        self._started: set[str] = set()

    def send(self, request: Request) -> Response:
        """Send once. If no daemon listens, nothing was sent: start one, and send to that."""
        if request.endpoint is None:
            raise ConnectError("the request has no endpoint")
        data_dir = request.endpoint.host
        until = None if request.timeout is None else time.monotonic() + request.timeout
        if data_dir not in self._started:
            self._start(data_dir, until)
        try:
            return self._pooled.send(_shorten(request, until))
        except ConnectError:
            self._start(data_dir, until)
            return self._pooled.send(_shorten(request, until))

    def _start(self, data_dir: str, until: float | None) -> None:
        """Start a daemon of our version. A busy one of another version stays until it is idle. Threads may do so at once."""
        control.ensure_running(Path(data_dir), until)
        self._started.add(data_dir)

    def close(self) -> None:
        """Close the connections. The daemon keeps running."""
        self._pooled.close()


def _shorten(request: Request, until: float | None) -> Request:
    """Return the request with the seconds that are left until then. Raises RequestTimeoutError if none are."""
    if until is None:
        return request
    left = until - time.monotonic()
    if left <= 0:
        error = RequestTimeoutError("the call's time was over before the request could be sent")
        error.sent = False
        raise error
    return replace(request, timeout=left)
