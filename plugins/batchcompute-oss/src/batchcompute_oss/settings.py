"""The table `[oss]` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from batchcompute.errors import ConfigError
from batchcompute.schema import Checked

NAME = "oss"


@dataclass(frozen=True, slots=True)
class Settings(Checked):
    """The table `[oss]`. What is not set follows from the region.

    `endpoint` is the URL of OSS: scheme, host and port. `region` is the region that signatures name. `path_style`: the bucket
    is in the path, not in front of the host. Raises ConfigError.
    """

    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.endpoint is not None:
            check_endpoint("oss.endpoint", self.endpoint)


def check_endpoint(name: str, url: str) -> None:
    """Raise ConfigError if `url` is not scheme, host and port. It is not shown: it may hold a password."""
    allowed = "a URL of scheme http or https, host and port, such as https://oss-cn-qingdao.aliyuncs.com"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in url:
        shown = repr(url) if "@" not in url else "one with a user or password"
        raise ConfigError(f"{name} must be {allowed}, not {shown}")
