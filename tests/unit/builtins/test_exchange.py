"""A kept connection: its exchanges are ours, and give what urllib3 gives on a fresh one."""

from __future__ import annotations

import functools
import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
import vcr

from batchcompute.builtins.transport import Urllib3Factory
from batchcompute.config import TransportConfig
from batchcompute.errors import DecodeError, RequestTimeoutError, ResponseLostError
from batchcompute.hooks import Transport
from batchcompute.testing.contracts.loopback import Loopback, Seen, answer
from batchcompute.wire import Endpoint, Request, Response
from tests.support.waits import wait_for

BODY = b'{"ResourceId":"job-1"}'
PACKED = gzip.compress(BODY)
OK = b"HTTP/1.1 200 OK\r\nrequest-id: R1\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKS = b"5\r\n" + BODY[:5] + b"\r\n%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n"
PLAIN = OK + LENGTH + b"\r\n" + BODY
ANSWERS = {
    "plain": PLAIN,
    "no reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "spaces around a value": OK + b"X-A: \t a b \t\r\n" + LENGTH + b"\r\n" + BODY,
    "an empty value": OK + b"X-A:\r\n" + LENGTH + b"\r\n" + BODY,
    "latin-1": OK + b"X-A: \xe9\r\n" + LENGTH + b"\r\n" + BODY,
    "a name twice": OK + b"X-A: 1\r\nx-a: 2\r\n" + LENGTH + b"\r\n" + BODY,
    "a folded value": OK + b"X-A: 1\r\n 2\r\n" + LENGTH + b"\r\n" + BODY,
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunks and a length": OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "packed": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
    "no body": b"HTTP/1.1 204 No Content\r\nrequest-id: R1\r\n\r\n",
    "no body, with a length": b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + b"\r\n",
    "to be closed": OK + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY,
    "an error": answer(b'{"Code":"X"}', 404),
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "lines without CR": PLAIN.replace(b"\r\n", b"\n"),
    "version 1.0": PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "two lengths": OK + LENGTH + b"Content-Length: 5\r\n\r\n" + BODY,
    "a length of no digits": OK + b"Content-Length: +5\r\n\r\n" + BODY,
    "no name": OK + b": 1\r\n" + LENGTH + b"\r\n" + BODY,
    "too many headers": OK + b"".join(b"x-%d: 1\r\n" % n for n in range(120)) + LENGTH + b"\r\n" + BODY,
    "a head of 70,000 bytes": OK + b"X-A: " + b"a" * 70_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    "not HTTP": b"220 ftp ready\r\n\r\n",
    "nothing": b"",
}
ENDLESS = ("not HTTP", "nothing", "two lengths", "a length of no digits")
"""Who waits for their end waits for the end of the connection."""
CLOSED = (*ENDLESS, "to be closed", "version 1.0", "too many headers", "a head of 70,000 bytes")


@pytest.fixture
def server() -> Iterator[Loopback]:
    made = Loopback(socket.create_server(("127.0.0.1", 0)))
    yield made
    made.close()


def script(server: Loopback, data: bytes, cut: bool = False) -> None:
    """Answer so from the next request on, and close the connection after that, but for `/first` and `/next`."""

    def reply(seen: Seen) -> bytes:
        usual = seen.target in ("/first", "/next")
        server.cut = cut and not usual
        return PLAIN if usual else data

    server.script = reply


def request_to(server: Loopback, target: str = "/jobs", timeout: float | None = None, **more: object) -> Request:
    host, port = server._listening.getsockname()
    return Request("GET", target, {"x-a": "b"}, b"", Endpoint("http", host, port, "r"), timeout)


@contextmanager
def kept(server: Loopback, limit: int = 1 << 20) -> Iterator[Transport]:
    """A transport with one open connection."""
    transport = Urllib3Factory().open(TransportConfig(read_timeout=20.0, max_answer_bytes=limit, pool_size=1))
    try:
        script(server, PLAIN)
        transport.send(request_to(server, "/first"))
        yield transport
    finally:
        transport.close()


def result_of(transport: Transport, request: Request) -> object:
    try:
        response = transport.send(request)
    except ResponseLostError as error:
        return type(error)
    return response.status, dict(response.headers), response.body


@pytest.mark.parametrize("form", ANSWERS)
def test_a_kept_connection_gives_what_a_fresh_one_gives(server: Loopback, form: str) -> None:
    fresh = Urllib3Factory().open(TransportConfig(read_timeout=20.0))
    script(server, ANSWERS[form], cut=True)
    wanted = result_of(fresh, request_to(server))
    fresh.close()
    with kept(server) as transport:
        script(server, ANSWERS[form], cut=True)
        assert result_of(transport, request_to(server)) == wanted


@pytest.mark.parametrize("form", ANSWERS)
def test_a_kept_connection_is_kept_only_after_a_whole_answer(server: Loopback, form: str) -> None:
    with kept(server) as transport:
        script(server, ANSWERS[form], cut=form in ENDLESS)
        opened = len(server._threads)
        result_of(transport, request_to(server))
        if form in ENDLESS:
            wait_for(lambda: not server._connections, "the end of the connection")  # else it is used once more
        assert transport.send(request_to(server, "/next")).body == BODY
        assert len(server._threads) - opened == (1 if form in CLOSED else 0)


@pytest.mark.parametrize("form", ["plain", "chunks", "packed", "no body"])
def test_an_answer_that_is_cut_at_any_byte_is_lost(server: Loopback, form: str) -> None:
    whole = ANSWERS[form]
    for size in range(len(whole)):
        with kept(server) as transport:
            script(server, whole[:size], cut=True)
            with pytest.raises(ResponseLostError) as caught:
                transport.send(request_to(server))
            assert caught.value.sent
            if size > whole.find(b"\r\n\r\n") + 4:
                assert (caught.value.status, caught.value.request_id) == (200, "R1")


def test_the_request_is_the_same_on_the_wire(server: Loopback) -> None:
    """Names, values, order and body; only the case of two names that urllib3 adds could differ, and does not."""
    body = b'{"JobName":"x"}'
    with kept(server) as transport:
        server.seen.clear()
        host, port = server._listening.getsockname()
        usual = {"user-agent": "u", "accept": "application/json", "x-acs-security-token": "t/+="}
        methods = (("GET", b""), ("POST", body), ("PUT", b""), ("DELETE", b""), ("POST", b"x" * 300_000))
        targets = ("/jobs", "/jobs?x=%E4%B8%AD&y=a/b", "/jobs/a%2Fb", "/jobs/a%2fb", '/a"{b}')
        none: dict[str, str] = {}
        cases = [(method, target, sent, none) for target in targets for method, sent in methods]
        cases += [("GET", "/jobs", b"", more) for more in ({"accept-encoding": "gzip"}, {"Host": "x"})]
        for method, target, sent, more in cases:
            request = Request(method, target, {**usual, **more}, sent, Endpoint("http", host, port, "r"))
            transport.send(request)  # ours
            fresh = Urllib3Factory().open(TransportConfig())
            fresh.send(request)  # urllib3's
            fresh.close()
    assert len(server.seen) == 2 * len(cases)
    for ours, theirs in zip(server.seen[::2], server.seen[1::2], strict=True):
        assert ours == theirs


def test_more_than_the_answer_ends_the_connection(server: Loopback) -> None:
    with kept(server) as transport:
        script(server, PLAIN + b"HTTP/1.1 200 OK\r\n")
        opened = len(server._threads)
        assert transport.send(request_to(server)).body == BODY
        assert transport.send(request_to(server, "/next")).body == BODY
        assert len(server._threads) == opened + 1


def test_a_connection_that_the_server_has_closed_is_not_used(server: Loopback) -> None:
    with kept(server) as transport:
        for connection in list(server._connections):
            connection.shutdown(socket.SHUT_RDWR)
        assert transport.send(Request("POST", "/jobs", {}, b"{}", request_to(server).endpoint)).body == BODY
        assert [seen.target for seen in server.seen] == ["/first", "/jobs"]


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n", OK + LENGTH + b"\r\n{"])
@pytest.mark.parametrize("timeout", [1.0, None])
def test_a_server_that_stops_in_the_middle(server: Loopback, begin: bytes, timeout: float | None) -> None:
    transport = Urllib3Factory().open(TransportConfig(read_timeout=20.0 if timeout else 1.0))
    server.script = lambda seen: PLAIN
    transport.send(request_to(server))

    def stall(seen: object) -> bytes | None:
        for connection in list(server._connections):
            connection.sendall(begin)
        server.released.wait(20)
        return None

    server.script = stall
    began = time.monotonic()
    with pytest.raises(RequestTimeoutError):
        transport.send(request_to(server, timeout=timeout))
    assert time.monotonic() - began < 10
    transport.close()


def test_a_timeout_holds_for_its_own_call_only(server: Loopback) -> None:
    with kept(server) as transport:
        assert transport.send(request_to(server, timeout=1.0)).body == BODY

        def late(seen: object) -> bytes:
            time.sleep(1.2)
            return PLAIN

        server.script = late
        assert transport.send(request_to(server)).body == BODY


def test_an_answer_beyond_the_limit_is_refused(server: Loopback) -> None:
    with kept(server, limit=100) as transport:
        server.script = lambda seen: answer(b"x" * 101)
        with pytest.raises(DecodeError, match="larger than 100 bytes"):
            transport.send(request_to(server))
        server.script = lambda seen: answer(b"x" * 100)
        assert len(transport.send(request_to(server)).body) == 100


@pytest.mark.parametrize("value", ["a\nx-b: c", "a\r\nx-b: c", "a\rb"])
def test_no_line_is_smuggled_in(server: Loopback, value: str) -> None:
    with kept(server) as transport:
        with pytest.raises(ValueError, match="'x-odd' has a line break"):
            transport.send(Request("GET", "/jobs", {"x-odd": value}, b"", request_to(server).endpoint))
        assert transport.send(request_to(server)).body == BODY
        assert [seen.target for seen in server.seen] == ["/first", "/jobs"]


def test_who_watches_urllib3_sees_every_call(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    urlopen = urllib3.HTTPConnectionPool.urlopen

    @functools.wraps(urlopen)
    def watched(*what: Any, **more: Any) -> Any:
        seen.append(what[1:3])
        return urlopen(*what, **more)

    with kept(server) as transport:
        monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", watched)
        transport.send(request_to(server))
        transport.send(request_to(server))
    assert len(seen) == 2


def test_a_head_has_no_body(server: Loopback) -> None:
    with kept(server) as transport:
        request = Request("HEAD", "/jobs", {}, b"", request_to(server).endpoint)
        server.script = lambda seen: OK + LENGTH + b"\r\n"
        assert transport.send(request).body == b""


def test_vcrpy_takes_over_a_client_with_an_open_connection(server: Loopback, tmp_path: Path) -> None:
    path = str(tmp_path / "plain.yaml")
    with kept(server) as transport:
        with vcr.use_cassette(path):
            recorded = [transport.send(request_to(server, f"/jobs/{number}")) for number in range(3)]
        seen = len(server.seen)
        with vcr.use_cassette(path, record_mode="none"):
            again = [transport.send(request_to(server, f"/jobs/{number}")) for number in range(3)]
        assert (len(server.seen), [a.body for a in again]) == (seen, [a.body for a in recorded])
        assert isinstance(transport.send(request_to(server)), Response)
        assert len(server.seen) == seen + 1
