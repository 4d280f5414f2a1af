"""A desk that hands out credentials, on this machine."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CANARY = "zq9-canary"


class Handler(BaseHTTPRequestHandler):
    server: Desk

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(f"{self.command} {self.path}")
        status, body = self.server.status, self.server.body(self.path)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer  # noqa: N815  # the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


class Desk(ThreadingHTTPServer):
    """Answers like a credentials URI, and like the metadata service of an ECS (protocol 4.3)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str] = []
        self.status = 200
        self.number = 0
        self.life = 3600.0
        self.text: str | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/desk?for={CANARY}-query"

    def body(self, path: str) -> bytes:
        if self.text is not None:
            return self.text.encode()
        if path == "/latest/api/token":
            return f"{CANARY}-metadata-token".encode()
        if path.endswith("/security-credentials/"):
            return b"role"
        self.number += 1
        answer = {
            "Code": "Success",
            "AccessKeyId": f"key-{self.number}",
            "AccessKeySecret": f"{CANARY}-secret",
            "SecurityToken": f"{CANARY}-token",
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life)),
        }
        return json.dumps(answer).encode()
