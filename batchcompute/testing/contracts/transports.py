"""The contract of transports."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from ...config import TransportConfig
from ...errors import ConnectError, RequestTimeoutError, ResponseLostError, TransportError
from ...hooks import Transport, TransportFactory
from ...wire import Endpoint, Request, Response
from .loopback import Loopback, answer

_HEADERS = {
    "accept": "application/json",
    "content-type": "application/json",
    "date": "Tue, 30 Jun 2015 08:00:00 GMT",
    "x-acs-signature-nonce": "00000000-0000-1000-8000-000000000000",
    "x-acs-security-token": "canary-token/+=",
    "authorization": "acs canary-id:canary-signature=",
}
_SECONDS = 0.3
_PATIENCE = 20.0


class TransportContract:
    """What every transport keeps to. A subclass gives its factory:

    class TestMyTransport(TransportContract):
        def make_factory(self):
            return MyFactory()

    A transport that does not speak TCP gives `listen` and `endpoint` too.
    """

    def make_factory(self) -> TransportFactory:
        """The TransportFactory to check."""
        raise NotImplementedError

    def listen(self) -> socket.socket:
        """A listening socket that the transport can reach."""
        return socket.create_server(("127.0.0.1", 0))

    def endpoint(self, listening: socket.socket) -> Endpoint:
        """Where that socket is."""
        host, port = listening.getsockname()
        return Endpoint("http", host, port, "contract", self.make_factory().name)

    # --- fixtures

    @pytest.fixture
    def listening(self) -> Iterator[socket.socket]:
        """The socket of the server."""
        with self.listen() as made:
            yield made

    @pytest.fixture
    def where(self, listening: socket.socket) -> Endpoint:
        """The server's endpoint."""
        return self.endpoint(listening)

    @pytest.fixture
    def server(self, listening: socket.socket) -> Iterator[Loopback]:
        """A server that shows what arrived."""
        made = Loopback(listening)
        yield made
        made.close()

    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        """The transport, open."""
        made = self.make_factory().open(TransportConfig(connect_timeout=10.0, read_timeout=_PATIENCE))
        yield made
        made.close()

    # --- the request

    def test_the_factory_has_a_name(self) -> None:
        name = self.make_factory().name
        assert isinstance(name, str)
        assert name

    @pytest.mark.parametrize(
        ("method", "target", "body"),
        [
            ("GET", "/jobs", b""),
            ("GET", "/jobs/a%2Fb%3Fc%23d%20%E4%B8%AD/description", b""),
            ("POST", "/jobs", '{"JobName":"\u4e2d"}'.encode()),
            ("POST", "/jobs", bytes(range(256)) * 300),
            ("PUT", "/jobs/job-1?Action=Stop", b""),
            ("PUT", "/jobs/job-1/Priority", b"200"),
            ("PUT", "/jobs/..%2F./x?Marker&b=2&a=%31", b""),
            ("DELETE", "/jobs/job-1", b""),
        ],
    )
    def test_a_request_arrives_as_it_was_given(
        self, transport: Transport, server: Loopback, where: Endpoint, method: str, target: str, body: bytes
    ) -> None:
        transport.send(Request(method, target, _HEADERS, body, where))
        (seen,) = server.seen
        assert (seen.method, seen.target, seen.body) == (method, target, body)

    def test_headers_arrive_as_they_were_given(self, transport: Transport, server: Loopback, where: Endpoint) -> None:
        transport.send(Request("POST", "/jobs", _HEADERS, b"{}", where))
        (seen,) = server.seen
        assert {name: seen.values(name) for name in _HEADERS} == {name: [value] for name, value in _HEADERS.items()}

    def test_nothing_is_added_that_is_signed(self, transport: Transport, server: Loopback, where: Endpoint) -> None:
        transport.send(Request("POST", "/jobs", {"accept": "application/json"}, b"{}", where))
        (seen,) = server.seen
        signed = {name for name, _ in seen.headers if name.startswith("x-acs-")} | {"date", "content-md5"}
        assert not [name for name, _ in seen.headers if name in signed or name == "authorization"]

    # --- the answer

    @pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 403, 404, 409, 429, 500, 502, 503])
    def test_any_status_is_an_answer(
        self, transport: Transport, server: Loopback, where: Endpoint, status: int
    ) -> None:
        body = b"" if status in (204, 304) else b'{"Code":"X"}'
        server.script = lambda seen: answer(body, status, "Retry-After: 1\r\n")
        assert _sent(transport, where, "POST") == (status, body)
        assert len(server.seen) == 1

    def test_a_body_may_be_any_bytes(self, transport: Transport, server: Loopback, where: Endpoint) -> None:
        body = bytes(range(256)) * 4000
        server.script = lambda seen: answer(body)
        assert _sent(transport, where) == (200, body)

    def test_header_names_of_an_answer_are_lower_case(
        self, transport: Transport, server: Loopback, where: Endpoint
    ) -> None:
        server.script = lambda seen: answer(b"{}", 200, "X-Acs-Request-Id: ABC\r\nRETRY-AFTER: 3\r\n")
        headers = transport.send(Request("GET", "/jobs", _HEADERS, b"", where)).headers
        assert all(name == name.lower() for name in headers)
        assert (headers["x-acs-request-id"], headers["retry-after"]) == ("ABC", "3")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(
        self, transport: Transport, server: Loopback, where: Endpoint, status: int
    ) -> None:
        server.script = lambda seen: answer(b"", status, "Location: /elsewhere\r\n")
        assert _sent(transport, where)[0] == status
        assert [seen.target for seen in server.seen] == ["/jobs"]

    # --- errors

    def test_a_refused_connection_was_never_sent(self, transport: Transport, listening: socket.socket) -> None:
        where = self.endpoint(listening)
        listening.close()
        error = _failed(transport, where, ConnectError)
        assert error.sent is False

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_connection_closed_before_the_answer_loses_it(
        self, transport: Transport, server: Loopback, where: Endpoint, method: str
    ) -> None:
        server.script = lambda seen: None
        error = _failed(transport, where, ResponseLostError, method)
        assert error.sent is True
        assert len(server.seen) == 1, "the request was repeated"

    @pytest.mark.parametrize("data", [answer(b"{}" * 50)[:-20], b"HTTP/1.1 2", b"garbage\r\n\r\n"])
    def test_half_an_answer_and_garbage_are_lost_answers(
        self, transport: Transport, server: Loopback, where: Endpoint, data: bytes
    ) -> None:
        server.cut = True
        server.script = lambda seen: data
        _failed(transport, where, ResponseLostError, "POST")
        assert len(server.seen) == 1, "the request was repeated"

    @pytest.mark.parametrize("form", ["length", "chunks"])
    def test_an_answer_that_is_cut_at_any_byte_is_lost(
        self, transport: Transport, server: Loopback, where: Endpoint, form: str
    ) -> None:
        body = b'{"ResourceId":"job-1"}'
        whole = answer(body, 200, "request-id: R1\r\n")
        if form == "chunks":
            head = b"HTTP/1.1 200 OK\r\nrequest-id: R1\r\nTransfer-Encoding: chunked\r\n\r\n"
            whole = b"%s%x\r\n%s\r\n0\r\n\r\n" % (head, len(body), body)
        server.cut = True
        server.script = lambda seen: whole
        assert _sent(transport, where) == (200, body)
        for size in range(len(whole)):
            server.script = lambda seen, size=size: whole[:size]  # type: ignore[misc]  # bound at once
            _failed(transport, where, ResponseLostError)

    def test_no_answer_in_time_is_a_timeout(self, transport: Transport, server: Loopback, where: Endpoint) -> None:
        server.script = lambda seen: answer() if server.released.wait(_PATIENCE) else None
        error = _failed(transport, where, RequestTimeoutError, "POST", _SECONDS)
        assert error.sent is True
        assert len(server.seen) == 1, "the request was repeated"

    def test_a_kept_connection_that_breaks_does_not_repeat_a_post(
        self, transport: Transport, server: Loopback, where: Endpoint
    ) -> None:
        assert _sent(transport, where, "GET")[0] == 200
        server.script = lambda seen: None
        _failed(transport, where, ResponseLostError, "POST")
        assert [seen.method for seen in server.seen] == ["GET", "POST"], "the POST was repeated"

    # --- life

    def test_many_threads_get_their_own_answers(self, transport: Transport, server: Loopback, where: Endpoint) -> None:
        server.script = lambda seen: answer(seen.target.encode())
        wrong: list[object] = []

        def work(thread: int) -> None:
            for number in range(25):
                target = f"/jobs/{thread}-{number}"
                try:
                    response = transport.send(Request("GET", target, _HEADERS, b"", where))
                    if response.body != target.encode():
                        wrong.append((target, response.body))
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(server.seen) == 200

    def test_it_can_be_used_again_after_close(self, transport: Transport, server: Loopback, where: Endpoint) -> None:
        assert _sent(transport, where)[0] == 200
        transport.close()
        transport.close()
        assert _sent(transport, where)[0] == 200


def _sent(transport: Transport, where: Endpoint, method: str = "GET") -> tuple[int, bytes]:
    body = b"{}" if method in ("POST", "PUT") else b""
    response = transport.send(Request(method, "/jobs", _HEADERS, body, where))
    assert isinstance(response, Response)
    return response.status, response.body


def _failed(
    transport: Transport,
    where: Endpoint,
    kind: type[TransportError],
    method: str = "GET",
    timeout: float | None = None,
) -> TransportError:
    body = b"{}" if method == "POST" else b""
    with pytest.raises(kind) as caught:
        transport.send(Request(method, "/jobs", _HEADERS, body, where, timeout))
    text = f"{caught.value!r} {caught.value}"
    assert "canary" not in text, "the error tells a secret"
    return caught.value
