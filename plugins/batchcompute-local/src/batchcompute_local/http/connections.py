"""Connections of clients, with limits.

The head of a request has a time limit (a body has one in `bodies`), and so has a client that does not read its answer.
uvicorn's keep-alive closes a connection that is idle between two requests. Where all connections are taken, the one that is
idle longest makes room; if none is idle, a request is answered with 503 and Retry-After. A client that closes its sending
side gets its answers.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

MAX_HEAD_BYTES = 16 << 10
"""Request line and headers."""
_IDLE_SECONDS = 1.0
"""A connection that was idle for less may be about to send a request."""
_MOST_REFUSALS = 2000
_RESERVED_DESCRIPTORS = 128
"""For files and the runner."""


def fit_to_descriptors(connections: int, listeners: int) -> tuple[int, int]:
    """Return how many `connections` each listener may have, and how many more it may refuse with an answer.

    The limit on open files of this process allows both.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return connections, _MOST_REFUSALS
    usable = max(limit - _RESERVED_DESCRIPTORS, limit // 2) // listeners
    served = min(connections, max(1, usable * 3 // 4))
    return served, min(_MOST_REFUSALS, max(1, usable - served))


@dataclass(frozen=True)
class Limits:
    """Connections at once, and seconds for a request or an answer. `open` holds the connections of one listener.

    `refusals` more get an answer that there are too many; further ones are closed.
    """

    connections: int
    seconds: float
    refusals: int = 32
    open: set[Connection] = field(default_factory=set, compare=False)
    refused: set[Connection] = field(default_factory=set, compare=False)


class Connection(H11Protocol):
    """uvicorn's connection with time limits."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], limits: Limits) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._idle_since = self.loop.time()
        self._taken = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first request. Refuse it if there are too many connections."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # for mypy: streams only
        limits = self._limits
        if len(limits.open) < limits.connections or self._make_room():
            limits.open.add(self)
        elif len(limits.refused) < limits.refusals:
            limits.refused.add(self)
            self.app = self.config.loaded_app.refuse
        else:
            transport.abort()
            return
        self._taken = True
        # count every unread byte, not only those beyond a buffer
        transport.set_write_buffer_limits(high=1, low=0)
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limits."""
        if self._taken:
            self._limits.open.discard(self)
            self._limits.refused.discard(self)
            _cancel(self._head, self._unread)
            self._unset_keepalive_if_required()
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes of a request."""
        super().data_received(data)
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it
        """Keep the connection open for the answers of requests that are here. Not for one that waits for the end of its job:
        its client is gone, as far as can be seen.
        """
        waits = self.scope is not None and any(name == b"prefer" for name, _ in self.scope["headers"])
        whole = self._has_request and not self.cycle.more_body
        self._ended = whole and not waits and self.transport.get_extra_info("sslcontext") is None
        return self._ended

    def on_response_complete(self) -> None:
        """Begin the next request, if it is here; close a connection whose client sends no other."""
        self._idle_since = self.loop.time()
        super().on_response_complete()
        if self._ended and not self._has_request and not self.transport.is_closing():
            self.transport.close()

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
            own, body = self.config.loaded_app.reject(msg)
            headers = own | {"Connection": "close", "Content-Length": str(len(body))}
            head = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
            for event in (head, h11.Data(data=b"" if is_head else body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @property
    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> bool:
        """Close the connection that is idle longest. Return False if none is."""
        latest = self.loop.time() - _IDLE_SECONDS
        idle = [one for one in self._limits.open if not one._has_request and one._idle_since <= latest]
        if not idle:
            return False
        oldest = min(idle, key=lambda one: one._idle_since)
        self._limits.open.discard(oldest)
        _cancel(oldest._head, oldest._unread)
        oldest.transport.close()
        return True

    def _watch(self) -> None:
        # runs from the first byte of a head to its last, and on a new connection
        if self._has_request:
            _cancel(self._head)
            self._head = None
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self._limits.seconds, self.transport.abort)


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
