"""Unix sockets in a folder whose path may be longer than an address allows (107 bytes)."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batchcompute_local.damage import clear_place

_LONGEST = 107
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


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
    """Connect to the socket at `path` within `timeout` seconds, which is then the limit of each step (None: no limit).

    Raises FileNotFoundError or ConnectionError if no process listens, and TimeoutError if it accepts no connection.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    until = None if timeout is None else time.monotonic() + timeout
    pause = _FIRST_PAUSE
    try:
        sock.settimeout(None if timeout is None else max(timeout, 0.0))
        with _address(path) as address:
            while True:
                try:
                    sock.connect(address)
                    return sock
                except BlockingIOError:  # its queue is full: with a time limit, the system does not wait for room
                    if until is None or time.monotonic() + pause >= until:
                        raise TimeoutError("its queue of connections is full") from None
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
    except BaseException:
        sock.close()
        raise


def limit(sock: socket.socket, until: float) -> None:
    """Let the next step of `sock` end by second `until` of time.monotonic(). Raises TimeoutError if that is over."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    sock.settimeout(left)


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


def identify(path: Path | int) -> tuple[int, int] | None:
    """Return device and inode of what is at `path` (or is this descriptor); None if nothing is, or it cannot be looked at."""
    try:
        facts = os.stat(path) if isinstance(path, int) else os.lstat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
