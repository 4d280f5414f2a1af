"""urllib3's connections, with three changes.

A header is written in one go. A call's time limit holds for names, all addresses of a host, handshakes, the request and the
answer together. An answer whose head or chunk ends in the middle of a line is not taken for a whole one.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

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
    """Return a connection class like `usual`, with the three changes."""

    def putheader(self: Any, name: str, value: object) -> None:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        line = f"{name}: {text}".encode("latin-1")
        if b"\n" in line or b"\r" in line:
            value = text = line = b""  # never show the value, also not to tools that show the variables of a frame
            raise ValueError(f"the header {name!r} has a line break in it")
        self._output(line)

    def new_connection(self: Any) -> socket.socket:
        if due.at is None:
            return usual._new_conn(self)  # type: ignore[no-any-return]  # the class is urllib3's
        known = usual._new_conn is HTTPConnection._new_conn
        sock = _connect_in_time(self, due.at) if known else usual._new_conn(self)
        give_time(sock, sock.gettimeout(), due.at)
        return sock

    def send(self: Any, data: Any) -> None:
        if due.at is not None and self.sock is not None:
            give_time(self.sock, self.sock.gettimeout(), due.at)
        held = [data]
        del data  # it has the token: an error must not find it in this frame
        usual.send(self, held.pop())

    changes = {
        "putheader": putheader,
        "_new_conn": new_connection,
        "send": send,
        "response_class": Answer,
        "is_ours": True,
    }
    return type("Connection", (usual,), changes)


def give_time(sock: socket.socket, seconds: float | None, end: float | None) -> None:
    """Let the next step of `sock`, such as a handshake or a request, take so many seconds, and end by `end`.

    Raises TimeoutError if that is over.
    """
    if end is not None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        seconds = left if seconds is None else min(left, seconds)
    if seconds != sock.gettimeout():
        sock.settimeout(seconds)


def _connect_in_time(connection: Any, end: float) -> socket.socket:
    """Try the addresses of the host in turn, all of them within the limit of one. Raises urllib3's errors."""
    host, patience = connection._dns_host, connection.timeout
    end = end if patience is None else min(end, time.monotonic() + patience)
    failure: NewConnectionError | None = None
    try:
        for address in _find_addresses(connection, host, end):
            left = end - time.monotonic()
            if left <= 0:
                break
            connection._dns_host, connection.timeout = address, left
            try:
                return HTTPConnection._new_conn(connection)
            except NewConnectionError as error:  # a ConnectTimeoutError has used up all the time
                failure = error
    finally:
        connection._dns_host, connection.timeout = host, patience
    raise failure or ConnectTimeoutError(connection, f"Connection to {host} timed out.")


def _find_addresses(connection: Any, host: str, end: float) -> list[str]:
    """Return the addresses of `host`. The resolver has no time limit, so it runs in a thread; one that is late is left alone."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    else:
        return [host]
    found: list[str] = []
    failures: list[OSError] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            failures.append(error if isinstance(error, socket.gaierror) else socket.gaierror(str(error)))

    thread = threading.Thread(target=resolve, name="resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, end - time.monotonic()))
    if failures:
        raise NameResolutionError(host, connection, failures[0])  # type: ignore[arg-type]  # it is a gaierror
    if not found:
        raise ConnectTimeoutError(connection, f"The address of {host} was not found in time.")
    return found


class Answer(http.client.HTTPResponse):
    """An answer of a real connection, to be there in time. `begun`: what of it has been read already."""

    def __init__(self, sock: socket.socket, *args: Any, begun: bytes = b"", **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw: Any = self.fp.detach()
        if due.at is not None:
            raw = _Timely(raw, sock, due.at)
        self.fp = _WholeLines(_Begun(raw, begun) if begun else raw)


class _WholeLines(io.BufferedReader):
    """Raises an error for a line without an end: http.client takes the end of a connection for the end of a head."""

    _begun = False

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n") and len(line) != size and (line or self._begun):
            raise ConnectionResetError("the connection ended in the middle of an answer")
        self._begun = True
        return line


class _Begun(io.RawIOBase):
    """What has been read already, and then what comes."""

    def __init__(self, raw: Any, begun: bytes) -> None:
        self._raw = raw
        self._begun = begun

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if not self._begun:
            found: int | None = self._raw.readinto(buffer)
            return found
        view = memoryview(buffer).cast("B")
        piece, self._begun = self._begun[: len(view)], self._begun[len(view) :]
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._raw.close()
        super().close()


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
