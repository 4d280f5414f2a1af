"""Where the OSS endpoint listens. It keeps its ports over restarts: programs that go on running have them in their variables."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

from batchcompute_local.damage import DamageError, clear_place, read_whole
from batchcompute_local.files import fsync_folder

LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)


def read_port(path: Path, name: str = "loopback") -> int:
    """Return the port that the endpoint of this data folder has; 0 if it has had none. Raises OSError."""
    with suppress(FileNotFoundError, DamageError, ValueError, AttributeError):
        port = json.loads(read_whole(path)).get(name)
        if type(port) is int and 0 < port < 65536:
            return port
    return 0


def read_address(path: Path, host: str = LOOPBACK) -> str:
    """Return the address for programs, such as 127.0.0.1:40123; `local` if there is no endpoint."""
    port = read_port(path)
    return join(host, port) if port else "local"


def join(host: str, port: int) -> str:
    """Return host and port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(path: Path) -> socket.socket:
    """Listen on loopback, on the port of last time if it is free. Raises OSError."""
    port = read_port(path)
    try:
        sock = bind(LOOPBACK, port)
    except OSError as error:
        if not port or error.errno != errno.EADDRINUSE:
            raise
        sock = bind(LOOPBACK, 0)
        _log.warning("port %d of the objects is taken: programs that run already look for them in vain", port)
    write_port(path, "loopback", sock.getsockname()[1])
    return sock


def write_port(path: Path, name: str, port: int) -> None:
    """Remember a port. Raises OSError."""
    ports = {each: read_port(path, each) for each in ("loopback", "outside")} | {name: port}
    if port == read_port(path, name):
        return
    part = path.with_suffix(".part")
    clear_place(part)
    clear_place(path)
    with open(part, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump({each: number for each, number in ports.items() if number}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    fsync_folder(path.parent)


def bind(host: str, port: int) -> socket.socket:
    """Listen on an address of this machine. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio sets no TCP_NODELAY
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock
