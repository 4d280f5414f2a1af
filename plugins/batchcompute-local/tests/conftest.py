"""Fixtures of the local service's tests: a service without processes, and a real one in a data folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.engine import World
from tests.support.service import Cloud


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service with a fake executor and two slots."""
    made = World(tmp_path)
    yield made
    made.engine.store.close()


@pytest.fixture
def clock(world: World) -> Clock:
    """The clock of the world."""
    clock = Clock()
    world.clock = clock.time
    return clock


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A data folder for a real daemon, which is not started yet."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    made = Cloud(tmp_path / "data")
    yield made
    made.down()
