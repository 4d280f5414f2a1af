"""The lab's front door: listens on a TCP port of this machine and carries the bytes to the local service's socket.

`python -m labregion.gateway --port 0` takes any free port, says which, and serves until a signal ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from batchcompute_local.client import control
from batchcompute_local.errors import DaemonError
from batchcompute_local.paths import default_data_dir

HOST = "127.0.0.1"
_CHUNK = 65536


def listen(port: int) -> socket.socket:
    """The gateway's own socket; connections are queued from now on. Raises OSError when the port is taken."""
    return socket.create_server((HOST, port))


def serve(listening: socket.socket, data_dir: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    asyncio.run(_serve(listening, data_dir))


async def _serve(listening: socket.socket, data_dir: Path) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    carried: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_carry(reader, writer, data_dir))
        carried.add(task)
        task.add_done_callback(carried.discard)

    server = await asyncio.start_server(accepted, sock=listening)
    await ending.wait()
    server.close()
    for task in carried:
        task.cancel()
    await asyncio.gather(*carried, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data_dir: Path) -> None:
    """One connection, until either side closes it."""
    try:
        sock = await asyncio.to_thread(_reach, data_dir)
        inward, outward = await asyncio.open_unix_connection(sock=sock)
        try:
            await asyncio.gather(_pump(reader, outward), _pump(inward, writer))
        finally:
            outward.close()
    except (OSError, DaemonError):
        pass  # the client sees its connection end
    finally:
        writer.close()


def _reach(data_dir: Path) -> socket.socket:
    """A connection to the service, which is started when it does not run: it ends when it has had nothing to do."""
    try:
        return control.connect(data_dir)
    except OSError:
        control.ensure_running(data_dir)
        return control.connect(data_dir)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()


def main() -> None:
    """The command line of the module."""
    parser = argparse.ArgumentParser(prog="labregion.gateway", description="A TCP port in front of the local service.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    listening = listen(parser.parse_args().port)
    print(f"The gateway listens on {HOST}:{listening.getsockname()[1]}", flush=True)
    serve(listening, default_data_dir())


def in_background(listening: socket.socket, data_dir: Path) -> int:
    """Serve in a child that outlives us; its process id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    try:
        serve(listening, data_dir)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
