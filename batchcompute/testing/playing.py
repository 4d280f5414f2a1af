"""The plugin that replays: it stands in the place of every transport, and asks nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from email.utils import formatdate
from typing import BinaryIO

from ..config import TransportConfig
from ..credentials import Credentials
from ..errors import TransportError
from ..hooks import (
    CallContext,
    Clock,
    LogContext,
    ObjectStore,
    RegistrationContext,
    Transport,
    TransportFactory,
    hookimpl,
)
from ..wire import Endpoint, Request, Response
from .errors import UnrecordedRequestError
from .objects import ReplayedObjects, log_uri, replayed_log
from .scrubbing import Scrubber
from .tape import Tape

TRANSPORT = "batchcompute-cassette"
_CREDENTIALS = Credentials("replay", "replay", source="replay: nothing is sent")
_PATIENCE = 3600.0


class Player:
    """Answers the Clients that it is given to from a cassette. Thread-safe. The cassette is read at the first request."""

    name = "batchcompute-cassette"

    def __init__(self, load: Callable[[], Tape], scrubber: Scrubber) -> None:
        self._load = load
        self._tape: Tape | None = None
        self.unrecorded: list[str] = []
        """Describe a request that was never recorded."""
        self._lock = threading.Lock()
        self._clock = ReplayClock()
        self._scrubber = scrubber
        self._objects = ReplayedObjects(self.tape)

    def tape(self) -> Tape:
        """Return the recorded answers."""
        with self._lock:
            if self._tape is None:
                self._tape = self._load()
            return self._tape

    @hookimpl(tryfirst=True)
    def clock(self, ctx: RegistrationContext) -> Clock:
        """Waiting takes no time."""
        return self._clock

    @hookimpl(tryfirst=True)
    def resolve_endpoint(self, ctx: CallContext) -> Endpoint:
        """Nowhere: what finds endpoints may have to ask somebody."""
        return Endpoint("https", "replay.invalid", 443, ctx.region.name, TRANSPORT)

    @hookimpl(tryfirst=True)
    def resolve_credentials(self, ctx: CallContext) -> Credentials:
        """A dummy key, so that no provider is asked."""
        return _CREDENTIALS

    @hookimpl(wrapper=True, tryfirst=True)
    def register_transports(
        self, ctx: RegistrationContext
    ) -> Generator[None, list[Iterable[TransportFactory]], list[Iterable[TransportFactory]]]:
        """Takes the place of every transport, whatever name is asked for."""
        answers = yield
        names = {TRANSPORT, *(factory.name for answer in answers for factory in answer or ())}
        return [[_Factory(name, self) for name in sorted(names)]]

    @hookimpl(tryfirst=True)
    def object_store(self, ctx: CallContext) -> ObjectStore:
        """Return what was read from the store when the session was recorded, and what is put into it now."""
        return self._objects

    @hookimpl(tryfirst=True)
    def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
        """Return the recorded log."""
        return replayed_log(self.tape(), log_uri(ctx))

    def send(self, request: Request) -> Response:
        """Return the recorded answer, dated now. Raises the recorded TransportError, or UnrecordedRequestError."""
        try:
            answer, new = self.tape().play(request.method, request.target, request.body)
        except UnrecordedRequestError as error:
            self.unrecorded.append(str(error))
            raise
        if new:
            self._clock.patience = _PATIENCE
        if isinstance(answer, TransportError):
            raise type(answer)(*answer.args)
        return Response(answer.status, {"date": formatdate(usegmt=True), **answer.headers}, answer.body)


class ReplayClock(threading.local):
    """A clock that sleeping puts forward, for the thread that sleeps."""

    patience = _PATIENCE
    """Seconds that may still be slept until something new must come: a wait for what was never recorded has to end."""
    _ahead = 0.0

    def monotonic(self) -> float:
        """Seconds, those slept through included."""
        return time.monotonic() + self._ahead

    def sleep(self, seconds: float, /) -> None:
        """Raises UnrecordedRequestError after an hour in which nothing new was replayed."""
        self._ahead += seconds
        self.patience -= seconds
        if self.patience < 0:
            raise UnrecordedRequestError(
                "the recorded answers have come to an end, and what is waited for is not among them: record the session "
                "until it has happened"
            )


class _Factory:
    def __init__(self, name: str, player: Player) -> None:
        self.name = name
        self._player = player

    def open(self, settings: TransportConfig) -> Transport:
        return _Transport(self._player)


class _Transport:
    def __init__(self, player: Player) -> None:
        self.send = player.send

    def close(self) -> None:
        """There is nothing to close."""
