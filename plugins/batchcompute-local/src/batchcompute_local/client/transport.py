"""HTTP over the daemon's Unix socket, with the same urllib3 pools as other regions. Starts the daemon."""

from __future__ import annotations

import socket
from pathlib import Path

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from batchcompute.builtins.connections import ours
from batchcompute.builtins.transport import PooledTransport
from batchcompute.config import TransportConfig
from batchcompute.errors import ConnectError
from batchcompute.locks import ForkSafeLock
from batchcompute.wire import Endpoint, Request, Response
from batchcompute_local.client import control


class _UnixConnection(HTTPConnection):
    """A connection to the daemon. The host of the endpoint is its data folder."""

    data_dir: Path

    def _new_conn(self) -> socket.socket:
        try:
            return control.connect(self.data_dir)
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
        self._lock = ForkSafeLock()

    def send(self, request: Request) -> Response:
        """Send once. If no daemon listens, nothing was sent: start one, and send to that."""
        if request.endpoint is None:
            raise ConnectError("the request has no endpoint")
        data_dir = request.endpoint.host
        if data_dir not in self._started:
            self._start(data_dir)
        try:
            return self._pooled.send(request)
        except ConnectError:
            self._start(data_dir)
            return self._pooled.send(request)

    def _start(self, data_dir: str) -> None:
        """Start a daemon of our version. A busy one of another version stays until it is idle."""
        with self._lock:
            control.ensure_running(Path(data_dir))
            self._started.add(data_dir)

    def close(self) -> None:
        """Close the connections. The daemon keeps running."""
        self._pooled.close()
