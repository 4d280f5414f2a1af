"""A cluster of several processes, and the executor on it, driven by its protocol without the rest of the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_cluster import DaskCluster
from executor_desk import Desk

from tests.support.homes import own_home


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaskCluster]:
    """A cluster that is not started yet."""
    own_home(tmp_path, monkeypatch)
    made = DaskCluster(tmp_path / "cluster")
    yield made
    made.down()


@pytest.fixture
def desk(tmp_path: Path, cluster: DaskCluster) -> Iterator[Desk]:
    """An executor of a service of its own on that cluster, not opened yet."""
    made = Desk(tmp_path / "data", cluster)
    yield made
    made.close()
