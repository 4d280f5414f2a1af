"""The one signed client of the tests: it sends what an SDK sends, headers and body as the test wants them."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

from batchcompute_local.client import control
from batchcompute_local.http.auth import sign, strings_to_sign


def sign_headers(key: str, secret: str, method: str, target: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request, signed: a fresh date and nonce, and `headers` in front of the usual ones."""
    sent = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Date": formatdate(usegmt=True),
        "x-acs-version": "2015-06-30",
        "x-acs-signature-nonce": uuid.uuid4().hex,
    } | dict(headers)
    text = next(strings_to_sign(method, target, {name.lower(): value for name, value in sent.items()}))
    sent.setdefault("Authorization", f"acs {key}:{sign(secret, text)}")
    return sent


def connect_to(root: Path, timeout: float = 60.0) -> http.client.HTTPConnection:
    """A connection to the socket of the service in a data folder. timeout: seconds."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = control.connect(root)
    connection.sock.settimeout(timeout)
    return connection


class SignedClient:
    """Signed requests over one connection, which is made again when either side has closed it.

    connect: makes a connection to the service. credentials: (access key id, secret), asked for each request.
    """

    def __init__(
        self, connect: Callable[[], http.client.HTTPConnection], credentials: Callable[[], tuple[str, str]]
    ) -> None:
        self.connect = connect
        self.credentials = credentials
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Sign and send; status and decoded answer."""
        return self.send(method, target, sign_headers(*self.credentials(), method, target, headers), body)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, Any]:
        """Send it as it is; status and decoded answer, None where there is no content."""
        if self._connection is None:
            self._connection = self.connect()
        self._connection.request(method, target, body, dict(headers))
        answer = self._connection.getresponse()
        data = answer.read()
        assert data.isascii()
        assert answer.headers["request-id"] == answer.headers["x-acs-request-id"]
        if answer.will_close:
            self.close()
        return answer.status, json.loads(data) if data else None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
