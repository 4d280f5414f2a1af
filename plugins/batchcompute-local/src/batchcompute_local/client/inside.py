"""Inside a program of a job: the service that runs it, by its attempt file. It is never started from here."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from batchcompute.builtins.connections import due, ours
from batchcompute.builtins.transport import PooledTransport
from batchcompute.config import TransportConfig
from batchcompute.wire import Endpoint
from batchcompute_local import unixsocket

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25


class _Connection(HTTPConnection):
    """A connection to the service. The host of the endpoint is the path of its socket for programs."""

    path: Path
    patience: float

    def __str__(self) -> str:
        return "the service that runs this program"  # it begins the text of errors

    def _new_conn(self) -> socket.socket:
        """Connect; while the service is away, wait until the call must end, else for `patience` seconds."""
        until, pause = due.at or time.monotonic() + self.patience, _FIRST_PAUSE
        while True:
            try:
                sock = unixsocket.connect(self.path, max(until - time.monotonic(), 0.0))
                sock.settimeout(self.patience)
                return sock
            except OSError as error:
                away, why = isinstance(error, FileNotFoundError | ConnectionError), error.strerror or str(error)
            if not away or time.monotonic() + pause >= until:
                raise NewConnectionError(
                    self,
                    f"it does not answer ({why}), and a program does not start it; after a crash it is started again by itself, "
                    "after a stop by the next client outside",
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def open_transport(settings: TransportConfig) -> PooledTransport:
    """Return the transport of programs."""
    return PooledTransport(settings, lambda endpoint: _open_pool(endpoint, settings))


def _open_pool(endpoint: Endpoint, settings: TransportConfig) -> urllib3.HTTPConnectionPool:
    class Connection(_Connection):
        path = Path(endpoint.host)
        patience = settings.connect_timeout

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = ours(Connection)

    return Pool("localhost", 80, maxsize=settings.pool_size)
