"""An answer over TCP is sent at once: without TCP_NODELAY its body waits 40 ms for the client's delayed acknowledgement."""

from __future__ import annotations

import asyncio
import socket

import pytest
from batchcompute_local.http.network import Address
from batchcompute_local.objects.address import bind


class Note(asyncio.Protocol):
    """Notes whether its connection has TCP_NODELAY."""

    def __init__(self, found: asyncio.Future[int]) -> None:
        self.found = found

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = transport.get_extra_info("socket")
        self.found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        transport.close()


@pytest.mark.parametrize("listen", [lambda: Address("127.0.0.1", 0).listen(), lambda: bind("127.0.0.1", 0)])
def test_accepted_connections_have_no_delay(listen: object) -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[int] = loop.create_future()
        sock = listen()  # type: ignore[operator]  # of the API, of the objects
        server = await loop.create_server(lambda: Note(found), sock=sock)
        async with server:
            with socket.create_connection(sock.getsockname(), timeout=20):
                return await found

    assert asyncio.run(scenario()) == 1
