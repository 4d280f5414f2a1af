"""Answers that are cut, and answers that are too large: the urllib3 transport, against a scripted server."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
from collections.abc import Iterator

import pytest

from batchcompute.builtins.transport import Urllib3Factory
from batchcompute.config import TransportConfig
from batchcompute.errors import DecodeError, RequestTimeoutError, ResponseLostError
from batchcompute.testing.contracts.loopback import Loopback
from batchcompute.wire import Endpoint, Request, Response

BODY = b'{"ResourceId":"job-1"}'
HEAD = b"HTTP/1.1 200 OK\r\nrequest-id: R1\r\nx-acs-request-id: R1\r\n"
PACKED = gzip.compress(BODY)


def chunked(data: bytes) -> bytes:
    half = len(data) // 2
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:half], data[half:], b""))


FORMS = {
    "a length": HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY),
    "no end of its own": HEAD + b"\r\n" + BODY,
    "packed, a length": HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
    "packed, chunks": HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(PACKED),
}


@pytest.fixture
def server() -> Iterator[Loopback]:
    made = Loopback(socket.create_server(("127.0.0.1", 0)))
    made.cut = True
    yield made
    made.close()


def send(server: Loopback, *, timeout: float | None = None, limit: int = 256 << 20) -> Response:
    host, port = server._listening.getsockname()
    transport = Urllib3Factory().open(TransportConfig(read_timeout=20.0, max_answer_bytes=limit))
    try:
        return transport.send(Request("GET", "/jobs", {}, b"", Endpoint("http", host, port, "r"), timeout))
    finally:
        transport.close()


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_is_cut_at_any_byte_is_lost(server: Loopback, form: str) -> None:
    whole = FORMS[form]
    server.script = lambda seen: whole
    assert send(server).body == BODY
    for size in range(len(whole)):
        server.script = lambda seen, size=size: whole[:size]  # type: ignore[misc]  # bound at once
        with pytest.raises(ResponseLostError) as caught:
            send(server)
        assert caught.value.sent


def test_an_answer_without_a_body_ends_with_its_head(server: Loopback) -> None:
    whole = b"HTTP/1.1 204 No Content\r\nrequest-id: R1\r\n\r\n"
    server.script = lambda seen: whole
    assert send(server).status == 204
    for size in range(len(whole)):
        server.script = lambda seen, size=size: whole[:size]  # type: ignore[misc]  # bound at once
        with pytest.raises(ResponseLostError):
            send(server)


def test_an_error_of_a_gateway_may_end_with_its_connection(server: Loopback) -> None:
    server.script = lambda seen: b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>"
    assert send(server).status == 502


def packed_zeros(megabytes: int) -> bytes:
    data = gzip.compress(bytes(1 << 20), 1) * megabytes
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data) + data


def test_an_answer_that_inflates_beyond_the_limit_is_refused_early(server: Loopback) -> None:
    data = packed_zeros(200)
    server.script = lambda seen: data
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=r"larger than 4194304 bytes.*transport\.max_answer_bytes"):
            send(server, limit=4 << 20)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"Content-Length: 3000", b"Transfer-Encoding: chunked"])
def test_a_plain_answer_beyond_the_limit_is_refused(server: Loopback, head: bytes) -> None:
    body = b"x" * 3000 if b"Length" in head else chunked(b"x" * 3000)
    server.script = lambda seen: b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body
    with pytest.raises(DecodeError, match="larger than 2999 bytes"):
        send(server, limit=2999)
    assert send(server, limit=3000).body == b"x" * 3000


@pytest.mark.parametrize(
    ("answer", "kind", "limit"),
    [
        (HEAD + b"Content-Length: 99\r\n\r\n{", ResponseLostError, 1000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", ResponseLostError, 1000),
        (HEAD + b"\r\n{", ResponseLostError, 1000),
        (HEAD + b"Content-Length: 9\r\n\r\n123456789", DecodeError, 8),
    ],
)
def test_an_error_after_the_head_has_what_the_head_said(
    server: Loopback, answer: bytes, kind: type[ResponseLostError | DecodeError], limit: int
) -> None:
    server.script, server.cut = lambda seen: answer, True
    with pytest.raises(kind) as caught:
        send(server, limit=limit)
    error = caught.value
    assert isinstance(error, (ResponseLostError, DecodeError))
    assert (error.status, error.request_id) == (200, "R1")


def test_the_time_limit_holds_while_an_answer_is_inflated(server: Loopback) -> None:
    """A gigabyte takes a quarter of a second or more."""
    data = packed_zeros(1000)
    server.script = lambda seen: data
    with pytest.raises(RequestTimeoutError):
        send(server, timeout=0.05, limit=10 << 30)
