"""Settings as frozen values; nothing is read from files or the environment here (see `configuration`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How failed calls are repeated. `attempts` counts the first one too; times are seconds.

    The wait before attempt n+1 is random in [0, min(max_wait, base_wait * 2**(n-1))] (full jitter), or longer when the
    service asked for it. No attempt is begun after `deadline`.
    """

    attempts: int = 4
    deadline: float = 60.0
    base_wait: float = 0.2
    max_wait: float = 10.0


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """How connections are made.

    `name` picks a registered transport, None leaves it to the region. Timeouts are seconds; `pool_size` is the connections
    kept for each endpoint; `ca_bundle` the path of a PEM file; `http_proxy` and `https_proxy` are URLs, `no_proxy` host names
    and domains that are reached directly.
    """

    name: str | None = None
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    pool_size: int = 10
    ca_bundle: str | None = None
    http_proxy: str | None = field(default=None, repr=False)  # may hold a password
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """Events of calls and attempts. `level`: off, debug, info or warning; `format`: console or json.

    With `off` nothing is set up: events go to the standard logger `batchcompute`, as the program has configured it.
    """

    level: str = "off"
    format: str = "console"


@dataclass(frozen=True, slots=True)
class CredentialsConfig:
    """Where credentials come from when none were given: the one `provider`, or the first of `chain` that has some.

    `refresh_before` and `refresh_at_latest` are the seconds before expiry at which temporary ones may, and must, be replaced.
    """

    provider: str | None = None
    chain: tuple[str, ...] = ("environment", "profile", "alibabacloud-file", "aliyun-cli")
    refresh_before: float = 900.0
    refresh_at_latest: float = 60.0


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """Which plugins are used: `block` names those that are not; `strict` turns a broken plugin into an error."""

    block: frozenset[str] = frozenset()
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a Client can be told besides its arguments, which win over it.

    The access key is that of the profile. `sections` holds what plugins declared, by section and key. `ambient` is True only
    when files and the environment were read to make it; a Config made by hand uses nothing of them, credentials included.
    """

    endpoint: str | None = None
    profile: str = "default"
    timeout: float | None = None
    access_key_id: str | None = None
    access_key_secret: str | None = field(default=None, repr=False)
    security_token: str | None = field(default=None, repr=False)
    retry: RetryConfig = field(default_factory=RetryConfig)
    transport: TransportConfig = field(default_factory=TransportConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    credentials: CredentialsConfig = field(default_factory=CredentialsConfig)
    plugins: PluginConfig = field(default_factory=PluginConfig)
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    ambient: bool = False
