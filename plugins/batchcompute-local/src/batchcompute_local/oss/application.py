"""The endpoint as an ASGI application: check the signature and whose the bucket is, run the operation, answer."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import replace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from batchcompute_local.http.accounts import Accounts
from batchcompute_local.http.application import new_request_id
from batchcompute_local.objects.backing import ElsewhereError
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.multipart import Uploads
from batchcompute_local.objects.names import check_key
from batchcompute_local.objects.remote import UnsupportedError
from batchcompute_local.objects.store import Store
from batchcompute_local.oss.bodies import Incoming
from batchcompute_local.oss.calls import Answer, Call, http_date, read_signed
from batchcompute_local.oss.errors import OssError, not_implemented
from batchcompute_local.oss.object_calls import check_owner
from batchcompute_local.oss.operations import find_operation
from batchcompute_local.oss.signatures import Checker
from batchcompute_local.oss.threads import Threads
from batchcompute_local.oss.xml import document, element

_log = logging.getLogger(__name__)
_THREADS = 8
_BLOCK = 512 << 10
_FORMS = frozenset({"PutBucket", "ListBuckets"})


class OssFront:
    """ASGI application. `names` are the host names in front of which a bucket may stand."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        seconds: float,
        names: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._last_request = time.monotonic()
        self._store = store
        self._uploads = Uploads(store)
        self._checker = Checker(accounts, clock)
        self._seconds = seconds
        self._names = names
        self._threads = Threads(_THREADS, "objects")
        # of their own, so that a store that is slow or away holds up no other bucket
        self._elsewhere = {name: Threads(_THREADS, f"objects of {name}") for name in store.elsewhere}
        self._running = 0

    @property
    def last_request(self) -> float:
        """When there was a request last, by the monotonic clock; now while an operation runs, as a long sum does."""
        return time.monotonic() if self._running else self._last_request

    def close(self) -> None:
        """Let what is being written end."""
        for threads in (self._threads, *self._elsewhere.values()):
            threads.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        request = Request(scope, receive)
        body = Incoming(request, self._seconds)
        request_id = new_request_id()
        self._last_request = time.monotonic()
        try:
            answer = await self._answer(request, body)
        except OssError as error:
            answer = _error(error, request, request_id)
        except UnsupportedError as error:
            refusal = not_implemented(f"{error} in a bucket that is elsewhere")
            answer = _error(refusal, request, request_id)
        except ElsewhereError as error:
            _log.warning("request %s: %s", request_id, error)
            answer = _error(OssError("ServiceUnavailable", f"{error}."), request, request_id)
        except ClientDisconnect:
            return
        except Exception:
            _log.exception("request %s for an object failed", request_id)
            answer = _error(OssError("InternalError", "The request could not be processed."), request, request_id)
        self._last_request = time.monotonic()
        try:
            headers = {**_common(request_id), **answer.headers}
            if not await body.discard():
                headers["Connection"] = "close"  # nobody reads what may still come
            await self._send(answer, headers, scope, receive, send)
        finally:
            if answer.content is not None and answer.bucket in self._elsewhere:
                self._elsewhere[answer.bucket].submit(answer.content.close)
            elif answer.content is not None:
                answer.content.close()
            self._last_request = time.monotonic()

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503: all connections are taken."""
        request, request_id = Request(scope, receive), new_request_id()
        busy = OssError("ServiceUnavailable", "The service has no free connection; send it again later.")
        answer = _error(busy, request, request_id)
        await Incoming(request, self._seconds).discard()
        headers = {**_common(request_id), **answer.headers, "Connection": "close", "Retry-After": "1"}
        await Response(answer.body, answer.status, headers)(scope, receive, send)

    def reject(self, message: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the answer to what is not HTTP."""
        request_id = new_request_id()
        return {**_common(request_id), "Content-Type": "application/xml"}, _body(
            OssError("BadRequest", message), "", request_id
        )

    async def _answer(self, request: Request, body: Incoming) -> Answer:
        signed = read_signed(request, self._names)
        account = self._checker.check(signed)
        operation = find_operation(signed)
        host = signed.headers.get("host", "")
        store = self._store.of(signed.bucket)
        call = Call(signed, account, body, store, self._uploads, self._threads_for, host)
        if operation.name not in _FORMS:
            await call.run(check_owner, call, signed.bucket)
        if signed.key and (wrong := check_key(signed.key)):
            raise OssError("InvalidObjectName", f"{signed.key[:80]!r} is not a key: {wrong}.")
        self._running += 1
        try:
            answer = await operation.run(call)
        finally:
            self._running -= 1
        if answer.body:
            answer.headers.setdefault("Content-Type", "application/xml")
        return replace(answer, bucket=signed.bucket)

    def _threads_for(self, bucket: str) -> Threads:
        return self._elsewhere.get(bucket, self._threads)

    async def _send(self, answer: Answer, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        if answer.content is None:
            await Response(answer.body, answer.status, headers)(scope, receive, send)
            return
        blocks = self._read(answer, answer.content)
        try:
            await StreamingResponse(blocks, answer.status, headers)(scope, receive, send)
        finally:
            await blocks.aclose()

    async def _read(self, answer: Answer, content: Content) -> AsyncGenerator[bytes, None]:
        """Yield the content of an object; the next block is read while one is sent."""
        offset, left = answer.offset, answer.size
        loop, threads = asyncio.get_running_loop(), self._threads_for(answer.bucket)
        reading = loop.run_in_executor(threads, content.read, min(_BLOCK, left), offset)
        try:
            while left:
                block = await reading
                if not block:
                    raise OSError(
                        "an object became shorter while it was sent"
                    )  # the connection is closed: no silent loss
                offset, left = offset + len(block), left - len(block)
                reading = loop.run_in_executor(threads, content.read, min(_BLOCK, left), offset)
                yield block
                self._last_request = time.monotonic()
        finally:
            await asyncio.wait([reading])  # before the file is closed


def _common(request_id: str) -> dict[str, str]:
    return {
        "Server": "AliyunOSS",
        "Date": http_date(int(time.time())),
        "x-oss-request-id": request_id,
        "x-oss-server-time": "0",
    }


def _error(error: OssError, request: Request, request_id: str) -> Answer:
    body = _body(error, request.headers.get("host", ""), request_id)
    headers = {**error.headers, "Content-Type": "application/xml"}
    if request.method == "HEAD":
        headers["x-oss-err"] = base64.b64encode(body).decode()
    return Answer(error.status, headers, b"" if error.status == 304 else body)


def _body(error: OssError, host: str, request_id: str) -> bytes:
    details = {"Code": error.code, "Message": error.message, "RequestId": request_id, "HostId": host, **error.details}
    return document("Error", [element(name, value) for name, value in details.items()])
