"""What is to be sent to a peer that may not read: bounded, and never waited for.

A line goes out at once where the socket takes it. What is left is sent by a thread, which also asks a peer that says
nothing whether it is there.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress

MOST_BYTES = 8 << 20
"""What may wait for a peer that does not read, besides what must not be left out."""
PING_SECONDS = 2.0
SILENT_SECONDS = 5.0
_PIECE = 1 << 18


class Outbox:
    """One per connection. `ping` is a line that the peer answers; without one it is not asked. Thread-safe."""

    def __init__(self, sock: socket.socket, ping: bytes = b"") -> None:
        self._socket = sock
        self._ping = ping
        self._pending = bytearray()
        self._changed = threading.Condition()
        self._closed = False
        self._writable = select.poll()
        self._writable.register(sock, select.POLLOUT)
        self._heard = time.monotonic()
        self._asked: float | None = None
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, line: bytes, must: bool = True) -> bool:
        """Send it, or keep it until the peer reads. False if too much waits already; with `must` it is kept all the same."""
        with self._changed:
            if not must and len(self._pending) + len(line) > MOST_BYTES:
                return False
            sent = 0
            if not self._pending:
                if not self._ping:
                    self.note_heard()
                with suppress(OSError):  # it is full; or the peer is gone, as who listens to it notices
                    sent = self._socket.send(line, socket.MSG_DONTWAIT)
            if sent < len(line):
                self._pending += line[sent:] if sent else line
                self._changed.notify_all()
        return True

    def note_heard(self) -> None:
        """The peer said something."""
        self._heard = time.monotonic()
        self._asked = None

    @property
    def silent_seconds(self) -> float:
        """Seconds since the peer was last heard, if it owes an answer for too long; else 0."""
        asked, now = self._asked, time.monotonic()
        return now - self._heard if asked is not None and now - asked >= SILENT_SECONDS else 0.0

    def close(self, seconds: float) -> None:
        """Send nothing more, after `seconds` at most for what waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._pending, seconds)
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._pending and not self._closed:
                    self._changed.wait(PING_SECONDS if self._ping else None)
                if self._closed:
                    return
                self._ask()
                piece = bytes(self._pending[:_PIECE])
            if not piece:
                continue
            try:
                if not self._writable.poll(PING_SECONDS * 1000):
                    continue
                sent = self._socket.send(piece, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except (OSError, ValueError):  # ValueError: it was closed
                with self._changed:
                    self._closed = True
                    self._changed.notify_all()
                with suppress(OSError):  # nothing is sent any more, so who listens has to connect again
                    self._socket.shutdown(socket.SHUT_RDWR)
                return
            with self._changed:
                del self._pending[:sent]
                if not self._ping:
                    self.note_heard()  # all that can be known of this peer
                self._changed.notify_all()

    def _ask(self) -> None:
        now = time.monotonic()
        if (self._ping or self._pending) and self._asked is None and now - self._heard >= PING_SECONDS:
            self._asked = now
            if not self._pending:  # else that is what it has to read first
                self._pending += self._ping
