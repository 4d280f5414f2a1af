"""The node's end of the relay: what its programs find at $ALI_DIKU_OSS_HOST, and at the socket in their attempt files."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from functools import partial

from batchcompute_local import unixsocket
from batchcompute_local.objects import address
from batchcompute_local.paths import Layout

from batchcompute_dask.messages import RelayPlace
from batchcompute_dask.relaying import API, OBJECTS, RelayThread, join


class NodeRelay:
    """Listens for programs of this node. Raises OSError.

    `context` is what it connects with where the relay of the service speaks TLS.
    """

    def __init__(self, layout: Layout, context: ssl.SSLContext | None) -> None:
        self._context = context
        self.place: RelayPlace | None = None
        """Where the service's end is; it has another place after each restart of the bridge."""
        self._thread = RelayThread("relay")
        with suppress(FileExistsError):
            os.mkdir(layout.programs_socket.parent, 0o700)
        try:
            self._thread.serve(address.listen(layout.objects_ports), partial(self._handle, OBJECTS))
            self._thread.serve(unixsocket.listen(layout.programs_socket), partial(self._handle, API))
        except BaseException:
            self._thread.stop()
            raise

    async def _handle(self, wanted: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = self.place
        if place is None:
            return
        context = self._context if place.is_secure else None
        name = "" if context is not None else None
        there = await asyncio.open_connection(place.host, place.port, ssl=context, server_hostname=name)
        there[1].write(f"{place.token} {wanted}\n".encode())
        await join((reader, writer), there)

    def close(self) -> None:
        """End it."""
        self._thread.stop()
