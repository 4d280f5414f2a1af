"""A transport for tests: prepared answers, and the requests that came."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping

from ..config import TransportConfig
from ..credentials import Credentials
from ..hooks import CallContext, RegistrationContext, Transport, TransportFactory, hookimpl
from ..wire import Request, Response
from .errors import UnrecordedRequestError

Prepared = Response | Exception | Callable[[Request], Response]


class StubTransport:
    """A plugin that answers in the place of every transport: `Client("local", plugins=[stub])`. Thread-safe.

    Answers are given in the order in which they were prepared; `requests` are those that came, signed as they would have been
    sent. `always` is given when no other is left. No credentials are needed, unless the configuration names a provider.
    """

    name = "batchcompute-stub"

    def __init__(self, always: Prepared | None = None) -> None:
        self.requests: list[Request] = []
        self.always = always
        self._answers: deque[Prepared] = deque()
        self._lock = threading.Lock()

    def answer(self, body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Prepare one more answer. body: bytes, or what JSON can say."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
        known = {"x-acs-request-id": "STUB", "date": "Tue, 30 Jun 2015 08:00:00 GMT"}
        self._answers.append(Response(status, known | {n.lower(): v for n, v in (headers or {}).items()}, data))

    def fail(self, error: Exception) -> None:
        """Prepare an error, such as ConnectError("down"), in the place of an answer."""
        self._answers.append(error)

    def send(self, request: Request) -> Response:
        """Return the next prepared answer. Raises the prepared error, or UnrecordedRequestError when none is left."""
        with self._lock:
            self.requests.append(request)
            prepared = self._answers.popleft() if self._answers else self.always
        if prepared is None:
            what = f"{request.method} {request.target}"
            raise UnrecordedRequestError(f"no answer was prepared for {what}", request.method, request.target)
        if isinstance(prepared, Exception):
            raise prepared
        return prepared if isinstance(prepared, Response) else prepared(request)

    def close(self) -> None:
        """There is nothing to close."""

    @hookimpl(wrapper=True)
    def register_transports(
        self, ctx: RegistrationContext
    ) -> Generator[None, list[Iterable[TransportFactory]], list[Iterable[TransportFactory]]]:
        """Takes the place of every transport."""
        answers = yield
        return [[_Factory(factory.name, self) for answer in answers for factory in answer or ()]]

    @hookimpl(tryfirst=True)
    def resolve_credentials(self, ctx: CallContext) -> Credentials | None:
        """Return the Client's own credentials, or a dummy key; decline if the configuration names a provider."""
        if ctx.config.credentials.provider is not None:
            return None
        return ctx.credentials or Credentials("stub", "stub", source="StubTransport")


class _Factory:
    def __init__(self, name: str, stub: StubTransport) -> None:
        self.name = name
        self._stub = stub

    def open(self, settings: TransportConfig) -> Transport:
        return self._stub
