"""Settings as frozen values; nothing is read from files or the environment here (see `configuration`).

Each checks its values when it is made, also by hand. Raises ConfigError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .plain_errors import ConfigError
from .schema import Checked

_SECONDS = {"min": 0.001, "max": 1_000_000}  # limits of a socket timeout
_WAIT = {"min": 0}
_PROXY = {"url": True}
_PART = {"setting": False}


@dataclass(frozen=True, slots=True)
class RetryConfig(Checked):
    """Settings for the retry of failed calls. `attempts` counts the first one too; times are seconds.

    The wait before attempt n+1 is random in [0, min(max_wait, base_wait * 2**(n-1))] (full jitter), or longer when the
    service asked for it. No attempt is begun after `deadline`.
    """

    attempts: int = field(default=4, metadata={"min": 1, "max": 1000})
    deadline: float = field(default=60.0, metadata=_WAIT)
    base_wait: float = field(default=0.2, metadata=_WAIT)
    max_wait: float = field(default=10.0, metadata=_WAIT)


@dataclass(frozen=True, slots=True)
class TransportConfig(Checked):
    """Settings for connections.

    `name` picks a registered transport, None leaves it to the region. Timeouts are seconds; `max_answer_bytes` is the largest
    body of an answer, inflated; `pool_size` is the connections kept for each endpoint; `ca_bundle` the path of a PEM file;
    `http_proxy` and `https_proxy` are URLs, `no_proxy` host names and domains that are reached directly.
    """

    name: str | None = None
    connect_timeout: float = field(default=10.0, metadata=_SECONDS)
    read_timeout: float = field(default=60.0, metadata=_SECONDS)
    max_answer_bytes: int = field(default=256 << 20, metadata={"min": 1})
    pool_size: int = field(default=10, metadata={"min": 1, "max": 10_000})
    ca_bundle: str | None = None
    http_proxy: str | None = field(default=None, repr=False, metadata=_PROXY)  # may hold a password
    https_proxy: str | None = field(default=None, repr=False, metadata=_PROXY)
    no_proxy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TracingConfig(Checked):
    """Events of calls and attempts. `level`: off, debug, info or warning; `format`: console or json.

    With `off` nothing is set up: events go to the standard logger `batchcompute`, as the program has configured it.
    """

    level: str = field(default="off", metadata={"choices": ("off", "debug", "info", "warning")})
    format: str = field(default="console", metadata={"choices": ("console", "json")})


@dataclass(frozen=True, slots=True)
class CredentialsConfig(Checked):
    """The sources of credentials if none were given: the one `provider`, or the first of `chain` that has some.

    `refresh_before` and `refresh_at_latest` are the seconds before expiry at which temporary ones may, and must, be replaced.
    """

    provider: str | None = None
    chain: tuple[str, ...] = ("environment", "profile", "alibabacloud-file", "aliyun-cli")
    refresh_before: float = field(default=900.0, metadata=_WAIT)
    refresh_at_latest: float = field(default=60.0, metadata=_WAIT)


@dataclass(frozen=True, slots=True)
class PluginConfig(Checked):
    """Settings for plugins.

    `block` names those that are not used; `enable` those that are used although they are off by default. Of a name in both,
    `block` counts. `strict` turns a broken plugin into an error.
    """

    block: frozenset[str] = frozenset()
    strict: bool = False
    enable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Config(Checked):
    """The settings of a Client. Its arguments win over them.

    `strict`: a name that does not exist is an error, not a warning: a property, a variable BATCHCOMPUTE_*, an image.
    The access key is that of the profile. `sections` holds what plugins declared: by section, an instance of the declared type
    (in one made by hand a dict will do, the Client makes it an instance). `ambient` is True only
    when files and the environment were read to make it; a Config made by hand uses nothing of them, credentials included.
    `reread` reads them again, for a key that was changed there; None in a Config made by hand.
    """

    endpoint: str | None = None
    profile: str = "default"
    timeout: float | None = field(default=None, metadata={"min": 0.001})
    strict: bool = False
    access_key_id: str | None = None
    access_key_secret: str | None = field(default=None, repr=False)
    security_token: str | None = field(default=None, repr=False)
    retry: RetryConfig = field(default_factory=RetryConfig, metadata=_PART)
    transport: TransportConfig = field(default_factory=TransportConfig, metadata=_PART)
    tracing: TracingConfig = field(default_factory=TracingConfig, metadata=_PART)
    credentials: CredentialsConfig = field(default_factory=CredentialsConfig, metadata=_PART)
    plugins: PluginConfig = field(default_factory=PluginConfig, metadata=_PART)
    sections: Mapping[str, Any] = field(default_factory=dict, repr=False, metadata=_PART)
    ambient: bool = field(default=False, metadata=_PART)
    reread: Callable[[], Config] | None = field(default=None, repr=False, compare=False, metadata=_PART)

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        for name, kind in SECTIONS.items():
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"Config.{name} must be a {kind.__name__}, not {type(getattr(self, name)).__name__}")
        if not isinstance(self.sections, Mapping):
            raise ConfigError(f"Config.sections must be a dict by section, not {type(self.sections).__name__}")


SECTIONS: dict[str, type] = {
    "retry": RetryConfig,
    "transport": TransportConfig,
    "tracing": TracingConfig,
    "credentials": CredentialsConfig,
    "plugins": PluginConfig,
}


@dataclass(frozen=True, slots=True)
class Section:
    """Settings that a plugin declares: the table `[name]`, with the fields of the frozen dataclass `type` as keys.

    The fields' types and defaults are those of the settings (rules: see `batchcompute.schema`). What was set is the instance of
    `type` in `Config.sections[name]`. `name` is lower-case letters, digits and underscores.
    """

    name: str
    type: type
