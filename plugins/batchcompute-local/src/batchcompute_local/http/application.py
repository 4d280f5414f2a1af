"""The HTTP side (protocol 1.2 to 1.5): authenticate, run the operation in the engine's turn, answer. It decides nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batchcompute.operations import CREATE_JOB, GET_JOB
from batchcompute_local.errors import ServiceError
from batchcompute_local.http.auth import VERSION, Authenticator, check_body
from batchcompute_local.http.bodies import Body
from batchcompute_local.http.routes import READERS, find_route
from batchcompute_local.jobs import idempotency
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.jobs.waiters import preferred_seconds
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_LARGE_BODY = 64 << 10
_LONGEST_MESSAGE = 4000


class Front:
    """ASGI application: one endpoint for every path.

    `unsigned` answers a GET of its paths, without a signature; None where nobody may see that.
    """

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        settings: Settings,
        unsigned: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
    ) -> None:
        self.last_request = time.monotonic()
        self._engine = engine
        self._service = Service(settings.images)
        self._authenticator = authenticator
        self._settings = settings
        self._unsigned = unsigned or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        request_id = new_request_id()
        request = Request(scope, receive)
        sent = Body(request, self._settings.request_seconds)
        try:
            status, body = await self._answer(request, sent)
        except ServiceError as error:
            status, body = error.status, error_body(error, request_id)
        except ClientDisconnect:
            return
        except Exception:
            _log.exception("request %s failed", request_id)
            internal = ServiceError(500, "InternalError", "The request could not be processed.")
            status, body = 500, error_body(internal, request_id)
        headers = answer_headers(request_id)
        if not await sent.discard():
            headers["Connection"] = "close"  # nobody reads what may still come
        await Response(body, status, headers)(scope, receive, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503: all connections are taken. The status is told even then, since a refusal is no absence."""
        request_id = new_request_id()
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        if path in self._unsigned:
            status, body = 200, _dump(self._unsigned[path]())
        else:
            busy = ServiceError(503, "ServiceUnavailable", "The service has no free connection; send it again later.")
            status, body = busy.status, error_body(busy, request_id)
        await Body(request, self._settings.request_seconds).discard()
        headers = answer_headers(request_id) | {"Connection": "close", "Retry-After": "1"}
        await Response(body, status, headers)(scope, receive, send)

    async def _answer(self, request: Request, sent: Body) -> tuple[int, bytes]:
        scope = request.scope
        raw_path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if raw_path in self._unsigned and request.method == "GET":
            return 200, _dump(self._unsigned[raw_path]())
        self.last_request = time.monotonic()
        target = raw_path + ("?" + query if query else "")
        account = self._authenticator.check(request.method, target, headers)
        body = await sent.read(self._settings.max_body_bytes)
        check_body(headers, body)
        self.last_request = time.monotonic()
        route = find_route(request.method, raw_path, query)
        arguments = await self._read(route.operation.name, body, request)
        if account.attempt and route.operation is CREATE_JOB:
            arguments = (replace(*arguments, parent=account.attempt),)
        run = route.bind(self._service, account.owner, arguments)
        if route.operation.method == "GET":
            if route.operation is GET_JOB and route.job is not None:
                return 200, _dump(await self._job(route.job, run, request))
        elif (token := request.headers.get(idempotency.HEADER)) is not None:
            idempotency.check_token(token)
            digest = idempotency.digest_of(request.method, target, body)
            run = partial(idempotency.once, owner=account.owner, token=token, digest=digest, run=run)
        result = await asyncio.wrap_future(self._engine.submit(run))
        return route.operation.status, b"" if result is None else await _offload(result)

    async def _read(self, operation: str, body: bytes, request: Request) -> tuple[Any, ...]:
        reader = READERS.get(operation)
        if reader is None:
            return ()
        if len(body) < _LARGE_BODY:
            return (reader(body, request.headers, self._settings),)
        return (await asyncio.to_thread(reader, body, request.headers, self._settings),)

    async def _look(self, run: Callable[[Turn], Any]) -> Any:
        found = self._engine.look(run)
        return await asyncio.wrap_future(found) if isinstance(found, Future) else found

    async def _job(self, job: str, look: Callable[[Turn], Any], request: Request) -> Any:
        """Return the job, at once or when it has ended if the client prefers to wait. Raises ClientDisconnect."""
        seconds = preferred_seconds(request.headers.getlist("prefer"))
        # some connections stay free for requests that do not wait
        if not seconds or len(self._engine.waiters) >= self._settings.max_connections // 2:
            return await self._look(look)
        async with self._engine.waiters.of(job) as ended:
            found = await self._look(look)
            if found["State"] not in ("Waiting", "Running"):
                return found
            gone = asyncio.ensure_future(_gone(request))
            try:
                both: list[asyncio.Future[Any]] = [gone, ended]
                await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
            if gone.done() and not ended.done():
                raise ClientDisconnect
        view = ended.result() if ended.done() else None
        return await self._look(look) if view is None else view


async def _gone(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _offload(result: Any) -> bytes:
    # a list of thousands is dumped in a thread, so that others are answered meanwhile
    return _dump(result) if len(result) < 100 else await asyncio.to_thread(_dump, result)


def _dump(value: Any) -> bytes:
    # ASCII only: the original SDK cannot read anything else (protocol 1.5)
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def new_request_id() -> str:
    """Return 24 random hex digits."""
    return secrets.token_hex(12).upper()


def answer_headers(request_id: str) -> dict[str, str]:
    """Return the headers of every answer: the request's id by both names (protocol 1.5)."""
    return {
        "request-id": request_id,
        "x-acs-request-id": request_id,
        "x-acs-version": VERSION,
        "Date": _date(int(time.time())),
        "Content-Type": "application/json",
    }


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def error_body(error: ServiceError, request_id: str) -> bytes:
    """Return the body of an error: `Code` and, as in the service of early 2015, `ErrorCode` (protocol 1.5)."""
    message = error.message[:_LONGEST_MESSAGE]  # it may quote what was sent
    return _dump({"Code": error.code, "ErrorCode": error.code, "Message": message, "RequestId": request_id})
