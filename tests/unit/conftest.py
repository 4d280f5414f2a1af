"""Stand-ins for the network and the clock, and a real HTTP server on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from batchcompute import Client, Config, TransportConfig
from batchcompute.hooks import RegistrationContext, hookimpl, loading
from batchcompute.wire import Request, Response

HEADERS = {"x-acs-request-id": "REQ-1", "date": "Tue, 30 Jun 2015 08:00:00 GMT"}
Answer = Response | Exception | Callable[[Request], Response]


@pytest.fixture(autouse=True)
def no_installed_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed on this machine takes no part in these tests."""
    monkeypatch.setattr(loading, "installed_plugins", lambda: ())


def response(body: object = b"", status: int = 200, **headers: str) -> Response:
    """An answer; what is neither bytes nor str becomes JSON. `retry_after="3"` is the header retry-after."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    data = body if isinstance(body, bytes) else body.encode()
    return Response(status, HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}, data)


class Stub:
    """A plugin whose transport takes the place of `urllib3`: it keeps the requests and gives the prepared answers."""

    name = "urllib3"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self.always: Answer | None = None
        self.opened: list[TransportConfig] = []
        self.closed = 0

    @hookimpl
    def register_transports(self, ctx: RegistrationContext) -> list[Stub]:
        return [self]

    def open(self, settings: TransportConfig) -> Stub:
        self.opened.append(settings)
        return self

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.always
        assert answer is not None, f"no answer was prepared for {request.method} {request.target}"
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Response) else answer(request)

    def close(self) -> None:
        self.closed += 1

    def answer(self, body: object = b"", status: int = 200, **headers: str) -> None:
        """Prepare one more answer."""
        self.answers.append(response(body, status, **headers))

    def client(self, *args: Any, plugins: tuple[object, ...] = (), **kwargs: Any) -> Client:
        """A Client of cn-qingdao that talks to this stub."""
        return Client("cn-qingdao", "testid", "testsecret", *args, plugins=[self, *plugins], **kwargs)


@pytest.fixture
def stub() -> Stub:
    return Stub()


class Clock:
    """A clock that moves only when somebody sleeps; `naps` are the lengths."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


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
        self.reply: Callable[[Handler], None] = lambda handler: handler.say(b"{}")
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


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        for client in server.clients:
            client.close()
        server.shutdown()
        thread.join()


@pytest.fixture
def once() -> Config:
    """A configuration without repeated attempts."""
    from batchcompute import RetryConfig

    return Config(retry=RetryConfig(attempts=1))


def job_description(**task: Any) -> dict[str, Any]:
    """A description without problems; `task` changes its only task, Find."""
    find = {
        "PackageUri": "oss://bucket/worker.tar.gz",
        "ProgramName": "find.py",
        "ImageId": "img-1",
        "Timeout": 60,
        **task,
    }
    return {"JobName": "find-prime", "Priority": 0, "TaskDag": {"TaskDescMap": {"Find": find}, "Dependencies": {}}}


@pytest.fixture
def describe() -> Callable[..., dict[str, Any]]:
    return job_description


@pytest.fixture
def reply() -> Callable[..., Response]:
    return response
