"""A stand-in of a region of the cloud: a `serve` behind the region's own host names, with HTTPS and an own CA, offline.

Clients reach it as people reach a cloud from behind a firewall: by the region's id, through an HTTPS proxy, with a CA bundle.
The proxy knows the hosts of the region and no others, so nothing leaves this machine. All rules of the region are in force: its
ranges, the bucket in front of the host, no buckets that are made on the way, and nothing beyond the API.
"""

from __future__ import annotations

import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from batchcompute_local.client import control

from batchcompute import Client
from batchcompute.config import Config, TransportConfig
from batchcompute.regions import CLOUD_REGIONS

from .serving import serving

REGION = CLOUD_REGIONS[0]
BUCKETS = ("batchcompute", "demo", "mine")
"""Those that the examples use: in a cloud people make them once."""
_OSS_HOST = f"oss-{REGION.name}.aliyuncs.com"


@dataclass(frozen=True)
class StandIn:
    """The region as its users see it: `variables` are all that a script needs. `hosts`: those that were asked for."""

    variables: Mapping[str, str] = field(repr=False)
    folder: Path
    hosts: list[str]


@contextmanager
def standing_in(root: Path) -> Iterator[StandIn]:
    """Run it in the folder `root`."""
    ca, cert = _make_certificates(root)
    folder = root / "data"
    for bucket in BUCKETS:
        (folder / "oss" / bucket).mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "service.toml").write_text("slots = 4\ngrace_seconds = 0.1\nrunner_linger_seconds = 1\n")
    with serving(folder, "--certfile", str(cert)) as url:
        key, secret = control.read_credentials(folder)
        with Client(url, key, secret, config=Config(transport=TransportConfig(ca_bundle=str(ca)))) as client:
            objects = client.get_region().objects_port
        assert objects is not None
        ports = {REGION.host: int(url.rpartition(":")[2]), _OSS_HOST: objects}
        with _Gateway(ports) as gateway:
            variables = {
                "BATCHCOMPUTE_ENDPOINT": REGION.name,
                "BATCHCOMPUTE_ACCESS_KEY_ID": key,
                "BATCHCOMPUTE_ACCESS_KEY_SECRET": secret,
                "BATCHCOMPUTE_TRANSPORT_CA_BUNDLE": str(ca),
                "BATCHCOMPUTE_TRANSPORT_HTTPS_PROXY": gateway.url,
            }
            yield StandIn(variables, folder, gateway.hosts)


def _make_certificates(root: Path) -> tuple[Path, Path]:
    """Make a CA, and with it a certificate of the hosts; the certificate's file has its key too."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "the tests need openssl"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = f"DNS:{REGION.host},DNS:{_OSS_HOST},DNS:*.{_OSS_HOST},IP:127.0.0.1"
    extensions = ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
    ca, cert = [str(root / f"{name}.pem") for name in ("ca", "cert")]
    ca_key, cert_key = [str(root / f"{name}.key") for name in ("ca", "cert")]
    made = [openssl, "req", "-x509", *key, "-subj"]
    for command in (
        [*made, "/CN=own CA", "-keyout", ca_key, "-out", ca, "-addext", "keyUsage=keyCertSign"],
        [*made, "/CN=cloud", "-keyout", cert_key, "-out", cert, "-CA", ca, "-CAkey", ca_key, *extensions],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    with open(cert, "a", encoding="ascii") as both:
        both.write(Path(cert_key).read_text(encoding="ascii"))
    return Path(ca), Path(cert)


class _Gateway(socketserver.ThreadingTCPServer):
    """An HTTPS proxy that leads the hosts of `ports`, and what is in front of them, to ports of this machine."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, ports: Mapping[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.ports = ports
        self.hosts: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, name="gateway", kwargs={"poll_interval": 0.05})

    def __enter__(self) -> _Gateway:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()

    def port_of(self, host: str) -> int | None:
        self.hosts.append(host)
        domain = next((one for one in self.ports if host == one or host.endswith(f".{one}")), "")
        return self.ports.get(domain)


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Gateway

    def handle(self) -> None:
        method, _, rest = self.rfile.readline().decode("ascii").partition(" ")
        while self.rfile.readline().strip():
            pass
        port = self.server.port_of(rest.partition(":")[0])
        if method != "CONNECT" or port is None:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), timeout=60) as inner:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_carry, args=(inner, self.connection), daemon=True)
            back.start()
            _carry(self.connection, inner)
            back.join(60)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
