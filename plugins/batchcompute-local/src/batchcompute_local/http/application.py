"""The HTTP side (protocol 1.2 to 1.5): authenticate, run the operation, answer. It decides nothing."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from batchcompute.operations import (
    CREATE_JOB,
    GET_JOB,
    GET_JOB_DETAILS,
    GET_LOG,
    LIST_JOB_DETAILS,
    LIST_JOBS,
    LIST_TASKS,
)
from batchcompute.wire import WARNING_HEADER
from batchcompute_local.errors import ServiceError
from batchcompute_local.http.aside import do_aside
from batchcompute_local.http.auth import VERSION, Authenticator, check_body
from batchcompute_local.http.bodies import Body
from batchcompute_local.http.reads import Pieces, Reads, dump
from batchcompute_local.http.routes import READERS, Match, find_route
from batchcompute_local.images import name_unknown
from batchcompute_local.jobs import idempotency
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.ownership import find_foreign, find_unusable
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.snapshots import BusyError
from batchcompute_local.jobs.waiters import preferred_seconds
from batchcompute_local.objects.buckets import OWN_OWNER
from batchcompute_local.paths import Layout
from batchcompute_local.plan import LOCAL_IMAGE, JobPlan
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_LARGE_BODY = 64 << 10
_LONGEST_MESSAGE = 4000
_ASIDE_SECONDS = 5.0
_NO_OWNERS = ServiceError(
    503, "ServiceUnavailable", "Whose the buckets are cannot be read now; send it again later.", 5
)
_NO_ANSWER = ServiceError(503, "ServiceUnavailable", "Files of the service give no answer; send it again later.", 5)
_FULL = ServiceError(503, "ServiceUnavailable", "The service has no free connection; send it again later.")
_MOST_REMARKS = 5
_PLAIN = " ,;:?'()"


class Front:
    """ASGI application: one endpoint for every path.

    `unsigned` answers a GET of its paths, without a signature; None where nobody may see that. Those in `aside` look at files, so
    a thread answers them. `owner_of` returns the account that has a bucket; None if there is no such bucket. `objects_port` is
    the port of the OSS endpoint, for clients on a port.
    """

    def __init__(
        self,
        engine: Engine,
        authenticator: Authenticator,
        settings: Settings,
        layout: Layout,
        unsigned: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
        owner_of: Callable[[str, int], int | None] = lambda bucket, asking: None,
        is_shared: Callable[[], bool] = lambda: True,
        objects_port: int | None = None,
        aside: Collection[str] = (),
    ) -> None:
        self.last_request = time.monotonic()
        self._engine = engine
        self._service = Service(settings.images, objects_port)
        self._authenticator = authenticator
        self._settings = settings
        self._reads = Reads(engine, layout, settings.request_seconds)
        self._unsigned = unsigned or {}
        self._aside = aside
        self._owner_of = owner_of
        self._is_shared = is_shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        request_id = new_request_id()
        request = Request(scope, receive)
        retry_after: int | None = None
        body: bytes | Pieces
        sent = Body(request, self._settings.request_seconds)
        remarks: list[str] = []
        try:
            status, body = await self._answer(request, sent, remarks)
        except ServiceError as error:
            status, body, retry_after = error.status, error_body(error, request_id), error.retry_after
        except ClientDisconnect:
            return
        except Exception:
            _log.exception("request %s failed", request_id)
            internal = ServiceError(500, "InternalError", "The request could not be processed.")
            status, body = 500, error_body(internal, request_id)
        headers = answer_headers(request_id)
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if remarks and status < 300:
            headers[WARNING_HEADER] = quote("; ".join(remarks[:_MOST_REMARKS]), safe=_PLAIN)
        if not await sent.discard():
            headers["Connection"] = "close"  # nobody reads what may still come
        await _respond(body, status, headers)(scope, receive, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503: all connections are taken. The status is answered even then, since a refusal is no absence."""
        request_id = new_request_id()
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        try:
            if path not in self._unsigned:
                raise _FULL
            status, body = 200, await self._describe(path)
        except ServiceError as error:
            status, body = error.status, error_body(error, request_id)
        await Body(request, self._settings.request_seconds).discard()
        headers = answer_headers(request_id) | {"Connection": "close", "Retry-After": "1"}
        await Response(body, status, headers)(scope, receive, send)

    def reject(self, message: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of the answer to what is not HTTP."""
        request_id = new_request_id()
        return answer_headers(request_id), error_body(ServiceError(400, "InvalidRequest", message), request_id)

    async def _answer(self, request: Request, sent: Body, remarks: list[str]) -> tuple[int, bytes | Pieces]:
        scope = request.scope
        raw_path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if raw_path in self._unsigned and request.method == "GET":
            return 200, await self._describe(raw_path)
        self.last_request = time.monotonic()
        target = raw_path + ("?" + query if query else "")
        account = self._authenticator.check(request.method, target, headers)
        body = await sent.read(self._settings.max_body_bytes)
        check_body(headers, body)
        self.last_request = time.monotonic()
        route = find_route(request.method, raw_path, query)
        arguments = await self._read(route.operation.name, body, request)
        if route.operation is CREATE_JOB:
            images = (task.image_id for task in arguments[0].tasks)
            remarks += name_unknown(images, self._settings.images, LOCAL_IMAGE)
            plan = replace(*arguments, parent=account.attempt)
            await self._refuse_foreign(plan, account.owner)
            if self._settings.buckets and (
                unusable := find_unusable(plan, self._settings.buckets, self._settings.executor)
            ):
                raise unusable
            arguments = (plan,)
        run = route.bind(self._service, account.owner, arguments)
        if route.operation.method == "GET":
            return 200, await self._read_only(route, run, account.owner, request)
        if (token := request.headers.get(idempotency.HEADER)) is not None:
            idempotency.check_token(token)
            digest = idempotency.digest_of(request.method, target, body)
            run = partial(idempotency.once, owner=account.owner, token=token, digest=digest, run=run)
        result = await asyncio.wrap_future(self._engine.submit(run))
        return route.operation.status, b"" if result is None else dump(result)

    async def _describe(self, path: str) -> bytes:
        """Return what an unsigned path says. Raises ServiceError if files that it needs give no answer."""
        found = self._unsigned[path]
        if path not in self._aside:
            return dump(found())
        try:
            return dump(await do_aside(found, _ASIDE_SECONDS, path))
        except TimeoutError:
            raise _NO_ANSWER from None

    async def _refuse_foreign(self, plan: JobPlan, owner: int) -> None:
        """Raise ServiceError if the plan names a bucket of another account.

        In a thread of its own, since the objects may be on a network folder that hangs. Then the service's own account goes on
        without: its instances fail where they need an object.
        """
        if owner == OWN_OWNER and not self._is_shared():
            return  # nothing belongs to anybody else, and a thread costs half a millisecond
        look = partial(find_foreign, plan, owner, self._owner_of)
        try:
            foreign = await do_aside(look, _ASIDE_SECONDS, "owners of buckets")
        except TimeoutError:
            foreign = _NO_OWNERS
        except Exception:
            _log.exception("the owners of buckets cannot be read")
            foreign = _NO_OWNERS
        if foreign is _NO_OWNERS and owner == OWN_OWNER:
            return
        if foreign is not None:
            raise foreign

    async def _read_only(self, route: Match, run: Callable[[Any], Any], owner: int, request: Request) -> bytes | Pieces:
        """Answer without a turn: what cannot be written now is nothing to those who read."""
        if route.operation is GET_JOB and route.job is not None:
            return dump(await self._job(route.job, run, request))
        if route.operation is LIST_JOBS:
            return await self._reads.jobs(owner)
        if route.operation is LIST_TASKS and route.job is not None:
            return await self._reads.tasks(owner, route.job)
        if route.operation in (LIST_JOB_DETAILS, GET_JOB_DETAILS):
            return await self._reads.explain(run)
        if route.operation is GET_LOG:
            return await self._reads.log(run)
        return await self._reads.recall(run)

    async def _read(self, operation: str, body: bytes, request: Request) -> tuple[Any, ...]:
        reader = READERS.get(operation)
        if reader is None:
            return ()
        if len(body) < _LARGE_BODY:
            return (reader(body, request.headers, self._settings),)
        return (await asyncio.to_thread(reader, body, request.headers, self._settings),)

    async def _look(self, run: Callable[[Reading], Any]) -> Any:
        try:
            return self._engine.glance(run)
        except BusyError:
            return await self._reads.find(run)

    async def _job(self, job: str, look: Callable[[Reading], Any], request: Request) -> Any:
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


def _respond(body: bytes | Pieces, status: int, headers: dict[str, str]) -> Response:
    if isinstance(body, bytes):
        return Response(body, status, headers)
    if body.length is not None:
        headers["Content-Length"] = str(body.length)
    return StreamingResponse(body.pieces, status, headers)


async def _gone(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


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
    return dump({"Code": error.code, "ErrorCode": error.code, "Message": message, "RequestId": request_id})
