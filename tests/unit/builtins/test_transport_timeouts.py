"""A call's timeout holds for every step before the answer: names, addresses, handshakes, proxies, the request itself."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from batchcompute import (
    BatchComputeError,
    Client,
    Config,
    ConnectError,
    RequestTimeoutError,
    RetryConfig,
    TransportConfig,
)
from batchcompute.builtins.transport import Urllib3Factory
from batchcompute.wire import Endpoint, Request

SECONDS = 0.4
MOST = 4.0
"""Far less than the connect timeout of 30 seconds, and far more than a busy machine needs."""
ONCE = RetryConfig(attempts=1)


def call(url: str, **transport: Any) -> tuple[BatchComputeError, float]:
    """Return the error of a call with a timeout, and the seconds that it took."""
    settings = Config(retry=ONCE, transport=TransportConfig(connect_timeout=30.0, read_timeout=30.0, **transport))
    with Client(url, "testid", "testsecret", config=settings) as client:
        began = time.monotonic()
        with pytest.raises(BatchComputeError) as caught:
            client.list_jobs(timeout=SECONDS)
        return caught.value, time.monotonic() - began


class Peer:
    """A listening socket; `serve` is run with each connection, in a thread, until it is closed."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], object]) -> None:
        self.closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._serve(connection, self.closed)

    def close(self) -> None:
        self.closed.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def peers() -> Iterator[Callable[..., Peer]]:
    with ExitStack() as stack:

        def make(serve: Callable[[socket.socket, threading.Event], object]) -> Peer:
            peer = Peer(serve)
            stack.callback(peer.close)
            return peer

        yield make


def wait(connection: socket.socket, closed: threading.Event) -> None:
    closed.wait(60)


def dribble(connection: socket.socket, closed: threading.Event) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 600:
        connection.sendall(bytes([byte]))
        if closed.wait(0.05):
            break


def dribble_tls(connection: socket.socket, closed: threading.Event) -> None:
    """The header of a handshake record of 16,000 bytes, and then a byte now and then."""
    connection.sendall(b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c\x03\x03")
    while not closed.wait(0.05):
        connection.sendall(b"\x00")


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        release.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    error, seconds = call("http://slow.invalid")
    release.set()
    assert isinstance(error, ConnectError)
    assert "in time" in str(error)
    assert seconds < MOST


def test_several_addresses_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue of connections: each further attempt to connect waits, as it does for a host that is switched off."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("0.0.0.0", 0))  # 127.0.0.1 to 127.0.0.20
        full.listen(0)
        port = full.getsockname()[1]
        usual = socket.getaddrinfo
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))

        def twenty(host: str, *rest: Any, **more: Any) -> list[Any]:
            if host != "many.invalid":
                return usual(host, *rest, **more)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in range(1, 21)]

        monkeypatch.setattr(socket, "getaddrinfo", twenty)
        error, seconds = call(f"http://many.invalid:{port}")
    assert isinstance(error, ConnectError)
    assert seconds < MOST


def test_the_second_address_is_tried(monkeypatch: pytest.MonkeyPatch, peers: Callable[..., Peer]) -> None:
    def answer(connection: socket.socket, closed: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    peer = peers(answer)
    usual = socket.getaddrinfo

    def two(host: str, *rest: Any, **more: Any) -> list[Any]:
        if host != "two.invalid":
            return usual(host, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", peer.port)) for n in (9, 1)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with Client(f"http://two.invalid:{peer.port}", "testid", "testsecret") as client:
        assert list(client.list_jobs(timeout=20)) == []


@pytest.mark.parametrize("serve", [wait, dribble_tls])
def test_a_handshake_that_does_not_end(peers: Callable[..., Peer], serve: Callable[..., None]) -> None:
    error, seconds = call(f"https://127.0.0.1:{peers(serve).port}")
    assert isinstance(error, (ConnectError, RequestTimeoutError))
    assert seconds < MOST


@pytest.mark.parametrize("serve", [wait, dribble])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_answer(peers: Callable[..., Peer], scheme: str, serve: Callable[..., None]) -> None:
    proxy = f"http://127.0.0.1:{peers(serve).port}"
    error, seconds = call(f"{scheme}://far.invalid", **{f"{scheme}_proxy": proxy})
    assert isinstance(error, (ConnectError, RequestTimeoutError))
    assert seconds < MOST


def test_a_request_that_nobody_reads(peers: Callable[..., Peer]) -> None:
    where = Endpoint("http", "127.0.0.1", peers(wait).port, "r")
    transport = Urllib3Factory().open(TransportConfig(connect_timeout=30.0, read_timeout=30.0))
    began = time.monotonic()
    with pytest.raises(RequestTimeoutError):
        transport.send(Request("POST", "/jobs", {}, bytes(64 << 20), where, SECONDS))
    transport.close()
    assert time.monotonic() - began < MOST
