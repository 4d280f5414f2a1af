"""A `serve`, and a user elsewhere: another HOME, another data folder, nobody's variables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from batchcompute_local.client import control

from batchcompute import Client
from tests.support.homes import own_home
from tests.support.serving import serving


@dataclass(frozen=True)
class Served:
    """A service, and its own key."""

    url: str
    folder: Path
    key: str
    secret: str = field(repr=False)


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An own, empty HOME and data folder, nobody's account and no proxy."""
    for name in os.environ:
        if name.startswith(("BATCHCOMPUTE_", "ALIBABA", "ALICLOUD_", "XDG_", "OSS_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)
    own_home(tmp_path, monkeypatch)
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "other-data"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A `serve` for the tests of a module."""
    root = tmp_path_factory.mktemp("served")
    folder = root / "data"
    folder.mkdir(mode=0o700)
    (folder / "service.toml").write_text("slots = 4\ngrace_seconds = 0.1\nrunner_linger_seconds = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(root))
        with serving(folder) as url:
            yield Served(url, folder, *control.read_credentials(folder))


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.url, served.key, served.secret) as client:
        yield client
