"""urllib3's connections, with two changes: a header is written in one go, and an answer has to be there in time."""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Due(threading.local):
    at: float | None = None


due = _Due()
"""`due.at`: the second of time.monotonic() by which the answer to this thread's request has to be there, if any."""


class _Connections:
    """For a pool: it makes connections of ours.

    http.client matches every name and value against patterns, and urllib3 looks for its own markers before: a tenth of a
    call's time. That no line can be smuggled in is all that is needed here. A connection class with a putheader of its
    own, as vcrpy puts in, is left alone.
    """

    @property
    def ConnectionCls(self) -> type[Any]:  # noqa: N802  # urllib3's name
        usual: Any = super().ConnectionCls  # type: ignore[misc]  # the pool's
        return ours(usual) if usual.putheader is HTTPConnection.putheader else usual


class HttpPool(_Connections, urllib3.HTTPConnectionPool):  # type: ignore[override]  # the class is a property
    """urllib3's pool for http."""


class HttpsPool(_Connections, urllib3.HTTPSConnectionPool):  # type: ignore[override]  # the class is a property
    """urllib3's pool for https."""


@cache
def ours(usual: Any) -> type[Any]:
    """A connection class like `usual`, with the two changes."""

    def putheader(self: Any, name: str, value: object) -> None:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        line = f"{name}: {text}".encode("latin-1")
        if b"\n" in line or b"\r" in line:
            raise ValueError(f"the header {name!r} has a line break in it")  # never show the value
        self._output(line)

    return type("Connection", (usual,), {"putheader": putheader, "response_class": _Answer})


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if due.at is not None:
            self.fp = io.BufferedReader(_Timely(self.fp.detach(), sock, due.at))


class _Timely(io.RawIOBase):
    """What comes from `sock` until `due`: its own time limit is for each receive, so a server that dribbles outlasts it."""

    def __init__(self, raw: Any, sock: socket.socket, due: float) -> None:
        self._raw = raw
        self._sock = sock
        self._due = due
        self._patience = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = self._due - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left if self._patience is None else min(left, self._patience))
        found: int | None = self._raw.readinto(buffer)
        return found

    def close(self) -> None:
        self._raw.close()
        super().close()
