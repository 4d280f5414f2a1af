"""Fixtures of the unit tests: a stub in the place of the network, a fake clock, a real HTTP server on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from batchcompute import Config, RetryConfig
from batchcompute.hooks import loading
from tests.support.clock import Clock
from tests.support.server import Server
from tests.support.stub import Stub


@pytest.fixture(autouse=True)
def no_installed_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed on this machine takes no part in these tests."""
    monkeypatch.setattr(loading, "installed_plugins", lambda: ())


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        for client in server.clients:
            client.close()
        server.shutdown()
        thread.join()


@pytest.fixture
def once() -> Config:
    """A configuration without repeated attempts."""
    return Config(retry=RetryConfig(attempts=1))
