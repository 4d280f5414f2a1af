"""Bodies of requests: small ones as a whole, objects in pieces, with a limit on the time for each piece."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import suppress

from batchcompute_local.errors import ServiceError
from batchcompute_local.http.bodies import Body
from batchcompute_local.objects.parts import BLOCK, Part
from batchcompute_local.oss.errors import STATUS, OssError

LARGEST = 5 << 30
"""The largest body of a put, an append or a part, in bytes, as in OSS."""
LARGEST_XML = 8 << 20
LEAST_BYTES = 64 << 10
"""A body that brings less in the time for a request is slow."""


class Incoming(Body):
    """The body of one request."""

    async def read_small(self) -> bytes:
        """Read an XML body as a whole, and compare it with Content-MD5. Raises OssError."""
        try:
            body = await self.read(LARGEST_XML)
        except ServiceError as error:
            code = error.code if error.code in STATUS else "EntityTooLarge"
            raise OssError(code, error.message) from None
        self._check_md5(hashlib.md5(body, usedforsecurity=False).digest())
        return body

    async def write_to(self, part: Part, threads: Executor) -> None:
        """Write the body to a part, and compare it with Content-MD5. Raises OssError; an aborted request ClientDisconnect."""
        if len(self._length) > 12 or int(self._length or 0) > LARGEST:
            raise OssError("EntityTooLarge", f"At most {LARGEST} bytes are allowed in one request.")
        self._decode_md5()
        loop = asyncio.get_running_loop()
        writing: asyncio.Future[None] | None = None
        size = 0
        try:
            async for block in self._blocks():
                size += len(block)
                if size > LARGEST:
                    raise OssError("EntityTooLarge", f"At most {LARGEST} bytes are allowed in one request.")
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(threads, part.write, block)
        finally:
            if writing is not None:  # also if it is cancelled: nobody closes a file that is being written
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(writing)
        self._check_md5(part.md5)

    async def _blocks(self) -> AsyncIterator[bytearray]:
        block = bytearray()
        chunks = self._chunks()
        while self._more:
            begun = len(block)
            try:
                async with asyncio.timeout(self._seconds):
                    while self._more and len(block) - begun < LEAST_BYTES:
                        block += await anext(chunks)
            except TimeoutError:
                text = f"Less than {LEAST_BYTES} bytes came within {self._seconds:g} seconds."
                raise OssError("RequestTimeout", text) from None
            if len(block) >= BLOCK:
                yield block
                block = bytearray()
        if block:
            yield block

    def _left(self) -> float:
        return self._seconds if self.is_large else super()._left()

    @property
    def is_large(self) -> bool:
        """Whether the body is that of an object."""
        return len(self._length) > 7

    def _decode_md5(self) -> bytes | None:
        sent = self._request.headers.get("content-md5")
        if not sent:
            return None
        with suppress(binascii.Error, ValueError):
            digest = base64.b64decode(sent, validate=True)
            if len(digest) == 16:
                return digest
        raise OssError("InvalidDigest", "Content-MD5 has to be the base64 of an MD5, 24 characters.")

    def _check_md5(self, digest: bytes) -> None:
        if self._decode_md5() not in (None, digest):
            raise OssError("InvalidDigest", "The Content-MD5 you specified did not match what we received.")
