"""A gateway for the tests: it knows which tokens are good, and carries what comes with one to the service of this machine."""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from batchcompute_local.client import control

from batchcompute import Config, Credentials, Region
from batchcompute.builtins import default_signature
from batchcompute.hooks import AttemptContext, CallContext
from batchcompute.operations import LIST_JOBS
from batchcompute.wire import Request

CLIENT = ("team-blue", "canary-client-secret-51c0")
_KEPT = ("accept", "content-type", "x-acs-version", "prefer", "contentmd5")


class StandIn(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    daemon_threads = True

    def __init__(self, data_dir: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data_dir = data_dir
        self.good: set[str] = set()
        self.given: list[str] = []
        self.lifetime = 3600
        self.failures = 0
        """Answer so many requests with 503."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def give_token(self) -> str:
        token = f"canary-{secrets.token_hex(12)}"
        self.good.add(token)
        self.given.append(token)
        return token


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        proof = self.headers["authorization"]
        if self.path == "/token":
            if proof != f"Basic {b64encode(':'.join(CLIENT).encode()).decode()}":
                self.say(401, b"{}")
                return
            said = {"access_token": self.server.give_token(), "expires_in": self.server.lifetime}
            self.say(200, json.dumps(said).encode())
        elif proof.removeprefix("Bearer ") not in self.server.good:
            self.say(401, b'{"Code": "TokenUnknown", "Message": "ask for another one"}')
        elif self.server.failures:
            self.server.failures -= 1
            self.say(503, b'{"Code": "Busy", "Message": "try again"}')
        else:
            self.carry(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # the base class's names

    def carry(self, body: bytes) -> None:
        """Sign the request with the key of the service, and send it there."""
        data_dir = self.server.data_dir
        control.ensure_running(data_dir)
        region, key = Region("local", "local"), Credentials(*control.read_credentials(data_dir))
        headers = {name: self.headers[name] for name in _KEPT if name in self.headers}
        request = Request(self.command, self.path, headers, body)
        call = CallContext(LIST_JOBS, region, Config(), request)  # the signature does not depend on the operation
        signed = {**headers, **default_signature(AttemptContext(call, 1, request, region.endpoint, key))}
        inner = http.client.HTTPConnection("local")
        inner.sock = control.connect(data_dir)
        inner.request(self.command, self.path, body or None, signed)
        answer = inner.getresponse()
        self.say(answer.status, answer.read(), answer.getheader("x-acs-request-id") or "")
        inner.close()

    def say(self, status: int, body: bytes, request_id: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-type", "application/json")
        self.send_header("x-acs-request-id", request_id)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass
