"""Relay bytes between a node and the service: its OSS endpoint and its API, which listen on loopback and on a Unix socket only.

A program connects to its own node, the node to the bridge, the bridge to the service. Between node and bridge the first line has
a token, and says what is wanted. Both ends have a thread with an event loop of its own, since objects may be large.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

OBJECTS, API = "objects", "api"
FIRST_LINE_SECONDS = 10.0
_PIECE = 1 << 16
_STOP_SECONDS = 2.0
_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RelayThread:
    """A thread that serves connections. `stop` ends it, and closes what it listens to."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def serve(self, sock: Any, handle: _Handler, **options: Any) -> None:
        """Have `handle` called with each connection to the listening socket `sock`."""
        start = asyncio.start_unix_server if sock.family.name == "AF_UNIX" else asyncio.start_server
        started = start(_quietly(handle), sock=sock, **options)
        self._servers.append(asyncio.run_coroutine_threadsafe(started, self._loop).result())

    def stop(self) -> None:
        """End it, and all connections. Waits a moment for that."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        self._loop.run_forever()
        for server in self._servers:
            server.close()
        self._loop.run_until_complete(self._end_connections())
        self._loop.close()

    async def _end_connections(self) -> None:
        works = asyncio.all_tasks() - {asyncio.current_task()}
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed lets go of its socket in the next round


def _quietly(handle: _Handler) -> _Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, EOFError, TimeoutError, ValueError):  # the program sees its connection end
                await handle(reader, writer)
        finally:
            with suppress(OSError, RuntimeError):
                writer.close()

    return serve


async def join(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Copy in both directions until both ends have said all."""
    try:
        await asyncio.gather(_copy(one[0], other[1]), _copy(other[0], one[1]), return_exceptions=True)
    finally:
        for _, writer in (one, other):
            with suppress(OSError, RuntimeError):
                writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS has no half of a connection that is closed
            writer.close()
    except BaseException:
        writer.close()
        raise
