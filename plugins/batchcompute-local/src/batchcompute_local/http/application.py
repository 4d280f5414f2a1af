"""The HTTP side (protocol 1.2 to 1.5): authenticate, ask the engine, answer. Nothing is decided here."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batchcompute_local.errors import ServiceError
from batchcompute_local.http.auth import VERSION, Authenticator, check_body
from batchcompute_local.http.bodies import Body
from batchcompute_local.jobs import idempotency
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.waiters import preferred_seconds
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_LARGE_BODY = 64 << 10
_LONGEST_MESSAGE = 4000
_JOB = re.compile(r"/jobs/([^/]+)(/description|/tasks|/Priority)?")
Operation = Callable[[int], Any]


class Front:
    """The ASGI application: one endpoint for every path, whatever is in it.

    `status` answers the unsigned `GET /-/status`; None where that must not be seen.
    """

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        settings: Settings,
        status: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.last_request = time.monotonic()
        self._engine = engine
        self._service = Service(engine, settings.images)
        self._authenticator = authenticator
        self._settings = settings
        self._status = status

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

    async def _answer(self, request: Request, sent: Body) -> tuple[int, bytes]:
        scope = request.scope
        raw_path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if self._status is not None and raw_path == "/-/status" and request.method == "GET":
            return 200, _dump(self._status())
        self.last_request = time.monotonic()
        target = raw_path + ("?" + query if query else "")
        account = self._authenticator.check(request.method, target, headers)
        body = await sent.read(self._settings.max_body_bytes)
        check_body(headers, body)
        self.last_request = time.monotonic()
        creates = raw_path == "/jobs" and request.method == "POST"
        if creates:
            operation = await self._creation(body)
        else:
            operation = self._operation(request.method, raw_path, query, body)
        run = partial(operation, account.owner)
        token = request.headers.get(idempotency.HEADER)
        if token is not None and request.method != "GET":
            idempotency.check_token(token)
            digest = idempotency.digest_of(request.method, target, body)
            run = partial(idempotency.once, self._engine, account.owner, token, digest, run)
        if request.method == "GET":
            job = _JOB.fullmatch(raw_path)
            if job is not None and not job[2]:
                return 200, _dump(await self._job(job[1], run, request))
        result = await asyncio.wrap_future(self._engine.submit(run))
        return 201 if creates else 200, b"" if result is None else await _offload(result)

    async def _look(self, run: Callable[[], Any]) -> Any:
        found = self._engine.look(run)
        return await asyncio.wrap_future(found) if isinstance(found, Future) else found

    async def _job(self, job: str, look: Callable[[], Any], request: Request) -> Any:
        """The job as it is, or when it has ended if the client prefers to wait for that. Raises ClientDisconnect."""
        seconds = preferred_seconds(request.headers.getlist("prefer"))
        # the connections are not for those alone who wait
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

    async def _creation(self, body: bytes) -> Operation:
        read = partial(read_description, body, self._settings)
        plan = read() if len(body) < _LARGE_BODY else await asyncio.to_thread(read)
        return lambda owner: self._service.create_job(owner, plan)

    def _operation(self, method: str, path: str, query: str, body: bytes) -> Operation:
        """The operation behind a method and a target (protocol 1.2). Raises ServiceError 400."""
        service = self._service
        table: dict[str, Operation]
        if path == "/jobs":
            table = {"GET": service.list_jobs}
        elif path == "/images":
            table = {"GET": service.list_images}
        else:
            match = _JOB.fullmatch(path)
            if match is None:
                raise ServiceError(400, "InvalidUrlPattern", "Specified url is not valid.")
            job, part = match[1], match[2]
            if part == "/description":
                table = {"GET": lambda owner: service.get_job_description(owner, job)}
            elif part == "/tasks":
                table = {"GET": lambda owner: service.list_tasks(owner, job)}
            elif part == "/Priority":
                table = {"PUT": lambda owner: service.update_job_priority(owner, job, body)}
            else:
                table = {
                    "GET": lambda owner: service.get_job(owner, job),
                    "DELETE": lambda owner: service.delete_job(owner, job),
                    "PUT": lambda owner: self._act(owner, job, query),
                }
        if method not in table:
            raise ServiceError(400, "MethodNotAllowed", f"Method {method[:20]} is not allowed on this url.")
        return table[method]

    def _act(self, owner: int, job: str, query: str) -> None:
        if query == "Action=Stop":
            self._service.stop_job(owner, job)
        elif query == "Action=Start":
            self._service.start_job(owner, job)
        else:
            raise ServiceError(403, "InvalidQueryString", "Specified query string is not valid: Action=Stop or Start.")


async def _gone(request: Request) -> None:
    """Until the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _offload(result: Any) -> bytes:
    # a list of thousands is written out in a thread, so that others are answered meanwhile
    return _dump(result) if len(result) < 100 else await asyncio.to_thread(_dump, result)


def _dump(value: Any) -> bytes:
    # ASCII only: the original SDK cannot read anything else (protocol 1.5)
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def new_request_id() -> str:
    """24 hex digits."""
    return secrets.token_hex(12).upper()


def answer_headers(request_id: str) -> dict[str, str]:
    """What every answer carries: the request's id by both names (protocol 1.5)."""
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
    """The body of an error: `Code` and, as the service of early 2015 had it, `ErrorCode` (protocol 1.5)."""
    message = error.message[:_LONGEST_MESSAGE]  # it may quote what was sent
    return _dump({"Code": error.code, "ErrorCode": error.code, "Message": message, "RequestId": request_id})
