"""A proxy on loopback that goes wrong on purpose."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

FORWARDED = {"reset after", "stall", "half a response", "garbage"}
"""Faults that happen after the service has done what it was asked."""


class FaultProxy:
    """Forwards each request to the service on a connection of its own, except for the first `count` that go wrong."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.fault = ""
        self.count = 0
        self.seen = 0
        self._stop = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, fault: str, count: int) -> None:
        self.fault, self.count, self.seen = fault, count, 0
        self._stop.clear()

    def release(self) -> None:
        """Let the stalled connections go."""
        self._stop.set()

    def close(self) -> None:
        self.release()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.seen += 1
            fault = self.fault if self.seen <= self.count else ""
            threading.Thread(target=self._serve, args=(client, fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: str) -> None:
        with client, suppress(OSError):
            if fault == "reset before":
                client.recv(1, socket.MSG_PEEK)  # it has been sent, and is not read
                _reset(client)
                return
            request = _read_message(client)
            if fault in ("", *FORWARDED):
                with self._connect() as service:
                    service.sendall(request)
                    answer = _read_message(service)
                client.sendall(_changed(answer, fault))
                if fault == "stall":
                    self._stop.wait(20)
            if fault == "429":
                client.sendall(_refusal("429 Too Many Requests", "Throttling.User"))
            if fault == "503 with Retry-After":
                client.sendall(_refusal("503 Service Unavailable", "ServiceUnavailable", "Retry-After: 0\r\n"))
            if fault in ("half a response", "reset after"):
                _reset(client)


def _changed(answer: bytes, fault: str) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    whole = head + b"\r\nConnection: close\r\n\r\n" + body
    return {
        "": whole,
        "half a response": whole[: len(whole) // 2],
        "garbage": b"\x00\xff\x16\x03 this is no HTTP \r\n\r\n" * 3,
    }.get(fault, b"")


def _refusal(status: str, code: str, more: str = "") -> bytes:
    body = f'{{"Code": "{code}", "Message": "not now"}}'
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n{body}".encode()


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _read_message(sock: socket.socket) -> bytes:
    """One HTTP message: in chunks, with a Content-Length, or without a body."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = sock.recv(65536)
        if not chunk:
            return data
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    headers = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    chunked = headers.get(b"transfer-encoding") == b"chunked"
    length = int(headers.get(b"content-length", 0))
    while not body.endswith(b"0\r\n\r\n") if chunked else len(body) < length:
        more = sock.recv(65536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body
