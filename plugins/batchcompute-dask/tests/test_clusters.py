"""Clusters that the service starts: local ones, with TLS, through kills of each part."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_dask.certificates import ensure_certificate
from batchcompute_dask.clusters import place
from batchcompute_local.client import control
from batchcompute_local.paths import Layout
from dask_cluster import is_running
from own_clusters import cluster_pid, end_all, first_byte, listening, start_waiting, workers_of

from tests.support.service import Cloud
from tests.support.waits import wait_for

SETTINGS = """
executor = "dask"
runner_linger_seconds = 60
grace_seconds = 0.5
[executors.dask]
cluster = "local"
workers = 2
shared_files = true
lease_seconds = 30
[executors.dask.local]
slots = 2
"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Cloud]:
    """A service whose settings have it start a cluster on this machine; it does not run yet."""
    made = Cloud(tmp_path / "data")
    made.settings(SETTINGS + f'[environment]\nGO = "{tmp_path}/go"\n')
    yield made
    end_all(made)


def test_a_local_cluster_through_kills_of_its_parts(tmp_path: Path, local: Cloud) -> None:
    """One job runs all the time; what is killed comes again, and the cluster ends after the service."""
    job, logs = start_waiting(local, 4)
    layout = Layout.at(local.root)
    address = place.read_address(layout)
    assert address.startswith("tls://127.0.0.1:")
    for name in ("cluster.pem", "cluster.json", "scheduler.json", "cluster.lock", "cluster.log"):
        assert (layout.root / "dask" / name).stat().st_mode & 0o777 == 0o600
    first = cluster_pid(local.root)
    assert first is not None
    check_listening(first, workers_of(local.root))
    check_trust(address, layout)

    (killed, *_) = workers_of(local.root)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: len(set(workers_of(local.root)) - {killed}) == 2, "another worker", 30)

    before = set(workers_of(local.root))
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not any(is_running(pid) for pid in before), "its workers to end with it", 10)
    wait_for(lambda: cluster_pid(local.root) not in (None, first), "another cluster process", 30)
    second = cluster_pid(local.root)

    service = control.status(local.root)
    assert service is not None
    os.kill(int(service["pid"]), signal.SIGKILL)
    local.up()
    assert cluster_pid(local.root) == second
    (tmp_path / "go").touch()
    assert local.ended(job)["State"] == "Terminated", (local.root / "dask/cluster.log").read_text()
    assert [log.read_text() for log in logs] == ["begun\ndone\n"] * 4, "nothing ran twice"
    assert place.read_address(layout) == address


def check_listening(scheduler: int, workers: list[int]) -> None:
    """All of them listen on loopback only, the dashboards too."""
    for pid in (scheduler, *workers):
        assert listening(pid)
        assert set(listening(pid)) == {"0100007F"}


def check_trust(address: str, layout: Layout) -> None:
    """Who has not the certificate is refused, and who has none."""
    assert first_byte(address, layout.root / "dask" / "cluster.pem"), "a scheduler speaks first"
    assert not first_byte(address, ensure_certificate(Layout.at(layout.root.parent / "other")))
    assert not first_byte(address, None)
