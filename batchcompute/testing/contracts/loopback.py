"""A scripted HTTP server: it shows the bytes that arrived, and answers what a test wants, however wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived. `headers` are (lower-case name, value), in order."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for known, value in self.headers if known == name]


Script = Callable[[Seen], bytes | None]


def answer(body: bytes = b"", status: int = 200, headers: str = "") -> bytes:
    """A complete HTTP answer. headers: further lines, each ending in CRLF."""
    length = "" if status in (204, 304) else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} Some Reason\r\n{length}{headers}\r\n".encode() + body


class Loopback:
    """Serves on a listening socket, a thread for each connection, until closed.

    `script` makes the bytes for a request; None closes the connection without any. `released` is set when the server closes: what
    a script waits for to stall. `cut` closes each connection after the answer.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.seen: list[Seen] = []
        self.script: Script = lambda seen: answer(b"{}")
        self.cut = False
        self.released = threading.Event()
        self._listening = listening
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End all connections."""
        self.released.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections.add(connection)
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while (seen := self._read(stream)) is not None:
                with self._lock:
                    self.seen.append(seen)
                data = self.script(seen)
                if data is None or self.released.is_set():
                    break
                connection.sendall(data)
                if self.cut:
                    break
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._connections.discard(connection)

    def _read(self, stream: socket.SocketIO | object) -> Seen | None:
        readline, read = stream.readline, stream.read  # type: ignore[union-attr]  # a connected one has both
        line = readline()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = []
        while (line := readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name.lower(), value.strip()))
        known = dict(headers)
        body = b""
        if known.get("transfer-encoding", "").lower() == "chunked":
            while (size := int(readline(), 16)) > 0:
                body += read(size)
                readline()
            readline()
        elif "content-length" in known:
            body = read(int(known["content-length"]))
        return Seen(method, target, tuple(headers), body)
