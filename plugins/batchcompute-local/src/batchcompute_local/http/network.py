"""The port of `batchcompute serve` and its certificate."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

from batchcompute_local.errors import DaemonError


@dataclass(frozen=True)
class Address:
    """The address to listen on. Without a certificate: plain HTTP, and beyond loopback only if `insecure`."""

    host: str
    port: int
    certfile: Path | None = None
    keyfile: Path | None = None
    insecure: bool = False

    def tls(self) -> ssl.SSLContext | None:
        """Return the server's TLS settings (1.2 and later); None for plain HTTP. Raises DaemonError."""
        if self.certfile is None:
            if self.keyfile is not None:
                raise DaemonError(f"--keyfile {self.keyfile} needs --certfile")
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # an empty password: an error, not a question on a terminal
            context.load_cert_chain(self.certfile, self.keyfile, password=b"")
        except (OSError, ValueError) as error:
            names = f"--certfile {self.certfile}" + (f" with --keyfile {self.keyfile}" if self.keyfile else "")
            raise DaemonError(f"{names} cannot be used: {error}") from None
        return context

    def listen(self) -> socket.socket:
        """Open a listening socket. Raises DaemonError if the address is not allowed or not usable."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise DaemonError(f"--host {self.host!r} is not an address of this machine: {error}") from None
        if self.certfile is None and not self.insecure and not all(_is_loopback(str(each[4][0])) for each in found):
            raise DaemonError(
                f"--host {self.host} can be reached from other machines, and without TLS others can read the traffic: "
                "give --certfile and --keyfile, or --insecure-bind if you trust the network"
            )
        family, _, _, _, place = min(found, key=lambda each: each[0] != socket.AF_INET)
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio sets no TCP_NODELAY
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(place)
            sock.listen(128)
        except OSError as error:
            sock.close()
            raise DaemonError(f"cannot listen on {self.host} port {self.port}: {error.strerror}") from None
        return sock

    @property
    def is_plain_loopback(self) -> bool:
        """Whether the port is plain HTTP, for this machine alone."""
        return self.certfile is None and not self.insecure

    def beside(self, port: int) -> Address:
        """Return the same address with another port: `port` if it is free, else any."""
        wanted = replace(self, port=port)
        try:
            wanted.listen().close()
        except DaemonError:
            return replace(self, port=0)
        return wanted

    def options(self, sock: socket.socket) -> list[str]:
        """Return the options of a daemon that listens where `sock` does, with its real port."""
        words = [f"--host={self.host}", f"--port={sock.getsockname()[1]}"]
        words += [f"--certfile={self.certfile}"] if self.certfile else []
        words += [f"--keyfile={self.keyfile}"] if self.keyfile else []
        return [*words, "--insecure-bind"] if self.insecure else words

    def url(self, sock: socket.socket) -> str:
        """Return the URL of `sock`: its real port, and the host as given."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certfile else 'http'}://{host}:{sock.getsockname()[1]}"


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
