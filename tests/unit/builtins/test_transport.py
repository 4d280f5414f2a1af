"""The urllib3 transport, against a real server on this machine."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from batchcompute import Client, ClientError, Config, ConnectError, RequestTimeoutError, ResponseLostError, ServerError
from tests.support.descriptions import describe_find
from tests.support.server import Handler, Server
from tests.support.stub import Stub


def test_a_call_arrives_as_it_was_meant(server: Server) -> None:
    server.reply = lambda handler: handler.say(json.dumps({"ResourceId": "job-1"}).encode(), 201)
    created = server.client(security_token="tok").create_job(describe_find())
    assert (created.JobId, created.StatusCode, created.RequestId) == ("job-1", 201, "REQ-1")
    assert created.Date.endswith(" GMT")
    ((method, target, headers, body),) = server.seen
    assert (method, target) == ("POST", "/jobs")
    assert json.loads(body)["JobName"] == "find-prime"
    assert headers["host"] == f"127.0.0.1:{server.server_port}"
    assert headers["content-length"] == str(len(body))
    assert headers["x-acs-region-id"] == "custom"
    assert headers["x-acs-security-token"] == "tok"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("batchcompute-python/")


@pytest.mark.parametrize("target", ["a%2Fb", "ä", "a b", "x?y#z"])
def test_targets_arrive_as_they_were_signed(server: Server, target: str) -> None:
    from batchcompute.builtins.signing import signature, string_to_sign

    server.client().stop_job(target)
    ((method, path, headers, _),) = server.seen
    signed = signature("testsecret", string_to_sign(method, path, headers))
    assert headers["authorization"] == f"acs testid:{signed}"
    assert path.endswith("?Action=Stop")


def test_connections_are_kept(server: Server) -> None:
    client = server.client()
    for _ in range(5):
        client.list_jobs()
    assert server.connections == 1
    client.close()
    client.list_jobs()
    assert server.connections == 2


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.reply = lambda handler: handler.say(b"", 302, location="/elsewhere")
    with pytest.raises(ClientError) as caught:
        server.client(security_token="tok").get_job("job-1")
    assert caught.value.status == 302
    assert [seen[1] for seen in server.seen] == ["/jobs/job-1"]


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>"])
def test_an_empty_or_html_error_of_a_gateway(server: Server, once: Config, body: bytes) -> None:
    server.reply = lambda handler: handler.say(body, 502)
    with pytest.raises(ServerError, match="HTTP502: the service gave no reason"):
        server.client(config=once).list_jobs()


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_nobody_listens(once: Config) -> None:
    port = closed_port()
    with (
        Client(f"http://127.0.0.1:{port}", "id", "secret", config=once) as client,
        pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port} could not be reached"),
    ):
        client.list_jobs()


def test_a_name_that_does_not_resolve(once: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with (
        Client("http://nowhere.invalid", "id", "secret", config=once) as client,
        pytest.raises(ConnectError, match=r"nowhere\.invalid could not be reached"),
    ):
        client.list_jobs()


def test_a_server_that_speaks_no_tls(server: Server, once: Config) -> None:
    with (
        Client(f"https://127.0.0.1:{server.server_port}", "id", "secret", config=once) as client,
        pytest.raises((ConnectError, ResponseLostError)),
    ):
        client.list_jobs()
    assert server.seen == []


def hang_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_an_answer(handler: Handler) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"half')
    handler.wfile.flush()
    hang_up(handler)


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"220 ftp ready\r\n\r\n")
    handler.wfile.flush()
    hang_up(handler)


@pytest.mark.parametrize("reply", [hang_up, half_an_answer, nonsense])
def test_a_broken_answer_is_lost_not_unsent(server: Server, once: Config, reply: Callable[[Handler], None]) -> None:
    server.reply = reply
    with pytest.raises(ResponseLostError, match="broke before the answer was complete") as caught:
        server.client(config=once).list_jobs()
    assert caught.value.sent is True
    assert len(server.seen) == 1


def test_a_server_that_is_silent(server: Server, once: Config) -> None:
    release = threading.Event()
    server.reply = lambda handler: release.wait(10)
    started = time.monotonic()
    with pytest.raises(RequestTimeoutError, match="did not answer in time"):
        server.client(config=once).list_jobs(timeout=0.2)
    assert time.monotonic() - started < 5
    release.set()


@pytest.mark.parametrize("where", ["status line", "headers", "body"])
def test_a_server_that_dribbles_does_not_outlast_the_timeout(server: Server, once: Config, where: str) -> None:
    """The timeout is for the call in all, not for each byte."""
    release = threading.Event()
    begin = {
        "status line": b"H",
        "headers": b"HTTP/1.1 200 OK\r\nx: ",
        "body": b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n",
    }

    def dribble(handler: Handler) -> None:
        handler.wfile.write(begin[where])
        for _ in range(30):
            handler.wfile.write(b"1")
            handler.wfile.flush()
            if release.wait(0.1):
                break

    server.reply = dribble
    started = time.monotonic()
    with pytest.raises(RequestTimeoutError):
        server.client(config=once).list_jobs(timeout=0.4)
    assert time.monotonic() - started < 2
    release.set()


def test_an_answer_in_parts_is_in_time(server: Server) -> None:
    """And the connection waits as long as ever for the next one."""

    def slowly(handler: Handler) -> None:
        for part in (
            b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\nx-acs-",
            b"request-id: R\r\n\r\n",
            b'{"a": ',
            b'{"State": 1}} ',
        ):
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(0.02)

    server.reply = slowly
    with server.client() as client:
        assert client.list_jobs(timeout=5).RequestId == "R"
        assert client.list_jobs().RequestId == "R"
        assert server.connections == 1


def test_threads_share_a_client(server: Server) -> None:
    """200 calls of 8 threads: each gets its own answer, none gets lost."""

    def echo(handler: Handler) -> None:
        handler.say(json.dumps({"ResourceId": handler.path.rpartition("/")[2]}).encode())

    server.reply = echo
    client = server.client()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: client.get_job(f"job-{number}").JobId, range(200)))
    assert answers == [f"job-{number}" for number in range(200)]
    assert len(server.seen) == 200
    assert server.connections <= 8
    assert len({headers["x-acs-signature-nonce"] for _, _, headers, _ in server.seen}) == 200


def _in_child(client: Client, queue: Any) -> None:
    queue.put((os.getpid(), [client.get_job(f"child-{number}").JobId for number in range(20)]))
    queue.close()
    queue.join_thread()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_client_survives_a_fork(server: Server) -> None:
    """Parent and child go on at the same time; neither reads the other's answers."""
    server.reply = lambda handler: handler.say(json.dumps({"ResourceId": handler.path.rpartition("/")[2]}).encode())
    client = server.client()
    client.get_job("before")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(client, queue))
    child.start()
    parents = [client.get_job(f"parent-{number}").JobId for number in range(20)]
    pid, children = queue.get(timeout=20)
    child.join(20)
    queue.close()
    queue.join_thread()
    assert (child.exitcode, pid) == (0, child.pid)
    child.close()
    assert parents == [f"parent-{number}" for number in range(20)]
    assert children == [f"child-{number}" for number in range(20)]
    assert server.connections == 2  # the child made its own


def test_a_context_manager_closes(stub: Stub) -> None:
    stub.answer({})
    stub.answer({})
    with stub.client() as client:
        assert stub.opened == []  # a transport is opened when it is needed
        client.list_jobs()
        assert stub.closed == 0
    assert (len(stub.opened), stub.closed) == (1, 1)
    client.close()
    assert stub.closed == 1
    client.list_jobs()  # and again when it is needed again
    assert len(stub.opened) == 2


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_an_answer_cut_within_its_headers_is_lost(server: Server, once: Config, start: bytes) -> None:
    """http.client takes it for a complete one without headers, and stop_job would report success."""

    def cut(handler: Handler) -> None:
        handler.wfile.write(start)
        handler.close_connection = True

    server.reply = cut
    with pytest.raises(ResponseLostError):
        server.client(config=once).get_job("job-1")
