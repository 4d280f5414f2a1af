"""Request bodies, with a limit on size and on time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from batchcompute_local.errors import ServiceError

_DISCARDED_BYTES = 1 << 20


class Body:
    """The body of one request; it must be complete within `seconds`."""

    def __init__(self, request: Request, seconds: float) -> None:
        self._request = request
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._length = request.headers.get("content-length", "0").lstrip("0")
        self._more = bool(self._length) or "transfer-encoding" in request.headers

    async def read(self, limit: int) -> bytes:
        """Read the whole body, at most `limit` bytes. Raises ServiceError 403 or 408, and ClientDisconnect."""
        too_large = ServiceError(403, "InvalidHttpBody", f"The body is larger than {limit} bytes.")
        if len(self._length) > 18 or int(self._length or 0) > limit:
            raise too_large
        if not self._more:
            return b""
        body = bytearray()
        try:
            async with asyncio.timeout(self._left()):
                async for chunk in self._chunks():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise ServiceError(
                408, "RequestTimeout", f"The body did not come within {self._seconds:g} seconds."
            ) from None
        return bytes(body)

    async def discard(self) -> bool:
        """Read the rest, within limits, since some clients do not read while they send. Return True at the end of the body."""
        if not self._more:
            return True
        size = 0
        try:
            async with asyncio.timeout(self._left()):
                async for chunk in self._chunks():
                    size += len(chunk)
                    if size > _DISCARDED_BYTES:
                        break
        except (TimeoutError, ClientDisconnect):
            return False
        return not self._more

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    async def _chunks(self) -> AsyncIterator[bytes]:
        while self._more:
            message = await self._request.receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            self._more = message.get("more_body", False)
            yield message.get("body", b"")
