"""A plugin that answers every request with the same bytes: what is left of a call is encoding and decoding."""

from __future__ import annotations

from batchcompute import Client, TransportConfig
from batchcompute.hooks import RegistrationContext, Transport, TransportFactory, hookimpl
from batchcompute.wire import Request, Response

HEADERS = {"date": "Tue, 30 Jun 2015 08:00:00 GMT", "request-id": "6F0E4E2A", "x-acs-request-id": "6F0E4E2A"}


class Stub:
    """Plugin, transport factory and transport in one. It takes the name of the built-in transport, and is asked first."""

    name = "urllib3"

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.response = Response(status, HEADERS, body)
        self.sent = b""

    def answer(self, body: bytes) -> None:
        """Answer so from now on."""
        self.response = Response(self.response.status, HEADERS, body)

    @hookimpl
    def register_transports(self, ctx: RegistrationContext) -> tuple[TransportFactory, ...]:
        return (self,)

    def open(self, settings: TransportConfig) -> Transport:
        return self

    def send(self, request: Request) -> Response:
        self.sent = request.body
        return self.response

    def close(self) -> None:
        pass


def client_of(stub: Stub) -> Client:
    return Client("http://127.0.0.1:9", "testid", "testsecret", plugins=[stub])
