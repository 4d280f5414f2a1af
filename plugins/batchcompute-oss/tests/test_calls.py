"""Operations on objects as calls of the Client: its retry policy, its events, its cassettes, and sums of what arrives."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from batchcompute_oss import parts, store

from batchcompute import AuthenticationError, Client, ResponseLostError, ServerError
from batchcompute.config import Config, PluginConfig, RetryConfig
from batchcompute.hooks import CallContext, hookimpl
from batchcompute.testing import replay
from batchcompute.testing.errors import UnrecordedRequestError

from .test_library import SECRET, TOKEN, Fake, error_xml

T = TypeVar("T")
BUSY = error_xml("503 Unavailable", "ServiceUnavailable")


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    yield fake
    fake.close()


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{named}Content-Length: {len(body)}\r\n\r\n".encode() + body


# --- retries


class Thrice:
    """A policy that tries three times and notes for which operation it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    @hookimpl
    def retry_policy(self, ctx: CallContext) -> Callable[[Callable[[], T]], T]:
        self.asked.append((ctx.operation.name, ctx.repeatable))

        def policy(fn: Callable[[], T]) -> T:
            for _ in range(2):
                try:
                    return fn()
                except ServerError:
                    continue
            return fn()

        return policy


def test_a_retry_policy_of_a_plugin_is_that_of_objects_too(fake: Fake) -> None:
    fake.answers = [BUSY, BUSY, answer(b"ok")]
    policy = Thrice()
    config = Config(retry=RetryConfig(attempts=1), sections={"oss": {"endpoint": fake.url}})
    with Client("cn-qingdao", "testid", SECRET, config=config, plugins=[policy]) as client:
        assert client.objects.open("oss://bucket/key").read() == b"ok"
    assert len(fake.asked) == 3
    assert policy.asked == [("list_images", True)]


def test_the_error_of_the_last_attempt_counts_them(fake: Fake) -> None:
    fake.answers = [BUSY]
    with fake.client(attempts=3) as client, pytest.raises(ServerError) as caught:
        client.objects.delete("oss://bucket/key")
    assert (caught.value.operation, caught.value.attempts, len(fake.asked)) == ("delete_object", 3, 3)


def test_a_refusal_is_not_repeated(fake: Fake) -> None:
    fake.answers = [error_xml("403 Forbidden", "SignatureDoesNotMatch")]
    with fake.client(attempts=3) as client, pytest.raises(AuthenticationError):
        client.objects.put("oss://bucket/key", b"x")
    assert len(fake.asked) == 1


def test_a_body_is_sent_from_its_begin_again(fake: Fake) -> None:
    fake.answers = [BUSY, answer()]
    with fake.client(attempts=2) as client:
        client.objects.put("oss://bucket/key", io.BytesIO(b"content"))
    assert [head.rpartition("\r\n\r\n")[2] for head in fake.asked] == ["content", "content"]


# --- parts


def xml(name: str, **values: str) -> bytes:
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
    return answer(f"<{name}>{inner}</{name}>".encode(), Content_Type="application/xml")


BEGUN = xml("InitiateMultipartUploadResult", Bucket="bucket", Key="key", UploadId="U1")
CRC_OF_ABCD = "4367691578187800762"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PARTS_FROM", 1)
    monkeypatch.setattr(parts, "_PART", 2)


def test_only_the_part_that_failed_is_sent_again(fake: Fake, small_parts: None) -> None:
    done = xml("CompleteMultipartUploadResult", Bucket="bucket", Key="key", ETag="E")
    fake.answers = [BEGUN, answer(ETag="1"), BUSY, answer(ETag="2"), done]
    with fake.client(attempts=2) as client:
        client.objects.put("oss://bucket/key", b"abcd")
    sent = [head.partition(" HTTP")[0] for head in fake.asked]
    assert [line.partition("?")[2] for line in sent[1:4]] == [
        "partNumber=1&uploadId=U1",
        "partNumber=2&uploadId=U1",
        "partNumber=2&uploadId=U1",
    ]
    assert len(sent) == 5


def test_an_upload_that_fails_is_aborted(fake: Fake, small_parts: None) -> None:
    fake.answers = [BEGUN, BUSY, answer(status="204 No Content")]
    with fake.client() as client, pytest.raises(ServerError):
        client.objects.put("oss://bucket/key", b"abcd")
    assert fake.asked[-1].startswith("DELETE /bucket/key?uploadId=U1 ")


@pytest.mark.parametrize(("there", "is_well"), [(CRC_OF_ABCD, True), ("1", False)])
def test_a_completion_whose_answer_was_lost(fake: Fake, small_parts: None, there: str, is_well: bool) -> None:
    """It is repeated, and the upload is gone: it was completed if the object is the one that was sent."""
    head = answer(x_oss_hash_crc64ecma=there)
    gone = error_xml("404 Not Found", "NoSuchUpload")
    fake.answers = [BEGUN, answer(ETag="1"), answer(ETag="2"), b"", gone, head]
    with fake.client(attempts=2) as client:
        if is_well:
            client.objects.put("oss://bucket/key", b"abcd")
        else:
            with pytest.raises(Exception, match="NoSuchUpload"):
                client.objects.put("oss://bucket/key", b"abcd")


# --- sums


def test_what_arrives_with_another_crc64_is_an_error(fake: Fake) -> None:
    fake.answers = [answer(b"abcd", x_oss_hash_crc64ecma="1")]
    with fake.client() as client, client.objects.open("oss://bucket/key") as file:
        assert file.read(2) == b"ab", "pieces are given as they come"
        with pytest.raises(ResponseLostError, match="oss://bucket/key: the content changed on its way"):
            file.read()


def test_what_arrives_with_its_crc64_or_without_one(fake: Fake) -> None:
    fake.answers = [answer(b"abcd", x_oss_hash_crc64ecma=CRC_OF_ABCD), answer(b"abcd")]
    with fake.client() as client:
        assert [client.objects.open("oss://bucket/key").read() for _ in range(2)] == [b"abcd"] * 2


def test_what_the_service_got_with_another_crc64_is_sent_again(fake: Fake) -> None:
    fake.answers = [answer(x_oss_hash_crc64ecma="1"), answer(x_oss_hash_crc64ecma=CRC_OF_ABCD)]
    with fake.client(attempts=2) as client:
        client.objects.put("oss://bucket/key", b"abcd")
    assert len(fake.asked) == 2


# --- events


def test_each_attempt_and_each_call_is_an_event(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.answers = [BUSY, answer(x_oss_request_id="R2")]
    caplog.set_level(logging.DEBUG, "batchcompute")
    with fake.client(attempts=2) as client:
        client.objects.put("oss://bucket/key", b"abcd")
    events = [one for one in caplog.records if "oss://bucket/key" in one.getMessage()]
    assert [one.levelname for one in events] == ["DEBUG", "DEBUG", "INFO"]
    first, second, call = (one.getMessage() for one in events)
    for said in ("event='attempt'", "attempt=1", "status=503", "code='ServiceUnavailable'", "request_id='R1'"):
        assert said in first
    for said in ("event='attempt'", "attempt=2", "status=200", "request_id='R2'", "bytes_sent=4"):
        assert said in second
    where = fake.url.partition("://")[2]
    for said in ("event='call'", "attempts=2", "operation='put_object'", "region='cn-qingdao'", f"endpoint='{where}'"):
        assert said in call
    for secret in (SECRET, TOKEN, "OSS4-HMAC"):
        assert secret not in "".join((first, second, call))


def test_a_failed_call_is_a_warning_and_an_absent_object_none(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "batchcompute")
    fake.answers = [error_xml("403 Forbidden", "AccessDenied"), error_xml("404 Not Found", "NoSuchKey")]
    with fake.client() as client:
        with pytest.raises(Exception, match="AccessDenied"):
            client.objects.open("oss://bucket/key")
        with pytest.raises(FileNotFoundError):
            client.objects.open("oss://bucket/key")
    assert [one.levelname for one in caplog.records if "oss://bucket" in one.getMessage()] == ["WARNING", "INFO"]


def test_blocked_tracing_says_nothing(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "batchcompute")
    config = Config(plugins=PluginConfig(block=frozenset({"tracing"})), sections={"oss": {"endpoint": fake.url}})
    with Client("cn-qingdao", "testid", SECRET, config=config) as client:
        client.objects.open("oss://bucket/key").close()
    assert not [one for one in caplog.records if one.name == "batchcompute"]


# --- cassettes


def session(client: Client) -> list[Any]:
    objects = client.objects
    objects.put("oss://bucket-tape/one", b"recorded")
    with objects.open("oss://bucket-tape/one") as file:
        found: list[Any] = [file.read()]
    found.append(list(objects.list("oss://bucket-tape/")))
    objects.delete("oss://bucket-tape/one")
    found.append(objects.exists("oss://bucket-tape/one"))
    with pytest.raises(FileNotFoundError):
        objects.open("oss://bucket-tape/none")
    return found


def test_a_session_of_objects_alone_hides_the_key_in_them(fake: Fake, tmp_path: Path) -> None:
    fake.answers = [answer(f"export SECRET={SECRET}".encode())]
    file = tmp_path / "session.yaml"
    config = Config(sections={"oss": {"endpoint": fake.url}})
    with (
        replay.use_cassette(file) as plugin,
        Client("cn-qingdao", "testid", SECRET, config=config, plugins=[plugin]) as client,
    ):
        client.objects.open("oss://bucket/profile")
    assert SECRET not in file.read_text()
    assert "export SECRET=" in file.read_text()


def test_a_recorded_session_replays_offline_and_without_a_key(served: Any, tmp_path: Path) -> None:
    file = tmp_path / "session.yaml"
    with replay.use_cassette(file) as plugin, Client(served.url, served.key, served.secret, plugins=[plugin]) as client:
        recorded = session(client)
    text = file.read_text()
    assert served.secret not in text
    assert served.key not in text
    assert "recorded" in text
    with replay.use_cassette(file, "replay") as plugin, Client("http://127.0.0.1:9", plugins=[plugin]) as client:
        assert session(client) == recorded == [b"recorded", [("oss://bucket-tape/one", 8)], False]
        with pytest.raises(UnrecordedRequestError, match="oss://bucket-tape/other"):
            client.objects.open("oss://bucket-tape/other")
