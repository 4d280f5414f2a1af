"""A region of our own for recording, a scripted server, and a guard for replay: no socket connects."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client, Config, RetryConfig
from batchcompute.testing import StubTransport, replay
from tests.support.server import ScriptedServer

MARKER = "batchcompute_cassette"
QUICK = Config(retry=RetryConfig(base_wait=0.001, max_wait=0.002))


def _refuse(*args: object, **kwargs: object) -> Any:
    raise AssertionError("replay has opened a connection")


@contextmanager
def _offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _refuse)
        patch.setattr(socket, "getaddrinfo", _refuse)
        yield


@pytest.fixture(autouse=True)
def no_installed_plugins() -> None:
    """Installed plugins take part, unlike in other unit tests: region local is one."""


@pytest.fixture
def offline() -> Callable[[], AbstractContextManager[None]]:
    """`with offline():` no socket connects."""
    return _offline


@pytest.fixture(autouse=True)
def guarded(request: pytest.FixtureRequest) -> Iterator[None]:
    """A marked test that replays is offline."""
    replays = request.config.getoption("--batchcompute-record") == "replay"
    if replays and request.node.get_closest_marker(MARKER):
        with _offline():
            yield
    else:
        yield


@pytest.fixture
def local_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of a local region of our own; its daemon, if one was started, ends with the test."""
    control = pytest.importorskip("batchcompute_local.client.control", reason="a plugin that need not be installed")
    folder = tmp_path / "region"
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
    yield folder
    if folder.exists():
        control.stop(folder)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A scripted HTTP server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = ScriptedServer(listening)
        yield made
        made.close()


@pytest.fixture
def connect(server: ScriptedServer) -> Iterator[Callable[..., Client]]:
    """A Client of the scripted server, closed with the test: `connect(plugins=[...])`."""
    made: list[Client] = []

    def client(**kwargs: Any) -> Client:
        made.append(Client(server.url, "testid-1", "canary-secret-3f9b", **kwargs))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "session.yaml"


@pytest.fixture
def stub() -> StubTransport:
    return StubTransport()


@pytest.fixture
def record(path: Path, stub: StubTransport) -> Callable[[Callable[[Client], object]], object]:
    """Record what a function does with a Client of the stub."""

    def run(session: Callable[[Client], object], **kwargs: Any) -> object:
        with replay.use_cassette(path, "record", **kwargs) as plugin:
            client = Client("cn-qingdao", "testid-1", "canary-secret-3f9b", plugins=[stub, plugin], config=QUICK)
            return session(client)

    return run


@pytest.fixture
def play(
    path: Path, offline: Callable[[], AbstractContextManager[None]]
) -> Callable[[Callable[[Client], object]], object]:
    """Replay it, offline and without a key."""

    def run(session: Callable[[Client], object], **kwargs: Any) -> object:
        with offline(), replay.use_cassette(path, "replay") as plugin:
            return session(Client("cn-qingdao", plugins=[plugin], **kwargs))

    return run
