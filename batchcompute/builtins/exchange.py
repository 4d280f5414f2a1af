"""One request and its answer over a connection that is kept open.

urllib3 makes the connections: names, TLS, proxies, and the first exchange over each are its own. Most of the later exchanges are
alike, a request and an answer that says its length, and urllib3 spends more on them than all the rest of a call takes. Those are
written and read here. An answer that is not as plain as that is left to http.client and urllib3, from its first byte on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import urllib3

from ..config import TransportConfig
from ..wire import Request
from .connections import Answer, due, give_time

_TARGET = re.compile(r"/[\w.~!$&'()*+,;=:@/?-]*(?:%[0-9A-F]{2}[\w.~!$&'()*+,;=:@/?-]*)*", re.ASCII)
"""The targets that urllib3 sends as they are."""
_WRITTEN_HERE = frozenset({"accept-encoding", "content-length", "host", "transfer-encoding"})
_HEAD = re.compile(r"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n\0]*)?\r\n((?:[!-9;-~]+:[^\r\n\0]*\r\n)*)")
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*([^\r\n]*)\r\n")
_FOLD = re.compile(r"[ \t]*\r\n[ \t]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_MOST_FIELDS = 100
"""As http.client has it."""
_PIECE = 1 << 18
_SMALL = 1 << 14
"""So many bytes fit into the buffer of an idle connection: sending them takes no time."""
_WITH_BODY = ("POST", "PUT", "PATCH")
"""The methods whose empty body is sent with a length of 0, as urllib3 does."""


class PlainAnswer:
    """An answer with a length, of which the head has been read. `headers` have lower-case names."""

    __slots__ = ("_begin", "_connection", "_length", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], connection: Any, begin: bytes, length: int) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._begin = begin
        self._length = length

    def read(self) -> bytes:
        """Return the whole body. Raises OSError."""
        begin, length = self._begin, self._length
        if len(begin) >= length:
            return begin[:length]
        sock, pieces, missing = self._connection.sock, [begin], length - len(begin)
        while missing > 0:
            if due.at is not None:
                give_time(sock, sock.gettimeout(), due.at)
            piece = sock.recv(min(missing, _PIECE))
            if not piece:
                raise ConnectionResetError("the connection ended in the middle of an answer")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    @property
    def ends_connection(self) -> bool:
        """True if no other exchange may follow: one side wants it so, or there was more than the answer."""
        return "close" in self.headers.get("connection", "").lower() or len(self._begin) > self._length


def take(pool: Any, request: Request) -> Any:
    """Return an open connection of ours from urllib3's pool, for `ask`; None if urllib3 is to send the request."""
    if not isinstance(pool, urllib3.HTTPConnectionPool) or not _is_plain(request):
        return None
    if hasattr(urllib3.HTTPConnectionPool.urlopen, "__wrapped__"):
        return None  # somebody watches it, as OpenTelemetry does
    connection: Any = pool._get_conn()  # it looks whether the other side has closed it
    if connection.sock is not None and getattr(type(connection), "is_ours", False):
        return connection
    pool._put_conn(connection)
    return None


def _is_plain(request: Request) -> bool:
    """Return whether urllib3 would send it as `_message` does, and its answer may have a body."""
    return (
        request.method != "HEAD"
        and _TARGET.fullmatch(request.target) is not None
        and _WRITTEN_HERE.isdisjoint(map(str.lower, request.headers))
    )


def give_back(pool: Any, connection: Any, answer: Any, data: bytes | None) -> None:
    """Let the next exchange have the connection, if `data` is the whole body of the answer and it may be used again."""
    if data is not None and _may_follow(answer):
        pool._put_conn(connection)
        return
    if isinstance(answer, urllib3.HTTPResponse):
        answer.close()
    connection.close()
    pool._put_conn(None)


def _may_follow(answer: Any) -> bool:
    """Return whether another exchange may follow an answer that has been read."""
    if isinstance(answer, PlainAnswer):
        return not answer.ends_connection
    original = answer._original_response  # of http.client
    return bool(original.isclosed()) and not original.will_close


def ask(pool: Any, connection: Any, request: Request, settings: TransportConfig) -> PlainAnswer | urllib3.HTTPResponse:
    """Send a request and read the head of its answer. Raises OSError, and what http.client and urllib3 raise for a bad one."""
    sock = connection.sock
    if due.at is not None or len(request.body) > _SMALL:
        give_time(sock, settings.connect_timeout, due.at)
    with suppress(BrokenPipeError, ConnectionResetError):  # whoever has closed the connection may have answered before
        connection.send(_message(_host_of(pool), request))
    give_time(sock, settings.read_timeout, due.at)
    begun = sock.recv(65536)
    return _plain(connection, begun, settings.max_answer_bytes) or _other(connection, begun, request)


def _host_of(pool: Any) -> str:
    host = pool.host.rstrip(".")
    host = f"[{host}]" if ":" in host else host
    return host if pool.port in (None, pool.ConnectionCls.default_port) else f"{host}:{pool.port}"


def _message(host: str, request: Request) -> bytes:
    """Return the bytes of a request. Raises ValueError for a line break where none may be."""
    body = request.body
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    if body or request.method in _WITH_BODY:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += ("", "")
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks:
        del lines, text  # never show a value, also not to tools that show the variables of a frame
        raise ValueError(f"the header {_broken(request.headers)!r} has a line break in it")
    return text.encode("latin-1") + body


def _broken(headers: Mapping[str, str]) -> str:
    return next((name for name, value in headers.items() if "\n" in value or "\r" in value), "")


def _plain(connection: Any, begun: bytes, limit: int) -> PlainAnswer | None:
    """Return the answer that begins so, if it is one that says its length, and is not larger than allowed."""
    end = begun.find(b"\r\n\r\n")
    head = _HEAD.fullmatch(begun[: end + 2].decode("latin-1")) if end > 0 else None
    if head is None:
        return None
    fields = _FIELD.findall(head[2])
    headers = {name.lower(): value for name, value in fields}
    length = headers.get("content-length", "")
    if (
        len(headers) != len(fields)
        or len(fields) > _MOST_FIELDS
        or not _LENGTH.fullmatch(length)
        or int(length) > limit
        or "transfer-encoding" in headers
        or "content-encoding" in headers
        or head[1] in ("204", "304")
    ):
        return None
    return PlainAnswer(int(head[1]), headers, connection, begun[end + 4 :], int(length))


def _other(connection: Any, begun: bytes, request: Request) -> urllib3.HTTPResponse:
    """Return an answer as urllib3 gives it."""
    answer = Answer(connection.sock, method=request.method, begun=begun)
    try:
        answer.begin()
        return urllib3.HTTPResponse(
            body=answer,
            headers=urllib3.HTTPHeaderDict((name, _FOLD.sub(" ", value)) for name, value in answer.msg.items()),
            status=answer.status,
            version=answer.version,
            reason=answer.reason,
            preload_content=False,
            original_response=answer,
            connection=connection,
            request_method=request.method,
            request_url=request.target,
        )
    except BaseException:
        answer.close()  # it has the socket too
        raise
