"""Real HTTP servers on this machine, which keep what arrives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from batchcompute import Client
from batchcompute.testing.contracts.loopback import Loopback


class ScriptedServer(Loopback):
    """A scripted HTTP server on a free port of this machine; its `url`."""

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening)
        self.url = "http://{}:{}".format(*listening.getsockname())


class Handler(BaseHTTPRequestHandler):
    """Keeps what arrives in `server.seen` and answers with `server.reply`."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server: Server

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.seen.append((self.command, self.path, headers, body))
        self.server.reply(self)

    do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815  # the base class's names

    def say(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer."""
        self.send_response(status)
        for name, value in {"x-acs-request-id": "REQ-1", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


class Server(ThreadingHTTPServer):
    """An HTTP server on a free port of this machine."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reply: Callable[[Handler], object] = lambda handler: handler.say(b"{}")
        self.connections = 0
        self.clients: list[Client] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away early is no news."""

    def client(self, **kwargs: Any) -> Client:
        """A Client of this server, closed at the end of the test."""
        url = f"http://127.0.0.1:{self.server_port}"
        self.clients.append(Client(url, "testid", "testsecret", **kwargs))
        return self.clients[-1]
