"""The service's end of the relay: a port that nodes connect to, with the certificates of the cluster."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
import ssl
from urllib.parse import urlsplit

from batchcompute_local.objects import address
from batchcompute_local.paths import Layout

from batchcompute_dask.clusters.scheduler import host_of
from batchcompute_dask.messages import RelayPlace
from batchcompute_dask.relaying import API, FIRST_LINE_SECONDS, OBJECTS, RelayThread, join
from batchcompute_dask.settings import Options


class Relay:
    """Listens until the bridge ends. `place` is for the nodes. Raises OSError."""

    def __init__(self, layout: Layout, options: Options) -> None:
        self._layout = layout
        self._token = secrets.token_hex(16)
        host = host_of(options) if options.cluster else options.host or find_own_host(options.scheduler)
        sock = address.bind(host, 0)
        context = make_context(options)
        self.place = RelayPlace(host, sock.getsockname()[1], self._token, context is not None)
        self._thread = RelayThread("relay")
        self._thread.serve(sock, self._handle, ssl=context)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await asyncio.wait_for(reader.readline(), FIRST_LINE_SECONDS)
        token, _, wanted = line.decode("ascii").strip().partition(" ")
        if not hmac.compare_digest(token, self._token):
            return
        if wanted == OBJECTS:
            port = address.read_port(self._layout.objects_ports)
            await join((reader, writer), await asyncio.open_connection(address.LOOPBACK, port))
        elif wanted == API:
            await join((reader, writer), await asyncio.open_unix_connection(str(self._layout.programs_socket)))


def make_context(options: Options) -> ssl.SSLContext | None:
    """Return the context with which the relay listens: only who has a certificate of the cluster may connect."""
    if not options.tls_ca_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=options.tls_ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(options.tls_cert, options.tls_key or None)
    return context


def find_own_host(scheduler: str) -> str:
    """Return the address of this machine from which it reaches the scheduler: nodes reach it there. Raises OSError."""
    parts = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    found = socket.getaddrinfo(parts.hostname, parts.port or 8786, type=socket.SOCK_DGRAM)
    family, kind, _, _, target = found[0]
    with socket.socket(family, kind) as sock:
        sock.connect(target)  # of a datagram socket: nothing is sent
        return str(sock.getsockname()[0])
