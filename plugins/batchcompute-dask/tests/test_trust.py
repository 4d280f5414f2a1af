"""Who may talk to whom: with TLS, only who has a certificate of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_dask.bridge.relay import find_own_host
from dask_cluster import DaskCluster
from distributed import Security
from own_clusters import first_byte

from tests.support.homes import own_home
from tests.support.service import Cloud

CLIENT = """
import http.client, os
connection = http.client.HTTPConnection(os.environ["ALI_DIKU_OSS_HOST"], timeout=20)
connection.request("GET", "/")
print("endpoint", connection.getresponse().status)
"""


def make_certificate(path: Path) -> Path:
    """A certificate that is its own authority, with its key."""
    made = Security.temporary()
    path.write_text(made.tls_client_key + made.tls_client_cert)
    path.chmod(0o600)
    return path


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaskCluster]:
    own_home(tmp_path, monkeypatch)
    made = DaskCluster(tmp_path / "cluster", tls=make_certificate(tmp_path / "cluster.pem"))
    yield made
    made.down()


def test_a_cluster_with_tls_refuses_who_has_no_certificate(tmp_path: Path, secure: DaskCluster) -> None:
    cloud = Cloud(tmp_path / "data")
    files = "".join(f'{name} = "{secure.tls}"\n' for name in ("tls_ca_file", "tls_cert", "tls_key"))
    cloud.settings(f'executor = "dask"\n[executors.dask]\nscheduler = "{secure.address}"\nlease_seconds = 60\n{files}')
    secure.up("a")
    assert secure.tls is not None
    assert first_byte(secure.address, secure.tls), "a scheduler speaks first"
    assert not first_byte(secure.address, make_certificate(tmp_path / "stranger.pem"))
    assert not first_byte(secure.address, None)
    try:
        cloud.up()
        cloud.program(CLIENT)
        job = cloud.create({"A": {}})
        assert cloud.ended(job)["State"] == "Terminated", (cloud.root / "daemon.log").read_text()
        assert cloud.log(job, "A") == "endpoint 403\n", "packages, logs and the endpoint come over the relay, with TLS"
        for word in ("-----BEGIN", "access_key_secret"):
            assert word not in (cloud.root / "daemon.log").read_text()
    finally:
        cloud.down()


def test_the_relay_listens_where_the_scheduler_is_reached_from() -> None:
    assert find_own_host("tls://127.0.0.1:8786") == "127.0.0.1"
    assert find_own_host("localhost:8786") in ("127.0.0.1", "::1")
