"""The OSS endpoint as a part of the daemon: its sockets, its application, and what it tidies up."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from batchcompute_local.objects import address
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

if TYPE_CHECKING:
    from batchcompute_local.http.accounts import Accounts
    from batchcompute_local.http.network import Address

_log = logging.getLogger(__name__)


class Endpoint:
    """The sockets of the endpoint: on loopback, for containers, and beside the port of `batchcompute serve`."""

    def __init__(self, layout: Layout, settings: Settings, outer: Address | None) -> None:
        """Open the sockets. Raises OSError for loopback, DaemonError beside the port of `serve`."""
        loopback = address.listen(layout.objects_ports)
        self.port: int = loopback.getsockname()[1]
        self.sockets = [loopback, *_for_containers(settings, self.port)]
        self.outer: tuple[socket.socket, Address] | None = None
        self.names = [outer.host] if outer else []
        if outer is not None and not outer.is_plain_loopback:
            beside = outer.beside(address.read_port(layout.objects_ports, "outside"))
            sock = beside.listen()
            address.write_port(layout.objects_ports, "outside", sock.getsockname()[1])
            self.outer = sock, beside

    @property
    def outer_port(self) -> int:
        """The port for clients that have come over the port of `serve`."""
        return self.outer[0].getsockname()[1] if self.outer else self.port

    def describe(self) -> dict[str, Any]:
        """Return what the status of the service says of it."""
        found = {"objects": f"http://{address.join(address.LOOPBACK, self.port)}"}
        return found | ({"objects_url": self.outer[1].url(self.outer[0])} if self.outer else {})

    def application(self, store: Store, accounts: Accounts, settings: Settings) -> Any:
        """Return the application for the sockets."""
        from batchcompute_local.oss.application import OssFront  # found when the runner is being started

        return OssFront(store, accounts, settings.request_seconds, self.names)


def _for_containers(settings: Settings, port: int) -> Iterable[socket.socket]:
    for host in sorted({image.objects_host for image in settings.images.values()} - {"", address.LOOPBACK}):
        try:
            yield address.bind(host, port)
        except OSError as error:
            _log.warning("programs of images with objects_host = %r reach no objects: %s", host, error.strerror)
