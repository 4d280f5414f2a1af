"""Settings as frozen values; nothing is read from files or the environment here."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How failed calls are repeated. `attempts` counts the first one too; times are seconds.

    The wait before attempt n+1 is random in [0, min(max_wait, base_wait * 2**n)] (full jitter), or longer when the service
    asked for it. No attempt is begun after `deadline`.
    """

    attempts: int = 4
    deadline: float = 60.0
    base_wait: float = 0.2
    max_wait: float = 10.0


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """How connections are made. Timeouts are seconds; `pool_size` is the connections kept per Client."""

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    pool_size: int = 10
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """Which plugins are used: `block` names those that are not; `strict` turns a broken plugin into an error."""

    block: frozenset[str] = frozenset()
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a Client can be told besides its arguments."""

    retry: RetryConfig = field(default_factory=RetryConfig)
    transport: TransportConfig = field(default_factory=TransportConfig)
    plugins: PluginConfig = field(default_factory=PluginConfig)
