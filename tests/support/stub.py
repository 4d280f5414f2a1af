"""A stub in the place of the transport urllib3, and Clients that use it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from batchcompute import Client, TransportConfig
from batchcompute.hooks import RegistrationContext, hookimpl
from batchcompute.testing import StubTransport
from batchcompute.testing.stub import Prepared
from batchcompute.wire import Endpoint, Request, Response

HEADERS = {"x-acs-request-id": "REQ-1", "date": "Tue, 30 Jun 2015 08:00:00 GMT"}


def response(body: object = b"", status: int = 200, **headers: str) -> Response:
    """An answer; what is neither bytes nor str becomes JSON. `retry_after="3"` is the header retry-after."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    data = body if isinstance(body, bytes) else body.encode()
    return Response(status, HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}, data)


class Stub(StubTransport):
    """A StubTransport in the place of `urllib3` alone: credentials and other transports are found as users find them.

    An unexpected request is an AssertionError, so that no code under test takes it for a failed call.
    """

    name = "urllib3"

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[TransportConfig] = []
        self.closed = 0

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where the requests went."""
        return [request.endpoint for request in self.requests if request.endpoint is not None]

    @property
    def answers(self) -> deque[Prepared]:
        """What is prepared and not given yet."""
        return self._answers

    def prepare(self, answers: Iterable[Prepared]) -> None:
        """Prepare answers and errors, in the place of those that were left."""
        self._answers = deque(answers)

    def answer(
        self, body: object = b"", status: int = 200, headers: Mapping[str, str] | None = None, **more: str
    ) -> None:
        """Prepare one more answer (see `response`)."""
        self._answers.append(response(body, status, **dict(headers or {}), **more))

    @hookimpl
    def register_transports(self, ctx: RegistrationContext) -> list[Stub]:  # type: ignore[override]  # no wrapper here
        return [self]

    def resolve_credentials(self, ctx: object) -> None:
        """Without the mark of a hook: the Client's own credentials count."""

    def open(self, settings: TransportConfig) -> Stub:
        self.opened.append(settings)
        return self

    def send(self, request: Request) -> Response:
        prepared = self._answers or self.always is not None
        assert prepared, f"no answer was prepared for {request.method} {request.target}"
        return super().send(request)

    def close(self) -> None:
        self.closed += 1

    def client(self, *args: Any, plugins: tuple[object, ...] = (), **kwargs: Any) -> Client:
        """A Client of cn-qingdao that talks to this stub."""
        return Client("cn-qingdao", "testid", "testsecret", *args, plugins=[self, *plugins], **kwargs)
