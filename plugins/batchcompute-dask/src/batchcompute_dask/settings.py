"""The table `[executors.dask]` of service.toml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from batchcompute.errors import did_you_mean

_SHORTEST_LEASE = 2.0


@dataclass(frozen=True)
class Options:
    """The options, checked. Times are in seconds, paths absolute."""

    scheduler: str = ""
    """The address of a scheduler, such as `tls://host:8786`."""
    shared_files: bool = False
    """Whether the nodes see this machine's data folder and programs under the same paths."""
    insecure: bool = False
    """Whether a scheduler without TLS is allowed: everybody who reaches it may run programs as this user."""
    tls_ca_file: str = ""
    """The certificate authority of scheduler and workers (PEM)."""
    tls_cert: str = ""
    """The service's own certificate (PEM)."""
    tls_key: str = ""
    """The key of that certificate (PEM)."""
    host: str = ""
    """The address of this machine that nodes connect to; empty: the one from which it reaches the scheduler."""
    lease_seconds: float = 30.0
    """How long a node runs programs without a word of the service."""


def read_options(table: Mapping[str, Any]) -> Options:
    """Check the table. Raises ValueError that names the option and what it may be."""
    kinds = {each.name: type(each.default) for each in fields(Options)}
    for name, value in table.items():
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"unknown option {name!r}{did_you_mean(name, kinds) or '; options: ' + ', '.join(kinds)}")
        if kind is float:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name} must be a number, not {value!r}")
        elif type(value) is not kind:
            raise ValueError(f"{name} must be {'true or false' if kind is bool else 'text'}")
    options = Options(**table)
    if not options.scheduler:
        raise ValueError('it needs the address of a scheduler, such as scheduler = "tls://host:8786"')
    if options.lease_seconds < _SHORTEST_LEASE:
        raise ValueError(f"lease_seconds must be {_SHORTEST_LEASE:g} or more, not {options.lease_seconds!r}")
    _check_security(options)
    return options


def _check_security(options: Options) -> None:
    scheme = options.scheduler.partition("://")[0] if "://" in options.scheduler else "tcp"
    files = ("tls_ca_file", "tls_cert", "tls_key")
    missing = [name for name in files if not getattr(options, name)]
    if scheme == "tls":
        if missing:
            raise ValueError(f"scheduler {options.scheduler!r} speaks TLS, so {' and '.join(missing)} must be set")
    elif scheme != "tcp":
        raise ValueError(f"scheduler must begin with tls:// (or tcp://), not {scheme}://")
    elif not options.insecure:
        raise ValueError(
            f"scheduler {options.scheduler!r} has no TLS, so everybody who reaches it may run programs as this user; "
            "use tls://, or set insecure = true if nobody else reaches it"
        )
