"""Connections of clients, with limits: slow connections are closed, and so are too many.

The head of a request has a time limit (a body has one in `bodies`), and so has a client that does not read its answer.
uvicorn's keep-alive closes a connection that is idle between two requests.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from batchcompute_local.errors import ServiceError
from batchcompute_local.http.application import answer_headers, error_body, new_request_id

MAX_HEAD_BYTES = 16 << 10
"""Request line and headers."""


@dataclass(frozen=True)
class Limits:
    """Connections at once, and seconds for a request or an answer. `open` holds the connections of one listener."""

    connections: int
    seconds: float
    open: set[Connection] = field(default_factory=set, compare=False)


class Connection(H11Protocol):
    """uvicorn's connection with time limits. It is closed at once if there are too many."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], limits: Limits) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for mypy: streams only
        if len(self._limits.open) >= self._limits.connections:
            transport.abort()
            return
        self._limits.open.add(self)
        # count every unread byte, not only those beyond a buffer
        transport.set_write_buffer_limits(high=1, low=0)
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limits."""
        if self in self._limits.open:
            self._limits.open.discard(self)
            _cancel(self._head, self._unread)
            self._unset_keepalive_if_required()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes of a request."""
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """Start the time limit for reading the answer."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._limits.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel the time limit for reading the answer."""
        super().resume_writing()
        _cancel(self._unread)
        self._unread = None

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP like other errors."""
        is_head = False
        if self.cycle is not None and not self.cycle.response_complete:
            is_head = self.scope["method"] == "HEAD"
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = new_request_id()
            body = error_body(ServiceError(400, "InvalidRequest", msg), request_id)
            headers = answer_headers(request_id) | {"Connection": "close", "Content-Length": str(len(body))}
            head = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
            for event in (head, h11.Data(data=b"" if is_head else body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        # runs from the first byte of a head to its last, and on a new connection
        if self.cycle is not None and not self.cycle.response_complete:
            _cancel(self._head)
            self._head = None
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self._limits.seconds, self.transport.abort)


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
