"""A `serve` with a certificate of an own CA: API and objects over HTTPS."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from batchcompute_local.client import control

from batchcompute import Client, ConnectError
from batchcompute.config import Config, RetryConfig, TransportConfig
from tests.support.serving import serving


def test_objects_of_a_serve_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = [openssl, *made.split(), "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    folder = tmp_path / "data"
    with serving(folder, "--host", "127.0.0.1", "--certfile", str(cert), "--keyfile", str(key)) as url:
        account = control.read_credentials(folder)
        trusting = Config(transport=TransportConfig(ca_bundle=str(cert)))
        with Client(url, *account, config=trusting) as client:
            client.objects.put("oss://bucket/one", b"1")
            with client.objects.open("oss://bucket/one") as file:
                assert file.read() == b"1"
            endpoint = client.objects.endpoint  # type: ignore[attr-defined]  # the store of this plugin has it
        assert endpoint.startswith("https://127.0.0.1:")
        assert endpoint != url
        doubting = Config(retry=RetryConfig(attempts=1), sections={"oss": {"endpoint": endpoint}})
        with pytest.raises(ConnectError, match="SSLError"):
            Client("cn-qingdao", *account, config=doubting).objects.exists("oss://bucket/one")
