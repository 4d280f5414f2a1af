"""Our transports keep the contract that we ask of others."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from batchcompute.builtins.transport import Urllib3Factory
from batchcompute.config import TransportConfig
from batchcompute.hooks import Transport, TransportFactory
from batchcompute.testing import TransportContract
from batchcompute.testing.contracts.loopback import Loopback
from batchcompute.wire import Endpoint, Request, Response

local = pytest.importorskip("batchcompute_local.client.transport", reason="a plugin that need not be installed")


class TestUrllib3(TransportContract):
    def make_factory(self) -> TransportFactory:
        return Urllib3Factory()


class _LocalFactory:
    name = "local"

    def open(self, settings: TransportConfig) -> Transport:
        made: Transport = local.LocalTransport(settings)
        return made


class TestLocal(TransportContract):
    """The Unix socket of the local region; the scripted server stands in the daemon's place."""

    def make_factory(self) -> TransportFactory:
        return _LocalFactory()

    @pytest.fixture(autouse=True)
    def data_dir(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path / "data"
        self.folder.mkdir()
        # the server that answers is the daemon, and no other is to be started in its place
        monkeypatch.setattr("batchcompute_local.client.control.ensure_running", lambda data_dir, until=None: None)

    def listen(self) -> socket.socket:
        from batchcompute_local import unixsocket
        from batchcompute_local.paths import Layout

        return unixsocket.listen(Layout.at(self.folder).socket)

    def endpoint(self, listening: socket.socket) -> Endpoint:
        return Endpoint("unix", str(self.folder), 0, "local", "local")


def test_a_transport_that_breaks_the_contract_is_found() -> None:
    """The contract can fail: a transport that repeats itself."""

    class Twice:
        def __init__(self, inner: Transport) -> None:
            self.inner = inner
            self.close = inner.close

        def send(self, request: Request) -> Response:
            try:
                return self.inner.send(request)
            except Exception:
                return self.inner.send(request)

    contract = TestUrllib3()
    with contract.listen() as listening:
        server = Loopback(listening)
        transport = Twice(Urllib3Factory().open(TransportConfig()))
        with pytest.raises(AssertionError, match="repeated"):
            contract.test_a_connection_closed_before_the_answer_loses_it(
                transport, server, contract.endpoint(listening), "POST"
            )
        transport.close()
        server.close()
