"""What the library sends and raises for us."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batchcompute_oss.library import is_cloud

from batchcompute import (
    AuthenticationError,
    Client,
    ConnectError,
    CredentialsError,
    RequestTimeoutError,
    ResponseLostError,
    ServerError,
)
from batchcompute.config import Config, RetryConfig, TransportConfig

SECRET = "a-secret-that-nobody-shows"
TOKEN = "a-token-that-nobody-shows"


class Fake:
    """Answers every request with the next of `answers`; the last one again. It keeps the requests."""

    def __init__(self) -> None:
        self.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self.asked.append(_read(connection))
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    connection.sendall(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) if answer else b"")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def client(self, where: str = "cn-qingdao", attempts: int = 1, **more: Any) -> Client:
        config = Config(
            retry=RetryConfig(attempts=attempts, base_wait=0.001, max_wait=0.001),
            transport=TransportConfig(**more),
            sections={"oss": {"endpoint": self.url}},
        )
        return Client(where, "testid", SECRET, security_token=TOKEN, config=config)


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.close()


def _read(connection: socket.socket) -> str:
    """A request with its body."""
    with connection.makefile("rb") as file:
        head = b"".join(iter(file.readline, b"\r\n")) + b"\r\n"
        length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
        return (head + file.read(int(length[1]) if length else 0)).decode("latin-1")


def error_xml(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>no: {code}</Message><RequestId>R1</RequestId></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nDate: Fri, 27 Nov 2026 03:00:00 GMT\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_tokens_are_sent_and_the_signature_names_the_region(fake: Fake) -> None:
    with fake.client().objects.open("oss://bucket/key") as file:
        assert file.read() == b"ok"
    head = fake.asked[0].lower()
    assert head.startswith("get /bucket/key http/1.1"), "the path has the bucket"
    assert f"x-oss-security-token: {TOKEN}" in head
    assert "oss4-hmac-sha256 credential=testid/" in head
    assert "/cn-qingdao/oss/aliyun_v4_request" in head
    assert SECRET not in head


def test_a_netrc_does_not_replace_the_signature(fake: Fake) -> None:
    Path(os.environ["HOME"], ".netrc").write_text("machine 127.0.0.1 login other password theirs\n")
    fake.client().objects.open("oss://bucket/key").close()
    assert "OSS4-HMAC-SHA256" in fake.asked[0]
    assert "Basic" not in fake.asked[0]


def test_a_proxy_of_the_configuration_is_used_and_none_of_the_environment(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    fake.client().objects.open("oss://bucket/key").close()
    proxied = Client(
        "cn-qingdao",
        "testid",
        SECRET,
        config=Config(
            transport=TransportConfig(http_proxy=fake.url),
            sections={"oss": {"endpoint": "http://oss.example", "path_style": False}},
        ),
    )
    proxied.objects.open("oss://bucket/key").close()
    assert fake.asked[1].startswith("GET http://bucket.oss.example/key HTTP/1.1")


def test_a_bucket_of_the_cloud_is_never_made(fake: Fake) -> None:
    fake.answers = [error_xml("404 Not Found", "NoSuchBucket")]
    config = Config(
        retry=RetryConfig(attempts=1),
        transport=TransportConfig(http_proxy=fake.url),
        sections={"oss": {"endpoint": "http://oss-cn-qingdao.aliyuncs.com"}},
    )
    with pytest.raises(FileNotFoundError, match="there is no bucket oss://bucket"):
        Client("cn-qingdao", "testid", SECRET, config=config).objects.put("oss://bucket/key", b"x")
    assert len(fake.asked) == 1
    assert fake.asked[0].startswith("PUT http://bucket.oss-cn-qingdao.aliyuncs.com/key ")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("403 Forbidden", "SignatureDoesNotMatch", AuthenticationError),
        ("403 Forbidden", "InvalidAccessKeyId", AuthenticationError),
        ("503 Unavailable", "ServiceUnavailable", ServerError),
    ],
)
def test_refusals_are_client_errors_with_code_and_request_id(fake: Fake, status: str, code: str, kind: type) -> None:
    fake.answers = [error_xml(status, code)]
    with pytest.raises(kind) as caught:
        fake.client().objects.open("oss://bucket/key")
    assert code in str(caught.value)
    assert "R1" in str(caught.value)
    assert "oss://bucket/key" in str(caught.value)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    for secret in (SECRET, TOKEN):
        assert secret not in repr(caught.value) + str(caught.value)


def test_a_failure_is_repeated_as_the_retry_settings_say(fake: Fake) -> None:
    fake.answers = [error_xml("503 Unavailable", "ServiceUnavailable")] * 2 + fake.answers
    with fake.client(attempts=3).objects.open("oss://bucket/key") as file:
        assert file.read() == b"ok"
    assert len(fake.asked) == 3


def test_what_is_lost_on_the_way(fake: Fake) -> None:
    fake.answers = [b""]
    with pytest.raises(ResponseLostError, match="oss://bucket/key: the connection broke"):
        fake.client().objects.open("oss://bucket/key")
    fake.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"]
    with fake.client().objects.open("oss://bucket/key") as file, pytest.raises(ResponseLostError):
        file.read()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config = Config(retry=RetryConfig(attempts=1), sections={"oss": {"endpoint": f"http://127.0.0.1:{port}"}})
    with pytest.raises(ConnectError, match="oss://bucket/key: no connection to OSS"):
        Client("cn-qingdao", "testid", SECRET, config=config).objects.exists("oss://bucket/key")


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = Config(
            retry=RetryConfig(attempts=1),
            transport=TransportConfig(read_timeout=0.1),
            sections={"oss": {"endpoint": where}},
        )
        with pytest.raises(RequestTimeoutError, match="oss://bucket/key"):
            Client("cn-qingdao", "testid", SECRET, config=config).objects.exists("oss://bucket/key")


def test_without_credentials_the_error_is_that_of_a_call(fake: Fake) -> None:
    config = Config(sections={"oss": {"endpoint": fake.url}})
    with pytest.raises(CredentialsError, match="no credentials for region cn-qingdao"):
        Client("cn-qingdao", config=config).objects.exists("oss://bucket/key")
    assert fake.asked == []


def test_only_oss_itself_has_the_bucket_in_front_of_its_host() -> None:
    assert is_cloud("https://oss-cn-qingdao.aliyuncs.com")
    assert not is_cloud("https://oss-cn-qingdao.aliyuncs.com.example.org")
    assert not is_cloud("http://127.0.0.1:8080")


def test_an_absent_object_behind_a_gateway_that_drops_headers(fake: Fake) -> None:
    """A 404 to HEAD says no more than that."""
    date = b"Date: Fri, 27 Nov 2026 03:00:00 GMT"
    fake.answers = [b"HTTP/1.1 404 Not Found\r\n" + date + b"\r\nContent-Length: 0\r\n\r\n"]
    assert not fake.client().objects.exists("oss://bucket/key")
    assert fake.asked[0].startswith("HEAD ")
