"""The values on the wire: one frozen Request, one frozen Response. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

API_VERSION = "2015-06-30"
IDEMPOTENCY_HEADER = "x-acs-idempotent-token"
WARNING_HEADER = "x-acs-warning"
"""What a service says about a request that it accepted: a text, percent-encoded."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of requests: `scheme` (http, https, or a transport's own), `host`, `port`, names of region and transport."""

    scheme: str
    host: str
    port: int
    region: str
    transport: str = "urllib3"

    @property
    def url(self) -> str:
        """`scheme://host:port`."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host header: without the scheme's default port."""
        default = {"http": 80, "https": 443}.get(self.scheme)
        return self.host if self.port in (default, 0) else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    `target` is the path with its query, percent-encoded, exactly as it is sent and signed (protocol 1.4); `body` is bytes,
    empty for none; `endpoint` is None until the attempt has resolved it; `timeout` is the seconds that this attempt may take,
    None for the transport's own.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a token
    body: bytes = field(default=b"", repr=False)  # may hold environment variables
    endpoint: Endpoint | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. The keys of `headers` are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """Id that the service gave the request, or '' (protocol 1.5)."""
        return self.headers.get("x-acs-request-id") or self.headers.get("request-id") or ""
