"""What somebody might try against the OSS endpoint (signatures have tests of their own)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.objects.buckets import create_bucket

from tests.support.oss import ANN, OWN, OssService, open_slow, signed_v1, target
from tests.support.waits import wait_for

BUCKET = "bucket-one"
BOMB = b"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">%s]><Delete><Object><Key>&a9;</Key></Object></Delete>"""
PART = f"<Part><PartNumber>1</PartNumber><ETag>{'0' * 32}</ETag></Part>".encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssService]:
    """The endpoint, with a bucket of its own account and one of ann."""
    made = OssService(tmp_path_factory.mktemp("data") / "oss", seconds=0.4)
    made.store.ensure(BUCKET)
    create_bucket(made.store, "bucket-of-ann", ANN.owner)
    (made.store.root.parent / "secret").write_text("secret")
    yield made
    made.close()


def files_of(service: OssService) -> list[str]:
    """All files outside of the folder beside the buckets."""
    found = []
    for folder, _, names in os.walk(service.store.root.parent):
        if ".batchcompute" not in folder:
            found += [os.path.relpath(os.path.join(folder, name), service.store.root.parent) for name in names]
    return sorted(found)


def md5_of(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


@pytest.mark.parametrize(
    "path",
    [
        "/bucket-one/../secret",
        "/bucket-one/../../secret",
        "/bucket-one/%2e%2e/%2e%2e/secret",
        "/bucket-one/a/..%2F..%2F..%2Fsecret",
        "/bucket-one/..",
    ],
)
def test_dots_in_keys_are_only_characters(service: OssService, path: str) -> None:
    key = {
        "/bucket-one/%2e%2e/%2e%2e/secret": "../../secret",
        "/bucket-one/a/..%2F..%2F..%2Fsecret": "a/../../../secret",
    }.get(path, path.removeprefix("/bucket-one/"))
    headers = signed_v1("GET", BUCKET, key, {}, {})
    assert service.send("GET", path, headers)[:2] == (404, "NoSuchKey")
    before = files_of(service)
    headers = signed_v1("PUT", BUCKET, key, {}, {})
    assert service.send("PUT", path, headers, b"x")[0] == 200
    assert files_of(service) == before
    assert service.call("DELETE", BUCKET, key)[0] == 204


@pytest.mark.parametrize("bucket", ["..", ".", ".batchcompute", "%2e%2e"])
def test_dots_in_buckets(service: OssService, bucket: str) -> None:
    name = bucket.replace("%2e", ".")
    for method, key in (("GET", "secret"), ("PUT", "secret"), ("GET", "objects.sqlite3"), ("DELETE", ""), ("PUT", "")):
        headers = signed_v1(method, name, key, {}, {})
        status, code, _, _ = service.send(method, f"/{bucket}/{key}", headers)
        assert (status, code) in ((404, "NoSuchBucket"), (400, "InvalidBucketName")), (method, key)
    assert (service.store.root.parent / "secret").read_text() == "secret"


def test_dots_in_the_source_of_a_copy(service: OssService) -> None:
    for source in ("/../secret/x", "/bucket-one/../../secret", "/.batchcompute/objects.sqlite3"):
        assert service.call("PUT", BUCKET, "copy", h_x_oss_copy_source=source)[0] in (400, 404)
    assert service.call("PUT", BUCKET, "link", h_x_oss_symlink_target="../../secret", symlink="")[0] == 200
    assert service.call("GET", BUCKET, "link")[:2] == (404, "SymlinkTargetNotExist")


def test_another_method_resource_or_header(service: OssService) -> None:
    service.call("PUT", BUCKET, "victim", b"1")
    headers = signed_v1("GET", BUCKET, "victim", {}, {"x-oss-meta-a": "b"})
    assert service.send("GET", f"/{BUCKET}/victim", headers)[0] == 200
    refused = (403, "SignatureDoesNotMatch")
    assert service.send("DELETE", f"/{BUCKET}/victim", headers)[:2] == refused
    assert service.send("GET", f"/{BUCKET}/other", headers)[:2] == refused
    assert service.send("GET", f"/{BUCKET}/victim?acl", headers)[:2] == refused
    assert service.send("GET", f"/{BUCKET}/victim", headers | {"x-oss-meta-a": "c"})[:2] == refused
    assert service.send("GET", f"/{BUCKET}/victim", headers | {"x-oss-meta-d": "e"})[:2] == refused
    assert service.send("GET", f"/{BUCKET}/victim?x-oss-process=x", headers)[:2] == refused


def test_a_header_or_a_parameter_twice(service: OssService) -> None:
    headers = signed_v1("GET", BUCKET, "x", {"uploadId": "1"}, {"x-oss-meta-a": "b"})
    assert service.send("GET", f"/{BUCKET}/x?uploadId=1&uploadId=2", headers)[:2] == (400, "InvalidArgument")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET /{BUCKET}/x?uploadId=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}X-Oss-Meta-A: c\r\n\r\n"
    with closing(open_slow(service.port, head)) as sock:
        assert b"InvalidArgument" in b"".join(iter(lambda: sock.recv(65536), b""))


def test_a_date_that_is_far_off(service: OssService) -> None:
    for seconds in (-901, 960):  # the date is in whole seconds, and time passes
        headers = signed_v1("GET", BUCKET, "", {}, {}, moment=time.time() + seconds)
        assert service.send("GET", f"/{BUCKET}/", headers)[:2] == (403, "RequestTimeTooSkewed")


def test_a_request_again(service: OssService) -> None:
    """It is allowed, as in OSS; these two do nothing the second time."""
    headers = signed_v1("PUT", BUCKET, "again", {}, {"x-oss-forbid-overwrite": "true"})
    assert service.send("PUT", f"/{BUCKET}/again", headers, b"1")[0] == 200
    assert service.send("PUT", f"/{BUCKET}/again", headers, b"2")[:2] == (409, "FileAlreadyExists")
    parameters = {"append": "", "position": "0"}
    headers = signed_v1("POST", BUCKET, "log", parameters, {})
    place = target(BUCKET, "log", parameters)
    assert service.send("POST", place, headers, b"1")[0] == 200
    status, code, found, _ = service.send("POST", place, headers, b"1")
    assert (status, code, found["x-oss-next-append-position"]) == (409, "PositionNotEqualToLength", "1")


@pytest.mark.parametrize(
    ("method", "key", "parameters"),
    [("PUT", "md5", {}), ("POST", "md5", {"append": "", "position": "0"}), ("POST", "", {"delete": ""})],
)
def test_a_body_other_than_its_md5(service: OssService, method: str, key: str, parameters: dict[str, str]) -> None:
    place = target(BUCKET, key, parameters)
    for sent in (md5_of(b"other"), "x", "a" * 24):
        headers = signed_v1(method, BUCKET, key, parameters, {"content-md5": sent})
        assert service.send(method, place, headers, b"body")[:2] == (400, "InvalidDigest")
    assert service.call("HEAD", BUCKET, "md5")[0] == 404


def test_xml_bombs(service: OssService) -> None:
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"x" * 10) for n in range(10))
    upload = start(service, "bomb")
    before = time.process_time()
    for bomb in (BOMB % entities, b'<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x"><Delete/>', b"<a>" * 100_000):
        for key, parameters in (("", {"delete": ""}), ("bomb", {"uploadId": upload}), ("bomb", {"tagging": ""})):
            method = "PUT" if "tagging" in parameters else "POST"
            headers = signed_v1(method, BUCKET, key, parameters, {"content-md5": md5_of(bomb)})
            assert service.send(method, target(BUCKET, key, parameters), headers, bomb)[:2] == (400, "MalformedXML")
    assert time.process_time() - before < 5


def start(service: OssService, key: str) -> str:
    content = service.call("POST", BUCKET, key, uploads="")[3].decode()
    return content.partition("<UploadId>")[2].partition("<")[0]


def test_a_million_parts(service: OssService) -> None:
    upload = start(service, "many")
    for number in ("0", "10001", "1000000", "-1", "1e3", "٣", "9" * 30):
        status, code, _, _ = service.call("PUT", BUCKET, "many", b"x", partNumber=number, uploadId=upload)
        assert (status, code) == (400, "InvalidArgument"), number
    body = b"<CompleteMultipartUpload>%s</CompleteMultipartUpload>"
    assert service.call("POST", BUCKET, "many", body % (PART * 10_001), uploadId=upload)[:2] == (400, "MalformedXML")
    assert service.call("POST", BUCKET, "many", body % (PART * 2), uploadId=upload)[:2] == (400, "InvalidPartOrder")
    headers = signed_v1("POST", BUCKET, "many", {"uploadId": upload}, {"content-length": str(100 << 20)})
    with closing(open_slow(service.port, head_of("POST", f"/{BUCKET}/many?uploadId={upload}", headers))) as sock:
        assert b"EntityTooLarge" in b"".join(iter(lambda: sock.recv(65536), b""))  # without reading it


def test_many_keys(service: OssService) -> None:
    body = b"<Delete>%s</Delete>" % (b"<Object><Key>k</Key></Object>" * 1001)
    assert service.call("POST", BUCKET, "", body, delete="", h_content_md5=md5_of(body))[:2] == (400, "MalformedXML")


def head_of(method: str, place: str, headers: dict[str, str]) -> str:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {place} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n"


def test_slow_bodies(service: OssService) -> None:
    """A body that trickles is given up; what came of it leaves nothing."""
    headers = signed_v1("PUT", BUCKET, "slow", {}, {"content-length": "1000000"})
    with closing(open_slow(service.port, head_of("PUT", f"/{BUCKET}/slow", headers))) as sock:
        sock.settimeout(0.05)
        begin, answer = time.monotonic(), b""
        while not answer and time.monotonic() - begin < 20:
            sock.sendall(b"x")
            try:
                answer = sock.recv(65536)
            except TimeoutError:
                continue
        sock.settimeout(20)
        answer += b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"400" in answer.split(b"\r\n")[0]
    assert b"RequestTimeout" in answer
    wait_for(
        lambda: not [name for name in os.listdir(service.store.root / BUCKET) if name.startswith(".part")], "no part"
    )
    assert service.call("HEAD", BUCKET, "slow")[0] == 404


def test_a_body_that_ends_early(service: OssService) -> None:
    service.call("PUT", BUCKET, "cut", b"whole")
    headers = signed_v1("PUT", BUCKET, "cut", {}, {"content-length": "1000"})
    with closing(open_slow(service.port, head_of("PUT", f"/{BUCKET}/cut", headers))) as sock:
        sock.sendall(b"half")
        sock.shutdown(socket.SHUT_WR)
        assert b"200" not in sock.recv(65536).split(b"\r\n")[0]
    wait_for(
        lambda: not [name for name in os.listdir(service.store.root / BUCKET) if name.startswith(".part")], "no part"
    )
    assert service.call("GET", BUCKET, "cut")[3] == b"whole"


def test_a_body_that_is_too_large(service: OssService) -> None:
    headers = signed_v1("PUT", BUCKET, "huge", {}, {"content-length": str((5 << 30) + 1)})
    with closing(open_slow(service.port, head_of("PUT", f"/{BUCKET}/huge", headers))) as sock:
        assert b"EntityTooLarge" in b"".join(iter(lambda: sock.recv(65536), b""))


def test_the_bucket_of_another_account(service: OssService) -> None:
    service.call("PUT", BUCKET, "mine", b"secret")
    upload = start(service, "mine")
    refused = (403, "AccessDenied")
    every: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "", {}), ("GET", "", {"bucketInfo": ""}), ("GET", "", {"uploads": ""}), ("DELETE", "", {}),
        ("POST", "", {"delete": ""}), ("PUT", "", {"acl": ""}), ("GET", "mine", {}), ("PUT", "mine", {}),
        ("DELETE", "mine", {}), ("GET", "mine", {"tagging": ""}), ("GET", "mine", {"symlink": ""}),
        ("GET", "mine", {"uploadId": upload}), ("PUT", "mine", {"uploadId": upload, "partNumber": "1"}),
        ("POST", "mine", {"uploadId": upload}), ("DELETE", "mine", {"uploadId": upload}),
        ("POST", "mine", {"append": "", "position": "0"}), ("POST", "mine", {"uploads": ""}),
    ]  # fmt: skip
    for method, key, parameters in every:
        assert service.call(method, BUCKET, key, account=ANN, **parameters)[:2] == refused, (method, key, parameters)
    assert service.call("PUT", BUCKET, "", account=ANN)[:2] == (409, "BucketAlreadyExists")
    copy: dict[str, Any] = {"h_x_oss_copy_source": f"/{BUCKET}/mine"}
    assert service.call("PUT", "bucket-of-ann", "copy", account=ANN, **copy)[:2] == refused
    assert service.call("PUT", "bucket-of-ann", "copy", account=OWN, **copy)[:2] == refused
    assert f"<Name>{BUCKET}</Name>" not in service.call("GET", "", "", account=ANN)[3].decode()
    # the upload of another bucket
    assert service.call("DELETE", "bucket-of-ann", "mine", account=ANN, uploadId=upload)[:2] == (404, "NoSuchUpload")


@pytest.mark.parametrize("version", [1, 4])
def test_a_foreign_account_in_a_signed_url(service: OssService, version: int) -> None:
    service.call("PUT", BUCKET, "mine", b"secret")
    url = service.bucket(BUCKET, ANN, version).sign_url("GET", "mine", 60)
    place = url.partition(str(service.port))[2]
    assert service.send("GET", place, {})[:2] == (403, "AccessDenied")
    named = place.replace(ANN.access_key_id, OWN.access_key_id)
    assert service.send("GET", named, {})[:2] == (403, "SignatureDoesNotMatch")
    own = service.bucket(BUCKET, OWN, version).sign_url("GET", "mine", 60).partition(str(service.port))[2]
    assert service.send("GET", own, {})[3] == b"secret"
    assert service.send("GET", own.replace("mine", "other"), {})[:2] == (403, "SignatureDoesNotMatch")


def test_without_a_signature(service: OssService) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD", "POST", "OPTIONS", "TRACE", "X"):
        assert service.send(method, f"/{BUCKET}/mine", {})[0] == 403


def test_what_is_not_http(service: OssService) -> None:
    with closing(open_slow(service.port, "\x16\x03\x01 no http\r\n\r\n")) as sock:
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>BadRequest</Code>" in answer


def test_errors_of_a_head(service: OssService) -> None:
    status, _, found, content = service.call("HEAD", BUCKET, "absent")
    assert (status, content) == (404, b"")
    assert b"<Code>NoSuchKey</Code>" in base64.b64decode(found["x-oss-err"])


def test_no_secret_is_in_an_answer_or_a_repr(service: OssService, caplog: pytest.LogCaptureFixture) -> None:
    headers = signed_v1("GET", BUCKET, "", {}, {"x-oss-meta-a": OWN.access_key_secret[:0] + "b"})
    answers = [
        service.send("GET", f"/{BUCKET}/", headers | {"x-oss-meta-a": "c"})[3],
        service.call("GET", "..", "x")[3],
    ]
    assert all(OWN.access_key_secret.encode() not in each for each in answers)
    assert OWN.access_key_secret not in json.dumps([repr(service.front.__dict__), caplog.text])


def test_an_operation_that_there_is_not_is_none_of_the_others(service: OssService) -> None:
    service.call("PUT", BUCKET, "kept", b"1")
    for method, key, parameter in (
        ("PUT", "kept", "restore"), ("DELETE", "kept", "versionId"), ("PUT", "", "lifecycle"), ("DELETE", "", "cors"),
        ("GET", "kept", "x-oss-process"), ("PUT", "kept", "callback"), ("DELETE", "", "policy"), ("POST", "", "acl"),
    ):  # fmt: skip
        assert service.call(method, BUCKET, key, b"2", OWN, **{parameter.replace("-", "_"): ""})[:2] == (
            400,
            "NotImplemented",
        )
    assert service.call("POST", BUCKET, "kept")[:2] == (400, "NotImplemented")
    assert service.call("GET", BUCKET, "kept")[3] == b"1"


def test_limits_of_metadata(service: OssService) -> None:
    assert service.call("PUT", BUCKET, "meta", h_x_oss_meta_a="x" * 8300)[:2] == (400, "InvalidArgument")
    assert service.call("PUT", BUCKET, "meta", h_x_oss_meta_a="x" * 8000)[0] == 200
    found = service.call("GET", BUCKET, "meta", response_content_type="text/x\r\nX-Evil: 1")
    assert found[:2] == (400, "InvalidArgument")


def test_keys_that_are_none(service: OssService, tmp_path: Path) -> None:
    for key in ("/absolute", "x" * 1024):
        assert service.call("PUT", BUCKET, key, b"1")[:2] == (400, "InvalidObjectName")
    headers = signed_v1("PUT", BUCKET, "x", {}, {})
    assert service.send("PUT", f"/{BUCKET}/%ff", headers, b"1")[:2] == (400, "InvalidObjectName")
