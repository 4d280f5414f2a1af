"""uvicorn on the daemon's socket, until nothing is left to do."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from batchcompute_local import unixsocket
from batchcompute_local.app import Front
from batchcompute_local.engine import Engine

_log = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS = 120
_SHUTDOWN_SECONDS = 5
_TICK_SECONDS = 0.25


def serve(front: Front, engine: Engine, path: Path, idle_seconds: float, ready: Callable[[], None]) -> None:
    """Answer requests on the Unix socket `path` until idle, or until SIGTERM or SIGINT. Calls `ready` once it does."""
    config = uvicorn.Config(
        front.app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http="h11",
        ws="none",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = uvicorn.Server(config)
    # uvicorn raises the signal once more when it is done; by then it has done its work
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    sock = unixsocket.listen(path)
    try:
        asyncio.run(_serve(server, sock, front, engine, path, idle_seconds, ready))
    finally:
        path.unlink(missing_ok=True)
        sock.close()


async def _serve(
    server: uvicorn.Server,
    sock: unixsocket.Socket,
    front: Front,
    engine: Engine,
    path: Path,
    idle_seconds: float,
    ready: Callable[[], None],
) -> None:
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started and not task.done():
        await asyncio.sleep(0.001)
    _log.info("listening")
    ready()
    busy_at = time.monotonic()
    while not task.done():
        now = time.monotonic()
        if engine.busy:
            busy_at = now
        if not engine.alive:
            _log.error("the engine has ended; see above")
            server.should_exit = True
        elif now - max(busy_at, front.last_request) >= idle_seconds:
            _log.info("idle for %s seconds", idle_seconds)
            server.should_exit = True
        if server.should_exit:
            path.unlink(missing_ok=True)  # whoever comes now starts the next daemon
        await asyncio.wait([task], timeout=_TICK_SECONDS)
    await task
