"""Fixtures of the local service's tests: a service without processes, and a real one in a data folder of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.elsewhere import Elsewhere
from tests.support.engine import World
from tests.support.homes import own_home
from tests.support.service import Cloud
from tests.support.weed import Weed, why_not

_numbers = itertools.count()


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
    own_home(tmp_path, monkeypatch)
    made = Cloud(tmp_path / "data")
    yield made
    made.down()


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A real S3 store."""
    if reason := why_not():
        pytest.skip(reason)
    made = Weed(tmp_path_factory.mktemp("weed") / "store")
    yield made
    made.close()


@pytest.fixture(params=["folder", "s3"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Elsewhere:
    """The bucket `far` in a folder, and below a prefix of a bucket of a real S3 store."""
    if request.param == "s3":
        weed: Weed = request.getfixturevalue("weed")
        path = f"real/below-{next(_numbers)}"
        return Elsewhere(f"s3://{path}", weed.options(), weed.system(), path, "s3")
    from fsspec.implementations.local import LocalFileSystem

    folder = tmp_path / "mounted"
    folder.mkdir()
    return Elsewhere(f"file://{folder}", {}, LocalFileSystem(auto_mkdir=True), str(folder), "folder")
