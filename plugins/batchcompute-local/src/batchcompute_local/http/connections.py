"""One client's connection. None can hold the service by being slow, or by being many.

What a connection waits for has a time limit: the rest of a request's head (a body: see app), and the client's taking of
an answer. A connection that does nothing between two requests is closed by uvicorn's keep-alive.
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
"""Request line and headers together."""


@dataclass(frozen=True)
class Limits:
    """How many connections at once, and the seconds for a request or an answer. `open` counts those of one listener."""

    connections: int
    seconds: float
    open: set[Connection] = field(default_factory=set, compare=False)


class Connection(H11Protocol):
    """uvicorn's connection with time limits. Beyond the limit of connections it is closed at once."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], limits: Limits) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; it has to ask something now."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for mypy: streams only
        if len(self._limits.open) >= self._limits.connections:
            transport.abort()
            return
        self._limits.open.add(self)
        # every byte that the client does not take counts, not only those beyond a buffer
        transport.set_write_buffer_limits(high=1, low=0)
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self in self._limits.open:
            self._limits.open.discard(self)
            _cancel(self._head, self._taking)
            self._unset_keepalive_if_required()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """The client does not take what it was sent."""
        super().pause_writing()
        if self._taking is None:
            self._taking = self.loop.call_later(self._limits.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken all."""
        super().resume_writing()
        _cancel(self._taking)
        self._taking = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as other errors are."""
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
        # armed while the head of a request is on its way: between the first byte and the last, and on a new connection
        if self.cycle is not None and not self.cycle.response_complete:
            _cancel(self._head)
            self._head = None
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self._limits.seconds, self.transport.abort)


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
