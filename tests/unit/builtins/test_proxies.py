"""Proxies, and CA bundles: which request takes which way, and the errors."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client, ClientError, Config, ConfigError, ConnectError, RetryConfig, TransportConfig
from batchcompute.builtins.proxies import proxy_of
from batchcompute.wire import Endpoint
from tests.support.server import Server

ONCE = RetryConfig(attempts=1)
CANARY = "zq9-canary"


def client(url: str, **transport: Any) -> Client:
    return Client(url, "testid", "testsecret", config=Config(retry=ONCE, transport=TransportConfig(**transport)))


def test_http_goes_to_the_proxy_with_the_whole_url(server: Server) -> None:
    server.reply = lambda handler: handler.say(b'{"ResourceId": "job-1"}')
    proxy = f"http://user%40corp:{CANARY}@127.0.0.1:{server.server_port}"
    with client("http://batch.example:8080", http_proxy=proxy) as one:
        assert one.get_job("job/1").JobId == "job-1"
        one.create_job(description())
    (method, target, headers, _), (_, _, _, body) = server.seen
    assert (method, target) == ("GET", "http://batch.example:8080/jobs/job%2F1")
    assert headers["host"] == "batch.example:8080"
    assert b64decode(headers["proxy-authorization"].partition(" ")[2]) == f"user@corp:{CANARY}".encode()
    assert headers["authorization"].startswith("acs testid:")
    assert b"Find" in body
    assert server.connections == 1


def test_an_error_of_the_proxy_is_an_answer(server: Server) -> None:
    server.reply = lambda handler: handler.say(b"who are you", 407)
    with (
        client("http://batch.example", http_proxy=f"http://127.0.0.1:{server.server_port}") as one,
        pytest.raises(ClientError, match="HTTP 407"),
    ):
        one.list_jobs()


def test_no_proxy_is_direct(server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    with client(url, http_proxy="http://proxy.invalid", no_proxy=("127.0.0.0/8",)) as one:
        one.list_jobs()
    assert server.seen[0][1] == "/jobs"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_means_nothing_was_sent(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://u:{CANARY}@127.0.0.1:{unused.getsockname()[1]}"
        with (
            client(f"{scheme}://batch.example", http_proxy=proxy, https_proxy=proxy) as one,
            pytest.raises(ConnectError, match=r"batch\.example could not be reached through the proxy") as caught,
        ):
            one.list_jobs()
    assert CANARY not in str(caught.value)


def test_a_proxy_we_cannot_speak_to_is_refused_when_it_is_needed() -> None:
    with (
        client("https://batch.example", https_proxy=f"socks5://u:{CANARY}@127.0.0.1:1080") as one,
        pytest.raises(
            ConfigError, match=r"transport.https_proxy must be a URL with the scheme http or https"
        ) as caught,
    ):
        one.list_jobs()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "direct"),
    [
        ("*", True),
        ("batch.example", True),
        ("example", True),
        (".EXAMPLE", True),
        ("atch.example", False),
        ("batch.example:80", True),
        ("batch.example:81", False),
        ("other.example", False),
        ("", False),
        (".", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_rules_for_names(rule: str, direct: bool) -> None:
    settings = TransportConfig(http_proxy="http://proxy.example", no_proxy=(rule,))
    assert (proxy_of(Endpoint("http", "batch.example", 80, "x"), settings) is None) is direct


@pytest.mark.parametrize(
    ("rule", "host", "direct"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", True),
        ("10.1.2.3:81", "10.1.2.3", False),
        ("11.0.0.0/8", "10.1.2.3", False),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:80", "::1", True),
        ("[::1]:81", "::1", False),
        ("fe80::/10", "fe80::1", True),
    ],
)
def test_no_proxy_rules_for_addresses(rule: str, host: str, direct: bool) -> None:
    settings = TransportConfig(http_proxy="http://proxy.example", no_proxy=("a.example", rule))
    assert (proxy_of(Endpoint("http", host, 80, "x"), settings) is None) is direct


def test_a_unix_socket_has_no_proxy() -> None:
    settings = TransportConfig(http_proxy="http://p.example", https_proxy="http://p.example")
    assert proxy_of(Endpoint("unix", "/run/x", 0, "local", "local"), settings) is None


def test_a_bundle_that_is_none_is_reported_as_such(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (tmp_path / "missing.pem", empty):
        with (
            client("https://127.0.0.1:1", ca_bundle=str(path)) as one,
            pytest.raises(ConfigError, match=r"transport\.ca_bundle must be a PEM file") as caught,
        ):
            one.list_jobs()
        assert path.name in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and a certificate for `batch.example` that only its own bundle trusts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl")
    folder = tmp_path_factory.mktemp("certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=batch.example -addext subjectAltName=DNS:batch.example"
    command = [openssl, *made.split(), "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return key, cert


class Tunnel:
    """A proxy for one CONNECT, behind which a TLS service answers every request with `{}`."""

    def __init__(self, key: Path, cert: Path) -> None:
        self.asked = b""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:{CANARY}@127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            plain, _ = self._listener.accept()
            with plain:
                plain.settimeout(10)
                while not self.asked.endswith(b"\r\n\r\n"):
                    self.asked += plain.recv(4096)
                plain.sendall(b"HTTP/1.1 200 go on\r\n\r\n")
                with self._context.wrap_socket(plain, server_side=True) as secure:
                    while b"\r\n\r\n" not in secure.recv(65536):
                        pass
                    secure.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def tunnel(certificate: tuple[Path, Path]) -> Iterator[Tunnel]:
    tunnel = Tunnel(*certificate)
    yield tunnel
    tunnel.close()


def test_https_goes_through_a_tunnel_to_a_service_with_the_bundle(
    tunnel: Tunnel, certificate: tuple[Path, Path]
) -> None:
    with client("https://batch.example", https_proxy=tunnel.url, ca_bundle=str(certificate[1])) as one:
        assert list(one.list_jobs()) == []
    assert tunnel.asked.startswith(b"CONNECT batch.example:443 HTTP/")
    assert b"proxy-authorization: basic" in tunnel.asked.lower()
    assert b"acs testid" not in tunnel.asked


def test_the_service_must_still_be_trusted_behind_a_tunnel(tunnel: Tunnel) -> None:
    with client("https://batch.example", https_proxy=tunnel.url) as one, pytest.raises(ConnectError) as caught:
        one.list_jobs()
    assert "certificate verify failed" in str(caught.value)
    assert CANARY not in str(caught.value)


def description() -> dict[str, Any]:
    task = {"PackageUri": "oss://b/k.tar.gz", "ProgramName": "f.py", "ImageId": "i", "Timeout": 60}
    return {"JobName": "n", "Priority": 0, "TaskDag": {"TaskDescMap": {"Find": task}, "Dependencies": {}}}
