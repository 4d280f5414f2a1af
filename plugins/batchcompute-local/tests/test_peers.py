"""Requests exactly as the clients of 2015 and later send them (protocol 1.3 to 1.5), and what they need of the answers.

The shapes were recorded from the clients themselves, SDK 0.1a5 and 0.1a13 under Python 2.7 and 3, and aliyun-sdk 1.12 for
Node, talking to this service; the Java SDK's is that of protocol 1.4. Names, order and values of headers are theirs; date,
nonce and signature are made here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import uuid
from collections.abc import Callable
from contextlib import closing
from email.utils import formatdate
from typing import Any

import pytest
from batchcompute_local.client import control
from batchcompute_local.http.auth import sign

from tests.support.descriptions import describe
from tests.support.service import Cloud
from tests.support.waits import wait_for

Head = list[tuple[str, str]]
BROWSER = "Mozilla/5.0 (Windows NT 6.1)"


def _python(key: str, secret: str, method: str, target: str, body: bytes, content_type: str, old: bool) -> Head:
    date, nonce = formatdate(usegmt=True), str(uuid.uuid1())
    signed = {
        "x-acs-access-key-id": key,
        "x-acs-region-id": "cn-test",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": nonce,
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
    }
    text = f"{method}\napplication/json\n\n{content_type}\n{date}\n"
    text += "".join(f"{name}:{value}\n" for name, value in signed.items()) + target
    authorization = ("Authorization", f"acs {key}:{sign(secret, text)}")
    digest = [("contentMd5", hashlib.md5(body, usedforsecurity=False).hexdigest())] if body else []
    length = ("Content-Length", str(len(body)))
    plain = [("Accept", "application/json"), ("Content-Type", content_type), ("User-Agent", BROWSER)]
    start = [("Host", "127.0.0.1"), ("Accept-Encoding", "identity")]
    if old:  # Python 2 puts a dict's keys in the order of their hashes
        return [*start, length, *digest, *plain, *signed.items(), ("Date", date), authorization]
    return [*start, ("Date", date), *signed.items(), *plain, *digest, length, authorization]


def python_0_1a5(key: str, secret: str, method: str, target: str, body: bytes) -> Head:
    return _python(key, secret, method, target, body, "text/html", old=True)


def python_0_1a13(key: str, secret: str, method: str, target: str, body: bytes) -> Head:
    return _python(key, secret, method, target, body, "application/json", old=False)


def javascript(key: str, secret: str, method: str, target: str, body: bytes) -> Head:
    """No nonce, no Date, no content type without a body of its own; the date is among the signed headers, and in the slot."""
    date = formatdate(usegmt=True)
    kind = ""
    if method != "GET":
        kind = "application/octet-stream" if target.endswith("/Priority") else "text/plain;charset=UTF-8"
    signed = {
        "x-acs-date": date,
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
    }
    text = f"{method}\napplication/json\n\n{kind}\n{date}\n" + "".join(f"{n}:{v}\n" for n, v in signed.items()) + target
    return [
        ("User-Agent", "aliyun-sdk-nodejs/1.12.10(linux/6/x64;v20.20.2)"),
        ("x-acs-version", "2015-06-30"),
        *([("Content-Type", kind)] if kind else []),
        ("Content-Length", str(len(body))),
        ("Host", "127.0.0.1"),
        ("x-acs-date", date),
        ("x-acs-signature-method", "HMAC-SHA1"),
        ("x-acs-signature-version", "1.0"),
        ("x-sdk-client", "node.js/1.0.0"),
        ("Accept", "application/json"),
        ("Authorization", f"acs {key}:{sign(secret, text)}"),
        ("Connection", "keep-alive"),
    ]


def java(key: str, secret: str, method: str, target: str, body: bytes) -> Head:
    """The aliyun core SDK's signature: Content-MD5 in base64 is sent and signed."""
    date, nonce = formatdate(usegmt=True), str(uuid.uuid4())
    kind = "application/octet-stream" if body else ""
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
    signed = {
        "x-acs-region-id": "cn-qingdao",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": nonce,
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
    }
    text = (
        f"{method}\napplication/json\n{digest}\n{kind}\n{date}\n"
        + "".join(f"{n}:{v}\n" for n, v in signed.items())
        + target
    )
    return [
        ("x-sdk-client", "Java/2.0.0"),
        *signed.items(),
        ("Accept", "application/json"),
        *([("Content-MD5", digest), ("Content-Type", kind)] if body else []),
        ("Date", date),
        ("Authorization", f"acs {key}:{sign(secret, text)}"),
        ("User-Agent", "Java/1.7.0"),
        ("Host", "127.0.0.1"),
        ("Connection", "keep-alive"),
        *([("Content-Length", str(len(body)))] if body else []),
    ]


class Peer:
    """One kind of client; every call a connection of its own."""

    def __init__(self, cloud: Cloud, shape: Callable[..., Head]) -> None:
        self._cloud = cloud
        self._shape = shape

    def call(self, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
        head = self._shape(*control.read_credentials(self._cloud.root), method, target, body)
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head), "", ""]
        with closing(control.connect(self._cloud.root)) as sock:
            sock.settimeout(20)
            sock.sendall("\r\n".join(lines).encode() + body)
            data = b""
            while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < _length(data):
                data += _some(sock)
        start, _, content = data.partition(b"\r\n\r\n")
        assert content.isascii()
        names = [line.partition(b":")[0].lower() for line in start.split(b"\r\n")[1:]]
        assert {b"request-id", b"x-acs-request-id", b"date"} <= set(names)
        return int(start.split()[1]), json.loads(content) if content else None


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    assert data
    return data


def _length(data: bytes) -> int:
    lines = data.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))


@pytest.mark.parametrize("shape", [python_0_1a5, python_0_1a13, javascript, java])
def test_a_client_from_the_first_request_to_the_last(cloud: Cloud, shape: Callable[..., Head]) -> None:
    cloud.up()
    cloud.program("print('done')")
    peer = Peer(cloud, shape)
    status, images = peer.call("GET", "/images")
    assert (status, images["img-local"]["ResourceId"]) == (200, "img-local")
    body = json.dumps(json.loads(describe({"Find": {"InstanceCount": 2}, "Count": {}}, {"Find": ["Count"]})), indent=4)
    status, made = peer.call("POST", "/jobs", body.encode())
    assert status == 201
    assert list(made) == ["ResourceId"]
    assert made["ResourceId"].startswith("job-")
    job = f"/jobs/{made['ResourceId']}"
    found = wait_for(lambda: (lambda one: one if one["State"] == "Terminated" else None)(peer.call("GET", job)[1]))
    assert isinstance(found["CreateTime"], int)
    assert set(peer.call("GET", "/jobs")[1]) == {made["ResourceId"]}
    status, tasks = peer.call("GET", f"{job}/tasks")
    assert status == 200
    assert {name: (task["UnfinishedInstances"], task["State"]) for name, task in tasks.items()} == {
        "Find": ([], 3),
        "Count": ([], 3),
    }
    assert peer.call("GET", f"{job}/description")[1]["TaskDag"]["Dependencies"] == {"Find": ["Count"]}
    for method, target, content in (("PUT", f"{job}?Action=Stop", b""), ("PUT", f"{job}/Priority", b"77")):
        status, refused = peer.call(method, target, content)
        assert (status, refused["Code"], refused["ErrorCode"]) == (409, "StateConflict", "StateConflict")
        assert refused["Message"].endswith("Finished.")
    assert peer.call("DELETE", job) == (200, None)
    status, refused = peer.call("GET", job)
    assert (status, refused["Code"]) == (404, "ResourceNotFound")


@pytest.mark.parametrize("shape", [python_0_1a5, python_0_1a13, javascript, java])
def test_stop_priority_start_in_one_second(cloud: Cloud, shape: Callable[..., Head]) -> None:
    cloud.up()
    cloud.program("import time; time.sleep(60)")
    peer = Peer(cloud, shape)
    job = f"/jobs/{peer.call('POST', '/jobs', describe({'A': {}}))[1]['ResourceId']}"
    again = f"/jobs/{peer.call('POST', '/jobs', describe({'A': {}}))[1]['ResourceId']}"
    assert job != again
    for method, target, body in (
        ("PUT", f"{job}?Action=Stop", b""),
        ("PUT", f"{job}/Priority", b"77"),
        ("PUT", f"{job}?Action=Start", b""),
        ("PUT", f"{job}?Action=Stop", b""),
        ("DELETE", job, b""),
    ):
        assert peer.call(method, target, body) == (200, None), target
