"""The OSS endpoint on a port of its own, over HTTP, without the rest of the service; and the official clients for it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import alibabacloud_oss_v2 as v2
import oss2
from batchcompute_local.http.accounts import Account
from batchcompute_local.http.connections import Limits
from batchcompute_local.http.server import Listener, _Server
from batchcompute_local.objects.address import bind
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.objects.remote import open_objects
from batchcompute_local.oss.application import OssFront
from batchcompute_local.oss.signatures import Signed, sign_v1, sign_v4

from .waits import wait_for

OWN = Account(1000, "LOCALKEY", "own-secret-of-tests")
ANN = Account(1001, "LTAIann", "secret-of-ann-in-tests", name="ann")
REGION = "cn-test"


class Known:
    """The accounts by their keys."""

    def __init__(self, *accounts: Account) -> None:
        self.by_key = {one.access_key_id: one for one in accounts}

    def lookup(self, access_key_id: str) -> Account | None:
        return self.by_key.get(access_key_id)


class OssService:
    """The endpoint for the folder `root`, in a thread."""

    def __init__(
        self,
        root: Path,
        seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
        buckets: Mapping[str, BucketElsewhere] = {},  # nobody changes it
    ) -> None:
        self.store = open_objects(root, buckets, root.parent / "unsent")
        self.front = OssFront(self.store, Known(OWN, ANN), seconds, ["oss.example.com"], clock)
        sock = bind("127.0.0.1", 0)
        self.port: int = sock.getsockname()[1]
        self._server = _Server([Listener(sock, self.front, Limits(100, seconds))])
        self.session = oss2.Session()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()), name="oss service")
        self._thread.start()
        wait_for(lambda: self._server.started, "the endpoint to listen")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.session.session.close()
        self._server.should_exit = True
        self._thread.join(20)
        self.front.close()
        self.store.database.close()

    def bucket(self, name: str = "bucket-one", account: Account = OWN, version: int = 4) -> oss2.Bucket:
        """oss2 for a bucket, with signature V1 or V4."""
        kind = oss2.AuthV4 if version == 4 else oss2.Auth
        auth = kind(account.access_key_id, account.access_key_secret)
        return oss2.Bucket(auth, self.url, name, region=REGION, connect_timeout=20, session=self.session)

    def client(self, account: Account = OWN, version: str = "v4") -> v2.Client:
        """alibabacloud_oss_v2, with signature v1 or v4."""
        config = v2.config.load_default()
        config.credentials_provider = v2.credentials.StaticCredentialsProvider(
            account.access_key_id, account.access_key_secret
        )
        config.region, config.endpoint, config.signature_version = REGION, self.url, version
        config.use_path_style = True
        config.retry_max_attempts = 1
        return v2.Client(config)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, str, dict[str, str], bytes]:
        """Status, Code, headers and body of the answer."""
        with closing(self.connect()) as connection:
            connection.request(method, target, body or None, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
        is_error = answer.status >= 300 and content
        code = ElementTree.fromstring(content).findtext("Code", "") if is_error else ""
        return answer.status, code, found, content

    def call(
        self, method: str, bucket: str, key: str = "", body: bytes = b"", account: Account = OWN, **more: str
    ) -> tuple[int, str, dict[str, str], bytes]:
        """Send a request that is signed with V1. `more`: parameters, and headers whose names begin with `h_`."""
        parameters, headers = split(more)
        headers = signed_v1(method, bucket, key, parameters, headers, account)
        return self.send(method, target(bucket, key, parameters), headers, body)


def split(more: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters and headers of the keyword arguments of a call."""
    parameters = {name.replace("_", "-"): value for name, value in more.items() if not name.startswith("h_")}
    headers = {name[2:].replace("_", "-"): value for name, value in more.items() if name.startswith("h_")}
    return parameters, headers


def target(bucket: str, key: str, parameters: Mapping[str, str]) -> str:
    """The request target, in path style."""
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" if value else quote(name, safe="")
        for name, value in parameters.items()
    )
    path = f"/{bucket}/{quote(key)}" if bucket else "/"
    return path + (f"?{query}" if query else "")


def signed_v1(
    method: str,
    bucket: str,
    key: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    account: Account = OWN,
    moment: float | None = None,
) -> dict[str, str]:
    """The headers of a request with signature V1."""
    sent = {"date": formatdate(moment, usegmt=True), **headers}
    signature = sign_v1(account.access_key_secret, Signed(method, bucket, key, parameters, sent), sent["date"])
    return {**sent, "authorization": f"OSS {account.access_key_id}:{signature}"}


def signed_v4(
    method: str,
    bucket: str,
    key: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    account: Account = OWN,
    moment: float | None = None,
    listed: tuple[str, ...] = (),
) -> dict[str, str]:
    """The headers of a request with signature V4."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
    sent = {"x-oss-date": date, "x-oss-content-sha256": "UNSIGNED-PAYLOAD", **headers}
    scope = f"{date[:8]}/{REGION}/oss/aliyun_v4_request"
    signature = sign_v4(account.access_key_secret, Signed(method, bucket, key, parameters, sent), date, scope, listed)
    also = f",AdditionalHeaders={';'.join(listed)}" if listed else ""
    text = f"OSS4-HMAC-SHA256 Credential={account.access_key_id}/{scope}{also},Signature={signature}"
    return {**sent, "authorization": text}


def open_slow(port: int, head: str) -> socket.socket:
    """A connection that has sent `head`."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(head.encode())
    return sock
