"""The plugin that records: it stands around every transport, and looks on."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from typing import BinaryIO

from ..config import TransportConfig
from ..errors import TransportError
from ..hooks import (
    AttemptContext,
    CallContext,
    LogContext,
    ObjectStore,
    RegistrationContext,
    Transport,
    TransportFactory,
    hookimpl,
)
from ..wire import Request, Response
from .cassette import Answer, Exchange
from .objects import log_uri, record_objects, recorded_log
from .scrubbing import Scrubber

Factories = Iterable[TransportFactory]


class Recorder:
    """Keeps every exchange of the Clients that it is given to. Thread-safe."""

    name = "batchcompute-cassette"

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._exchanges: list[Exchange] = []
        self._lock = threading.Lock()

    @hookimpl(wrapper=True, tryfirst=True)
    def register_transports(self, ctx: RegistrationContext) -> Generator[None, list[Factories], list[Factories]]:
        """Every transport, with us around it."""
        answers = yield
        return [[self._around(factory) for factory in answer or ()] for answer in answers]

    @hookimpl
    def before_attempt(self, ctx: AttemptContext) -> None:
        """Learns what must be hidden."""
        with self._lock:
            if ctx.credentials is not None:
                self._scrubber.learn_credentials(ctx.credentials)
            self._scrubber.learn_host(ctx.endpoint.host)
            self._scrubber.learn_headers(ctx.request.headers)

    @hookimpl(wrapper=True, tryfirst=True)
    def object_store(self, ctx: CallContext) -> Generator[None, ObjectStore | None, ObjectStore | None]:
        """Return the region's store; what is read from it is recorded."""
        if ctx.credentials is not None:  # a session may have objects alone, and no attempt of a call
            with self._lock:
                self._scrubber.learn_credentials(ctx.credentials)
        store = yield
        return None if store is None else record_objects(store, self.keep)

    @hookimpl(wrapper=True, tryfirst=True)
    def fetch_log(self, ctx: LogContext) -> Generator[None, BinaryIO | None, BinaryIO | None]:
        """Return the region's log, recorded."""
        log = yield
        return recorded_log(log, log_uri(ctx), self.keep)

    def _around(self, factory: TransportFactory) -> TransportFactory:
        if isinstance(factory, _Factory) and factory.recorder._exchanges is self._exchanges:
            return factory  # a Client of a marked test was given the fixture too
        return _Factory(factory, self)

    def keep(self, method: str, target: str, answer: Answer, request: Request | None = None) -> None:
        """Remember one exchange."""
        body, headers = (request.body, request.headers) if request is not None else (b"", {})
        with self._lock:
            self._exchanges.append(Exchange(method, target, answer, body, headers))

    def finish(self) -> list[Exchange]:
        """Return what was recorded, scrubbed, in the order of the answers."""
        with self._lock:
            return self._scrubber.clean(self._exchanges)


class _Factory:
    def __init__(self, inner: TransportFactory, recorder: Recorder) -> None:
        self._inner = inner
        self.recorder = recorder
        self.name = inner.name

    def open(self, settings: TransportConfig) -> Transport:
        return _Transport(self._inner.open(settings), self.recorder)


class _Transport:
    def __init__(self, inner: Transport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def send(self, request: Request) -> Response:
        try:
            response = self._inner.send(request)
        except TransportError as error:
            self._recorder.keep(request.method, request.target, error, request)
            raise
        self._recorder.keep(request.method, request.target, response, request)
        return response

    def close(self) -> None:
        self._inner.close()
