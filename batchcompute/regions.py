"""Regions: where jobs run, and what a description may ask for there. Plain values, no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

from .installing import advise
from .messages import did_you_mean
from .plain_errors import ConfigError, Problem
from .wire import Endpoint

CN_QINGDAO = "batchcompute.cn-qingdao.aliyuncs.com"
CN_SHENZHEN = "batchcompute.cn-shenzhen.aliyuncs.com"
CN_HANGZHOU = "batchcompute.aliyuncs.com"


@dataclass(frozen=True, slots=True)
class Range:
    """Integers from `low` to `high`, both included; `high` None means no limit."""

    low: int
    high: int | None = None

    def __contains__(self, value: int) -> bool:
        return self.low <= value and (self.high is None or value <= self.high)

    @property
    def span(self) -> range:
        """The same integers, for a check of thousands. Without a limit it ends far beyond what JSON numbers are used for."""
        return range(self.low, 1 << 200 if self.high is None else self.high + 1)

    def problem(self, path: str, value: int, source: str) -> Problem:
        """Return the Problem of a value that is outside."""
        return Problem(path, value, "is out of range", str(self), source)

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]" if self.high is not None else f"at least {self.low}"


@dataclass(frozen=True, slots=True)
class Ranges:
    """The values that a description may contain in a region. The defaults are the reference's (section 2.1).

    `optional` names task properties that may be left out; tasks of the `packageless_types` may leave out PackageUri.
    `extensions` names the properties beyond the reference that the region knows: `MaxRetryCount`,
    `JobFailOnInstanceFail`, `LeftoverSeconds`.
    `source` names who says all this: it ends every validation message.
    `objects_port`: the port of the service's OSS endpoint, on the host of the API; None without one.
    Units: timeout seconds, cpu hundredths of a core, memory MB.
    """

    priority: Range = Range(0, 1000)
    timeout: Range = Range(1, 86400)
    instance_count: Range = Range(1)
    cpu: Range = Range(800, 2400)
    memory: Range = Range(2000, 65536)
    program_types: Collection[str] = ("python", "php")
    optional: frozenset[str] = frozenset()
    packageless_types: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    source: str = "reference section 2.1"
    objects_port: int | None = None

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Ranges:
        """Read the answer to `GET /-/region`; what it does not say is as in the reference. Raises TypeError, ValueError."""
        given = data.get("Ranges", {})
        found: dict[str, Any] = {name: Range(*_limits(given[key])) for name, key in _RANGES.items() if key in given}
        found |= {name: frozenset(_names(data[key])) for name, key in _SETS.items() if key in data}
        if "ProgramTypes" in data:
            found["program_types"] = tuple(_names(data["ProgramTypes"]))
        if "ObjectsPort" in data:
            found["objects_port"] = _port(data["ObjectsPort"])
        return cls(**found, source=f"the service, region {str(data.get('Name', ''))[:40]}")

    def to_wire(self) -> dict[str, Any]:
        """Return what `from_wire` reads, without the name."""
        limits: dict[str, Range] = {key: getattr(self, name) for name, key in _RANGES.items()}
        return {
            "ProgramTypes": list(self.program_types),
            **{key: sorted(getattr(self, name)) for name, key in _SETS.items()},
            "Ranges": {key: [limit.low, limit.high] for key, limit in limits.items()},
        }


_RANGES = {
    "priority": "Priority",
    "timeout": "Timeout",
    "instance_count": "InstanceCount",
    "cpu": "Cpu",
    "memory": "Memory",
}
_SETS = {"optional": "Optional", "packageless_types": "PackagelessTypes", "extensions": "Extensions"}


def _limits(value: Any) -> tuple[int, int | None]:
    low, high = value
    if type(low) is not int or type(high) not in (int, NoneType):
        raise TypeError(f"expected two numbers, got {value!r}")
    return low, high


def _port(value: Any) -> int:
    if type(value) is not int or not 0 < value < 65536:
        raise ValueError(f"expected a port, got {value!r}")
    return value


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"expected a list of names, got {value!r}")
    return value


@dataclass(frozen=True, slots=True)
class Region:
    """A place where jobs run; names the parts that serve it. Configuration and arguments win over it.

    `name` is also sent as x-acs-region-id; `host`, `port` (None: the scheme's own) and `scheme` make the endpoint; `transport`
    and `credential_provider` are names that plugins registered; `aliases` are further spellings of the name. `details`: the
    service answers the operations beyond the API, such as `Client.get_job_details`. `declared` is False for a URL of its own,
    whose service may know more than the reference. `oss_endpoint` is the URL of its OSS; None if that is not known.
    """

    name: str
    host: str
    scheme: str = "https"
    port: int | None = None
    transport: str = "urllib3"
    credential_provider: str | None = None
    ranges: Ranges = field(default_factory=Ranges)
    idempotent_tokens: bool = False
    aliases: tuple[str, ...] = ()
    declared: bool = True
    details: bool = False
    oss_endpoint: str | None = None
    endpoint: Endpoint = field(init=False, repr=False, compare=False)
    """The endpoint of its requests."""

    def __post_init__(self) -> None:
        port = self.port if self.port is not None else {"http": 80, "https": 443}.get(self.scheme, 0)
        object.__setattr__(self, "endpoint", Endpoint(self.scheme, self.host, port, self.name, self.transport))

    def learn(self, ranges: Ranges) -> Region:
        """Return the region as its service describes it. The OSS endpoint is on the host of the API, with its scheme."""
        oss = self.oss_endpoint
        if oss is None and ranges.objects_port is not None:
            host = f"[{self.host}]" if ":" in self.host else self.host
            oss = f"{self.scheme}://{host}:{ranges.objects_port}"
        return replace(self, ranges=ranges, declared=True, oss_endpoint=oss)


def _oss(region: str) -> str:
    """Return the OSS endpoint of a region of the cloud, by OSS's rule for its hosts."""
    return f"https://oss-{region}.aliyuncs.com"


# Protocol 1.1 (hosts); HTTPS unless a URL says otherwise.
CLOUD_REGIONS = (
    Region("cn-qingdao", CN_QINGDAO, oss_endpoint=_oss("cn-qingdao")),
    Region("cn-shenzhen", CN_SHENZHEN, oss_endpoint=_oss("cn-shenzhen")),
    Region(
        "cn-hangzhou",
        CN_HANGZHOU,
        aliases=("batchcompute.cn-hangzhou.aliyuncs.com",),
        oss_endpoint=_oss("cn-hangzhou"),
    ),
)


def find_region(text: str, regions: Iterable[Region]) -> Region:
    """Return the region that a domain, a region id or a URL stands for (reference section 2: `endpoint`).

    A URL or domain that no region has makes a region of its own, with the reference's ranges. Raises ConfigError.
    """
    known: dict[str, Region] = {}
    for region in regions:
        for name in (region.name, region.host, *region.aliases):
            known.setdefault(name.lower(), region)
    wanted = text.strip().lower().rstrip("/")
    if wanted in known:
        return known[wanted]
    if wanted.replace("_", "-") in known:
        return known[wanted.replace("_", "-")]
    if "://" in wanted or "." in wanted or ":" in wanted:
        return _from_url(text.strip(), known)
    names = sorted({region.name for region in known.values()})
    raise ConfigError(
        f"endpoint {text!r} is not a region, a domain or a URL{did_you_mean(wanted, known)}; regions: {', '.join(names)}"
        + ("" if "local" in known else f"; region local needs its service; {advise('local')}")
    )


_HOST = re.compile(r"[^\s/?#@\\<>\"'|^`{}]+")  # urllib3 refuses the others, but only when it is called


def _from_url(text: str, known: dict[str, Region]) -> Region:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"endpoint {text!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or not _HOST.fullmatch(host):
        raise ConfigError(f"endpoint {text!r} needs a host, and the scheme http or https")
    if parts.username or parts.password:
        raise ConfigError("endpoint: credentials do not belong into a URL; pass access_key_id and access_key_secret")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(f"endpoint {text!r}: only scheme, host and port are used, the rest has no meaning here")
    base = known.get(host)
    if base is not None and base.scheme in ("http", "https") and base.port in (None, port):  # its port is all it has
        return replace(base, host=host, scheme=parts.scheme, port=port)
    labels = host.split(".")
    official = len(labels) == 4 and labels[0] == "batchcompute" and labels[2:] == ["aliyuncs", "com"]
    if not official:
        return Region("custom", host, parts.scheme, port, declared=False)
    return Region(labels[1], host, parts.scheme, port, oss_endpoint=_oss(labels[1]))
