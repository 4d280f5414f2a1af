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

import uvicorn

from batchcompute_local.http.application import Front
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


@dataclass(frozen=True)
class Listener:
    """A listening socket with its application, limits and certificate; for a Unix socket with its `path`."""

    sock: socket.socket
    front: Front
    limits: Limits
    tls: ssl.SSLContext | None = None
    path: Path | None = None

    def unlink(self) -> None:
        """Remove the path of a Unix socket, so that nobody connects any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class _Server(uvicorn.Server):
    """uvicorn with an application and limits for each socket, without its signal handlers."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = [(each, _config(each.front)) for each in listeners]
        super().__init__(self._listeners[0][1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.servers = []
        for listener, config in self._listeners:
            connection = partial(Connection, config, self.server_state, self.lifespan.state, listener.limits)
            patience = _HANDSHAKE_SECONDS if listener.tls else None
            self.servers.append(
                await loop.create_server(
                    connection,
                    sock=listener.sock,
                    backlog=_ACCEPTS,
                    ssl=listener.tls,
                    ssl_handshake_timeout=patience,
                    ssl_shutdown_timeout=patience,
                )
            )
            listener.sock.listen(_BACKLOG)
        self.started = True


def _config(front: Front) -> uvicorn.Config:
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
) -> None:
    """Answer requests until idle (None: no limit), or until SIGTERM, SIGINT or SIGHUP. Call `ready` when it listens.

    The paths of Unix sockets are removed when the service no longer accepts requests.
    """
    # clients can cause warnings; they must not fill the log
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    try:
        asyncio.run(_serve(listeners, engine, idle_seconds, ready))
    finally:
        for listener in listeners:
            listener.unlink()
            listener.sock.close()


async def _serve(
    listeners: Sequence[Listener],
    engine: Engine,
    idle_seconds: float | None,
    ready: Callable[[], None],
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
            _log.error("the engine has ended; see above")
            server.should_exit = True
        elif idle_seconds is not None and now - max(busy_at, asked_at) >= idle_seconds:
            _log.info("idle for %s seconds", idle_seconds)
            server.should_exit = True
        elif signalled.is_set():
            server.should_exit = True
        if server.should_exit:
            for listener in listeners:
                listener.unlink()  # the next client starts the next daemon
            engine.waiters.close()
            await asyncio.wait([task])
        else:
            await _wait_for_change(task, signalled)
    await task


async def _wait_for_change(task: asyncio.Task[None], signalled: asyncio.Event) -> None:
    """Wait until the server has ended, a signal came, or the tick is over."""
    signal_wait = asyncio.ensure_future(signalled.wait())
    await asyncio.wait([task, signal_wait], timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    signal_wait.cancel()
