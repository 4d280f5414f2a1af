"""Connections through a proxy: whether one is used, and urllib3's pool for it. For the transport `urllib3` only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ..config import TransportConfig
from ..errors import ConfigError
from ..messages import did_you_mean
from ..wire import Endpoint

if TYPE_CHECKING:
    import urllib3


def proxy_of(endpoint: Endpoint, settings: TransportConfig) -> str | None:
    """Return the URL of the proxy on the way to an endpoint; None for a direct way."""
    proxy = {"http": settings.http_proxy, "https": settings.https_proxy}.get(endpoint.scheme)
    if proxy is None or any(_matches(rule, endpoint.host, endpoint.port) for rule in settings.no_proxy):
        return None
    return proxy


def _matches(rule: str, host: str, port: int) -> bool:
    """A host or a domain with all that is in it (the leading dot does not matter), an address, a network, each also with
    a port; `*` is everything."""
    rule, host = rule.strip().lower(), host.strip("[]").lower().rstrip(".")
    if rule == "*":
        return True
    if rule.count(":") == 1 or rule.startswith("["):  # a port, or an IPv6 address in brackets
        rule, _, wanted = rule.rpartition(":") if not rule.endswith("]") else (rule, "", "")
        if wanted and wanted != str(port):
            return False
    rule = rule.strip("[]").lstrip(".").rstrip(".")
    if not rule:
        return False
    return host == rule or host.endswith(f".{rule}") or _in_network(rule, host)


def _in_network(rule: str, host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:  # one of them is a name
        return False


def open_through(proxy: str, endpoint: Endpoint, settings: TransportConfig) -> urllib3.HTTPConnectionPool:
    """A pool whose connections go through the proxy: a tunnel for https, and for http the proxy sends on.

    Raises ConfigError, without the URL: it may hold a password.
    """
    import urllib3

    from .connections import HttpPool, HttpsPool

    key = f"transport.{endpoint.scheme}_proxy"
    try:
        parts = urlsplit(proxy)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigError(
            f"{key} must be a URL with the scheme http or https and a host"
            f"{did_you_mean(parts.scheme if host else None, ('http', 'https'))}; it may come from {endpoint.scheme.upper()}_PROXY"
        )
    headers: dict[str, str] = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = dict(urllib3.make_headers(proxy_basic_auth=login))
    shown = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    manager = urllib3.ProxyManager(
        f"{parts.scheme}://{shown}:{port or default}",
        proxy_headers=headers,
        maxsize=settings.pool_size,
        ca_certs=settings.ca_bundle,
    )
    manager.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    pool = manager.connection_from_host(endpoint.host, endpoint.port, endpoint.scheme)
    return pool if endpoint.scheme == "https" else _Forwarded(pool, endpoint, headers)  # type: ignore[return-value]  # all of a pool that is used


class _Forwarded:
    """Plain http: each request has the whole URL and the proxy credentials."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, endpoint: Endpoint, headers: dict[str, str]) -> None:
        self._pool = pool
        self._base = f"http://{endpoint.authority}"
        self._headers = headers

    def urlopen(self, method: str, target: str, **options: Any) -> Any:
        held = [{**options, "headers": {**self._headers, **options["headers"]}}]
        options.clear()  # they have the token: an error must not find it in this frame
        return self._pool.urlopen(method, self._base + target, **held.pop())

    def close(self) -> None:
        self._pool.close()
