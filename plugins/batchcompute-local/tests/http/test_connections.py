"""Connections: too many of them, half-closed ones, and the limit on descriptors."""

from __future__ import annotations

import http.client
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from batchcompute_local.client import control
from batchcompute_local.http.accounts import ensure_credentials
from batchcompute_local.http.connections import fit_to_descriptors
from batchcompute_local.paths import Layout

from batchcompute import Client, Config, ServerError
from batchcompute.config import RetryConfig
from tests.support.descriptions import describe
from tests.support.service import Cloud
from tests.support.signed import connect_to, sign_headers
from tests.support.waits import wait_for


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def head(cloud: Cloud, method: str, target: str, length: int = 0, **headers: str) -> bytes:
    """A signed request without its body."""
    signed = sign_headers(*control.read_credentials(cloud.root), method, target, headers)
    lines = [f"{method} {target} HTTP/1.1", "Host: a", *(f"{name}: {value}" for name, value in signed.items())]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def connect(cloud: Cloud) -> socket.socket:
    sock = control.connect(cloud.root)
    sock.settimeout(30)
    return sock


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def occupy(cloud: Cloud, stack: ExitStack, count: int) -> list[socket.socket]:
    """Connections whose requests are being received."""
    socks = [stack.enter_context(connect(cloud)) for _ in range(count)]
    for sock in socks:
        sock.sendall(head(cloud, "POST", "/jobs", 500) + b"{")
    return socks


def is_refused(cloud: Cloud) -> bool:
    with suppress(ConnectionError, http.client.HTTPException):
        return ask(cloud)[0] == 503
    return False


def is_answered(cloud: Cloud) -> bool:
    with suppress(ConnectionError, http.client.HTTPException):
        return ask(cloud)[0] == 200
    return False


def ask(cloud: Cloud) -> tuple[int, str | None]:
    """Status and Retry-After of a request over a connection of its own."""
    connection = connect_to(cloud.root)
    try:
        headers = sign_headers(*control.read_credentials(cloud.root), "GET", "/images", {})
        connection.request("GET", "/images", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Retry-After"]
    finally:
        connection.close()


def test_a_full_service_answers_503_and_tells_its_status(cloud: Cloud, stack: ExitStack) -> None:
    cloud.settings("max_connections = 3\nrequest_seconds = 30\n")
    pid = cloud.up()
    busy = occupy(cloud, stack, 3)
    wait_for(lambda: is_refused(cloud), "a full service")
    assert ask(cloud) == (503, "1")
    found = control.status(cloud.root)
    assert found is not None
    assert found["pid"] == pid
    busy[0].close()
    wait_for(lambda: ask(cloud)[0] == 200, "room")


def test_a_client_gets_through_when_there_is_room_again(
    cloud: Cloud, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.settings("max_connections = 3\nrequest_seconds = 30\n")
    pid = cloud.up()
    busy = occupy(cloud, stack, 3)
    wait_for(lambda: is_refused(cloud), "a full service")
    with Client("local", config=Config(retry=RetryConfig(attempts=1))) as once, pytest.raises(ServerError) as caught:
        once.list_images()
    assert (caught.value.status, caught.value.code) == (503, "ServiceUnavailable")
    with Client("local") as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.list_images, timeout=30)
        busy[0].close()
        assert len(answer.result(40)) > 0
    found = control.status(cloud.root)
    assert found is not None
    assert found["pid"] == pid, "another service was started"


def test_the_connection_that_is_idle_longest_makes_room(cloud: Cloud, stack: ExitStack) -> None:
    cloud.settings("max_connections = 3\n")
    cloud.up()
    idle = [stack.enter_context(connect(cloud)) for _ in range(3)]
    wait_for(lambda: ask(cloud)[0] == 200, "room")
    assert read_all(idle[0]) == b""


def test_a_client_that_closes_its_sending_side_gets_its_answers(cloud: Cloud, stack: ExitStack) -> None:
    cloud.up()
    body = describe({"A": {"PackageUri": "oss://b/none"}})
    creating = stack.enter_context(connect(cloud))
    creating.sendall(head(cloud, "POST", "/jobs", len(body)) + body)
    creating.shutdown(socket.SHUT_WR)
    assert read_all(creating).startswith(b"HTTP/1.1 201 ")
    many = stack.enter_context(connect(cloud))
    many.sendall(b"".join(head(cloud, "GET", "/images") for _ in range(50)))
    many.shutdown(socket.SHUT_WR)
    assert read_all(many).count(b"HTTP/1.1 200 ") == 50


def test_half_a_request_gets_no_answer(cloud: Cloud, stack: ExitStack) -> None:
    cloud.up()
    sock = stack.enter_context(connect(cloud))
    sock.sendall(head(cloud, "POST", "/jobs", 500) + b"{")
    sock.shutdown(socket.SHUT_WR)
    assert b"201" not in read_all(sock)


def test_connections_fit_the_limit_on_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(soft: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, resource.RLIM_INFINITY))

    for soft, listeners, *expected in ((1024, 1, 400, 496), (400, 2, 102, 34), (64, 1, 24, 8), (4, 2, 1, 1)):
        limit(soft)
        assert fit_to_descriptors(400, listeners) == tuple(expected)
    limit(resource.RLIM_INFINITY)
    assert fit_to_descriptors(400, 1) == (400, 2000)


def test_a_service_without_descriptors_goes_on_and_idles(cloud: Cloud, stack: ExitStack) -> None:
    Layout(cloud.root).create()
    ensure_credentials(Layout(cloud.root).credentials)
    daemon = [sys.executable, "-m", "batchcompute_local.daemon", "--data-dir", str(cloud.root)]
    process = subprocess.Popen(["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *daemon], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: control.status(cloud.root), "the service")
        idle = []
        for _ in range(120):
            with suppress(BlockingIOError, ConnectionError):
                idle.append(stack.enter_context(connect(cloud)))
        wait_for(lambda: is_answered(cloud), "room")
        before, began = cpu_seconds(process.pid), time.monotonic()
        wait_for(lambda: time.monotonic() - began > 1.0, "a second")
        assert cpu_seconds(process.pid) - before < 0.2
        assert re.search(r"at most 7 connections at once", Layout(cloud.root).log.read_text())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
