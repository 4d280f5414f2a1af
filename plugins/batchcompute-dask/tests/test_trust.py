"""Who may talk to whom: with TLS, only who has a certificate of the cluster."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_dask.bridge.relay import find_own_host
from dask_cluster import DaskCluster
from distributed import Security

from tests.support.service import Cloud
from tests.support.waits import wait_for

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
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    made = DaskCluster(tmp_path / "cluster", tls=make_certificate(tmp_path / "cluster.pem"))
    yield made
    made.down()


def test_a_cluster_with_tls(tmp_path: Path, secure: DaskCluster) -> None:
    cloud = Cloud(tmp_path / "data")
    files = "".join(f'{name} = "{secure.tls}"\n' for name in ("tls_ca_file", "tls_cert", "tls_key"))
    cloud.settings(f'executor = "dask"\n[executors.dask]\nscheduler = "{secure.address}"\nlease_seconds = 60\n{files}')
    secure.up("a")
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


def test_who_has_no_certificate_is_refused(tmp_path: Path, secure: DaskCluster) -> None:
    secure.start_scheduler()
    assert secure.tls is not None
    assert first_byte(secure.port, secure.tls), "a scheduler speaks first"
    assert not first_byte(secure.port, make_certificate(tmp_path / "stranger.pem"))
    assert not first_byte(secure.port, None)


def first_byte(port: int, certificate: Path | None) -> bytes:
    """What a scheduler says to who comes with this certificate; nothing if it hangs up."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    try:
        with context.wrap_socket(wait_for(lambda: connect(port), "the scheduler")) as sock:
            return sock.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


def connect(port: int) -> socket.socket | None:
    """Connect; None if nobody listens yet."""
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=20)
    except ConnectionRefusedError:
        return None


def test_the_relay_listens_where_the_scheduler_is_reached_from() -> None:
    assert find_own_host("tls://127.0.0.1:8786") == "127.0.0.1"
    assert find_own_host("localhost:8786") in ("127.0.0.1", "::1")
