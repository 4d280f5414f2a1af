"""uvicorn on the daemon's socket, and on a port if there is one, until the daemon is idle."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from batchcompute_local import unixsocket
from batchcompute_local.http.connections import MAX_HEAD_BYTES, Connection, Limits
from batchcompute_local.jobs.engine import Engine

_log = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS = 120
_SHUTDOWN_SECONDS = 5
_HANDSHAKE_SECONDS = 10.0
_TICK_SECONDS = 0.25
_ACCEPTS = 64
"""Connections that asyncio accepts in one go, whatever the errors: without a descriptor it logs each of them."""
_BACKLOG = 1024


class App(Protocol):
    """An ASGI application with an answer for too many connections."""

    @property
    def last_request(self) -> float:
        """When a request came last, by time.monotonic."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer that all connections are taken."""

    def reject(self, message: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the answer to what is not HTTP."""


@dataclass
class Listener:
    """A listening socket with its application, limits and certificate; for a Unix socket with its `path`."""

    sock: socket.socket
    front: App
    limits: Limits
    tls: ssl.SSLContext | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        self._identity = unixsocket.identify(self.path) if self.path is not None else None

    @property
    def is_reachable(self) -> bool:
        """False if the path of a Unix socket was removed, or is something else by now."""
        return self.path is None or unixsocket.identify(self.path) == self._identity

    def listen_again(self) -> None:
        """Make a new socket at the path. The old one is not closed. Raises OSError."""
        if self.path is not None:
            self.sock = unixsocket.listen(self.path)
            self._identity = unixsocket.identify(self.path)

    def unlink(self) -> None:
        """Remove the path of a Unix socket, so that nobody connects any more. Not what is somebody else's."""
        if self.path is not None and self.is_reachable:
            self.path.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """uvicorn with an application and limits for each socket, without its signal handlers."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = [(each, _config(each.front)) for each in listeners]
        self._unreachable: set[int] = set()
        super().__init__(self._listeners[0][1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = [await self._open(listener, config) for listener, config in self._listeners]
        self.started = True

    async def _open(self, listener: Listener, config: uvicorn.Config) -> asyncio.Server:
        connection = partial(Connection, config, self.server_state, self.lifespan.state, listener.limits)
        patience = _HANDSHAKE_SECONDS if listener.tls else None
        server = await asyncio.get_running_loop().create_server(
            connection,
            sock=listener.sock,
            backlog=_ACCEPTS,
            ssl=listener.tls,
            ssl_handshake_timeout=patience,
            ssl_shutdown_timeout=patience,
        )
        listener.sock.listen(_BACKLOG)
        return server

    async def look(self) -> None:
        """Listen again where the path of a Unix socket was taken away. Connections that are there go on."""
        for index, (listener, config) in enumerate(self._listeners):
            if listener.is_reachable:
                continue
            try:
                listener.listen_again()
            except OSError as error:
                if index not in self._unreachable:
                    self._unreachable.add(index)
                    _log.error("%s was removed or replaced, and cannot be made again: %s", listener.path, error)
                continue
            self._unreachable.discard(index)
            _log.warning("%s was removed or replaced; it is made again", listener.path)
            before, self.servers[index] = self.servers[index], await self._open(listener, config)
            before.close()


def _config(front: App) -> uvicorn.Config:
    return uvicorn.Config(
        front,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http=Connection,
        ws="none",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def serve(
    listeners: Sequence[Listener],
    engine: Engine,
    idle_seconds: float | None,
    ready: Callable[[], None],
    look: Callable[[], bool] = lambda: True,
) -> None:
    """Answer requests until idle (None: no limit), or until SIGTERM, SIGINT or SIGHUP. Call `ready` when it listens.

    Call `look` several times a second, and end when it returns False.

    The paths of Unix sockets are removed when the service no longer accepts requests.
    """
    # clients can cause warnings; they must not fill the log
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    try:
        asyncio.run(_serve(listeners, engine, idle_seconds, ready, look))
    finally:
        for listener in listeners:
            listener.unlink()
            listener.sock.close()


async def _serve(
    listeners: Sequence[Listener],
    engine: Engine,
    idle_seconds: float | None,
    ready: Callable[[], None],
    look: Callable[[], bool],
) -> None:
    server = _Server(listeners)
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, signalled.set)
    task = asyncio.create_task(server.serve())
    while not server.started and not task.done():
        await asyncio.sleep(0.001)
    if not task.done():
        _log.info("listening")
        ready()
    busy_at = time.monotonic()
    while not task.done():
        now = time.monotonic()
        if engine.busy:
            busy_at = now
        asked_at = max(listener.front.last_request for listener in listeners)
        if not engine.alive:
            server.should_exit = True
        elif idle_seconds is not None and now - max(busy_at, asked_at) >= idle_seconds:
            _log.info("idle for %s seconds", idle_seconds)
            server.should_exit = True
        elif signalled.is_set() or not look():
            server.should_exit = True
        if server.should_exit:
            for listener in listeners:
                listener.unlink()  # the next client starts the next daemon
            engine.waiters.close()
            await asyncio.wait([task])
        else:
            await server.look()
            await _wait_for_change(task, signalled)
    await task


async def _wait_for_change(task: asyncio.Task[None], signalled: asyncio.Event) -> None:
    """Wait until the server has ended, a signal came, or the tick is over."""
    signal_wait = asyncio.ensure_future(signalled.wait())
    await asyncio.wait([task, signal_wait], timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    signal_wait.cancel()
