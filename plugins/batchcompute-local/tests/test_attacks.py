"""What somebody might try over the port of a real service (packages, keys of objects and names have tests of their own)."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from email.utils import formatdate
from pathlib import Path

import pytest
from batchcompute_local.client import control
from batchcompute_local.http.accounts import Account, Book, ensure_credentials
from batchcompute_local.http.connections import Limits
from batchcompute_local.paths import Layout

from tests.support.descriptions import describe
from tests.support.service import Cloud
from tests.support.signed import SignedClient, sign_headers
from tests.support.waits import wait_for


class Port:
    """A service with a port, which can be killed and started again."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.layout = Layout(cloud.root)
        self.account = ensure_credentials(self.layout.credentials)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "batchcompute_local.daemon", "--port", "0", "--data-dir", str(self.cloud.root)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.number = int(self.process.stdout.readline().rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.number, timeout=20)

    def signed(
        self, method: str, target: str, account: Account | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The headers of a request."""
        one = account or self.account
        more = {"x-acs-region-id": "local"} | dict(headers or {})
        return sign_headers(one.access_key_id, one.access_key_secret, method, target, more)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, str]:
        """Status and Code of the answer."""
        client = SignedClient(self.connect, lambda: ("", ""))
        with closing(client):
            status, found = client.send(method, target, headers, body)
        return status, str((found or {}).get("Code", ""))


@pytest.fixture
def port(cloud: Cloud) -> Iterator[Port]:
    Layout(cloud.root).create()
    made = Port(cloud)
    yield made
    made.kill()


def test_a_repeated_request(port: Port) -> None:
    headers = port.signed("GET", "/jobs")
    assert port.send("GET", "/jobs", headers) == (200, "")
    assert port.send("GET", "/jobs", headers) == (400, "SignatureNonceUsed")
    port.kill()  # the nonce is on the disk
    port.start()
    assert port.send("GET", "/jobs", headers) == (400, "SignatureNonceUsed")


def test_a_request_without_a_nonce_repeated_after_a_restart(port: Port) -> None:
    headers = port.signed("GET", "/jobs", headers={"x-acs-signature-nonce": ""})
    assert port.send("GET", "/jobs", headers) == (200, "")
    port.kill()
    port.start()
    assert port.send("GET", "/jobs", headers) == (400, "SignatureNonceUsed")


def test_an_altered_request(port: Port) -> None:
    refused = (400, "SignatureDoesNotMatch")
    headers = port.signed("PUT", "/jobs/job-1?Action=Stop")
    for name, value in (
        ("x-acs-region-id", "other"),
        ("Date", formatdate(time.time() + 1, usegmt=True)),
        ("Accept", "*/*"),
    ):
        assert port.send("PUT", "/jobs/job-1?Action=Stop", headers | {name: value}) == refused
    assert port.send("PUT", "/jobs/job-1?Action=Stop", headers | {"x-acs-security-token": "t"}) == refused
    assert port.send("PUT", "/jobs/job-2?Action=Stop", headers) == refused
    assert port.send("PUT", "/jobs/job-1?Action=Start", headers) == refused
    assert port.send("PUT", "/jobs/job-1?Action=Stop&a=b", headers) == refused
    assert port.send("DELETE", "/jobs/job-1?Action=Stop", headers) == refused
    assert port.send("PUT", "/jobs/job-1?Action=Stop", headers) == (404, "ResourceNotFound")


def test_an_altered_body(port: Port) -> None:
    digest = hashlib.md5(b"200", usedforsecurity=False).hexdigest()
    for name in ("Content-MD5", "contentMd5"):
        headers = port.signed("PUT", "/jobs/job-1/Priority", headers={name: digest})
        assert port.send("PUT", "/jobs/job-1/Priority", headers, b"900") == (400, "InvalidContentMD5")
    # Content-MD5 is signed, so it cannot be made to fit
    headers = port.signed("PUT", "/jobs/job-1/Priority", headers={"Content-MD5": digest})
    headers["Content-MD5"] = hashlib.md5(b"900", usedforsecurity=False).hexdigest()
    assert port.send("PUT", "/jobs/job-1/Priority", headers, b"900") == (400, "SignatureDoesNotMatch")


def test_an_old_date(port: Port) -> None:
    for seconds in (-901, 901):
        headers = port.signed("GET", "/jobs", headers={"Date": formatdate(time.time() + seconds, usegmt=True)})
        assert port.send("GET", "/jobs", headers) == (400, "InvalidTimeStamp.Expired")


def test_a_foreign_key_and_a_disabled_account(port: Port) -> None:
    book = Book(port.layout)
    ann = book.add("ann")
    assert port.send("GET", "/jobs", port.signed("GET", "/jobs", ann)) == (200, "")
    mixed = Account(1, port.account.access_key_id, ann.access_key_secret)
    assert port.send("GET", "/jobs", port.signed("GET", "/jobs", mixed)) == (400, "SignatureDoesNotMatch")
    foreign = Account(1, "LTAIforeign", "secret")
    assert port.send("GET", "/jobs", port.signed("GET", "/jobs", foreign)) == (404, "InvalidAccessKeyId.NotFound")
    book.enable("ann", False)
    assert port.send("GET", "/jobs", port.signed("GET", "/jobs", ann)) == (400, "InvalidAccessKeyId.Inactive")


def test_the_job_of_another_owner(port: Port) -> None:
    ann = Book(port.layout).add("ann")
    body = describe({"A": {}})
    port.cloud.client.connect = port.connect
    job = f"/jobs/{port.cloud.create({'A': {}})}"
    assert port.send("POST", "/jobs", port.signed("POST", "/jobs", ann), body) == (201, "")
    for method, target in (
        ("GET", job), ("DELETE", job), ("GET", f"{job}/tasks"), ("GET", f"{job}/description"),
        ("PUT", f"{job}?Action=Stop"), ("PUT", f"{job}?Action=Start"), ("PUT", f"{job}/Priority"),
    ):  # fmt: skip
        answer = port.send(method, target, port.signed(method, target, ann), b"5" if "Priority" in target else b"")
        assert answer == (404, "ResourceNotFound"), (method, target)
    # a token of one account says nothing to another
    token = {"x-acs-idempotent-token": "same"}
    assert port.send("POST", "/jobs", port.signed("POST", "/jobs", headers=token), body) == (201, "")
    assert port.send("POST", "/jobs", port.signed("POST", "/jobs", ann, token), body + b" ") == (201, "")


def test_a_long_value_is_not_sent_back(port: Port) -> None:
    body = describe({"x" * 900_000: {}})
    with closing(http.client.HTTPConnection("127.0.0.1", port.number, timeout=20)) as connection:
        connection.request("POST", "/jobs", body, port.signed("POST", "/jobs"))
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) < 5000) == (400, True)


def test_header_injection(port: Port) -> None:
    target = "/jobs/x%0d%0aX-Evil:%201%0d%0a%0d%0aHTTP/1.1%20200%20OK"
    with closing(socket.create_connection(("127.0.0.1", port.number))) as sock:
        sock.settimeout(20)
        lines = [f"GET {target} HTTP/1.1", "Host: a", "Connection: close", "x-acs-request-id: mine", "request-id: mine"]
        lines += [f"{name}: {value}" for name, value in port.signed("GET", target).items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"X-Evil" not in head
    assert b"mine" not in answer
    assert json.loads(body)["Code"] in ("ResourceNotFound", "SignatureDoesNotMatch")
    # two values of a signed header: which one was signed?
    with closing(socket.create_connection(("127.0.0.1", port.number))) as sock:
        sock.settimeout(20)
        lines = ["GET /jobs HTTP/1.1", "Host: a", "Connection: close", "x-acs-region-id: evil"]
        lines += [f"{name}: {value}" for name, value in port.signed("GET", "/jobs").items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b"was sent more than once" in b"".join(iter(lambda: sock.recv(65536), b""))


def test_log_injection(port: Port) -> None:
    body = describe({"A": {"ImageId": "img-x\n2026-01-01 ERROR forged\x1b[31m"}})
    port.send("POST", "/jobs", port.signed("POST", "/jobs"), body)
    log = port.layout.log.read_text()
    assert "\x1b" not in log
    assert not any(line.startswith("2026-01-01 ERROR") for line in log.splitlines())


def test_slow_clients_are_let_go_and_others_served(cloud: Cloud) -> None:
    cloud.settings("request_seconds = 0.5\nmax_connections = 20\n")
    port = Port(cloud)
    try:
        headers = port.signed("POST", "/jobs")
        lines = [
            "POST /jobs HTTP/1.1",
            "Host: a",
            "Content-Length: 500",
            *(f"{k}: {v}" for k, v in headers.items()),
            "",
            "some",
        ]
        starts = [b"", b"GET /jobs HTT", "\r\n".join(lines).encode()]
        socks = []
        for start in starts:
            sock = socket.create_connection(("127.0.0.1", port.number))
            sock.settimeout(20)
            sock.sendall(start)
            socks.append(sock)
        assert port.send("GET", "/images", port.signed("GET", "/images")) == (200, "")
        said = []
        for sock in socks:
            with closing(sock), suppress(ConnectionResetError):
                said.append(b"".join(iter(lambda: sock.recv(65536), b"")))  # noqa: B023  # called at once
        assert b"RequestTimeout" in said[-1]
        assert [part for part in said[:-1] if part] == []
    finally:
        port.kill()


def test_too_many_clients(cloud: Cloud) -> None:
    cloud.settings("max_connections = 5\n")
    port = Port(cloud)
    try:
        many = [socket.create_connection(("127.0.0.1", port.number)) for _ in range(9)]
        # whoever owns the folder still gets in by its socket
        assert cloud.call("GET", "/images")[0] == 200
        wait_for(lambda: _is_answered(port), "room for others")
        for sock in many:
            sock.close()
    finally:
        port.kill()


def _is_answered(port: Port) -> bool:
    try:
        return port.send("GET", "/images", port.signed("GET", "/images")) == (200, "")
    except (ConnectionError, http.client.HTTPException):
        return False


def test_a_client_that_does_not_listen(cloud: Cloud) -> None:
    cloud.settings("request_seconds = 0.5\n")
    port = Port(cloud)
    try:
        cloud.client.connect = port.connect
        for number in range(40):
            port.cloud.create({"A": {"PackageUri": "oss://b/none"}}, Description="x" * 40_000, JobName=f"n{number}")
        port.cloud.client.close()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port.number))
        with closing(sock):
            for _ in range(8):
                lines = [
                    "GET /jobs HTTP/1.1",
                    "Host: a",
                    *(f"{k}: {v}" for k, v in port.signed("GET", "/jobs").items()),
                    "",
                    "",
                ]
                sock.sendall("\r\n".join(lines).encode())
            status = f"/proc/{port.process.pid}/net/tcp"
            local = f":{sock.getsockname()[1]:04X} "
            remote = f":{port.number:04X}"
            wait_for(lambda: not _is_open(status, remote, local), "the end of the connection", 20)
    finally:
        port.kill()


def _is_open(table: str, local: str, remote: str) -> bool:
    """Whether the service still has its end."""
    rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return any(row[1].endswith(local) and f"{row[2]} ".endswith(remote) and row[3] == "01" for row in rows)


def test_limits_count_by_listener() -> None:
    assert Limits(1, 1.0).open is not Limits(1, 1.0).open


def test_a_killed_service_leaves_no_stale_port(port: Port) -> None:
    port.process.send_signal(signal.SIGKILL)
    port.process.wait(10)
    assert control.status(port.cloud.root) is None
