"""Unix sockets in a folder whose path may be longer than an address allows (107 bytes)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batchcompute_local.damage import clear_place

_LONGEST = 107


@contextmanager
def _address(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def connect(path: Path, timeout: float | None = None) -> socket.socket:
    """Connect to the socket at `path`. Raises FileNotFoundError or ConnectionError if no process listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        with _address(path) as address:
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(path: Path, backlog: int = 128) -> socket.socket:
    """Listen at `path`, mode 0600; replace a stale socket, and put aside what is none. The caller holds the lock of its owner."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        clear_place(path, stat.S_IFSOCK)
        with suppress(FileNotFoundError):
            path.unlink()
        with _address(path) as address:
            before = os.umask(0o177)
            try:
                sock.bind(address)
            finally:
                os.umask(before)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
