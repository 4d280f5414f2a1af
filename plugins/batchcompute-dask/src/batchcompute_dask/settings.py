"""The table `[executors.dask]` of service.toml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from batchcompute.errors import did_you_mean

_SHORTEST_LEASE = 2.0
LOCAL, SSH = "local", "ssh"
BATCH_SYSTEMS = ("slurm", "pbs", "lsf", "sge", "htcondor", "oar", "moab")
CLUSTERS = (LOCAL, SSH, *BATCH_SYSTEMS)
_OWN_TABLES: Mapping[str, Mapping[str, type]] = {
    LOCAL: {"slots": int, "cpu": int, "memory": int},
    SSH: {"hosts": list, "python": str, "folder": str, "slots": int, "cpu": int, "memory": int},
}
"""What the tables of clusters may have, besides those that go to dask-jobqueue."""


@dataclass(frozen=True)
class Options:
    """The options, checked. Times are in seconds, paths absolute."""

    scheduler: str = ""
    """The address of a scheduler, such as `tls://host:8786`."""
    cluster: str = ""
    """What the service starts instead: a scheduler, and workers of this kind (`CLUSTERS`)."""
    workers: int = 1
    """How many workers the service starts; 0: none, others join. Not for ssh, which has its hosts."""
    shared_files: bool = False
    """Whether the nodes see this machine's data folder and programs under the same paths."""
    insecure: bool = False
    """Whether a scheduler without TLS is allowed: everybody who reaches it may run programs as this user."""
    tls_ca_file: str = ""
    """The certificate authority of scheduler and workers (PEM); empty: the certificate in the data folder."""
    tls_cert: str = ""
    """The service's own certificate (PEM)."""
    tls_key: str = ""
    """The key of that certificate (PEM); empty: it is in the same file."""
    host: str = ""
    """The address of this machine that nodes connect to; empty: the one from which it reaches the scheduler."""
    port: int = 0
    """The port of a scheduler that the service starts; 0: any free one, which stays the same."""
    lease_seconds: float = 30.0
    """How long a node runs programs without a word of the service."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of the commands that start workers, such as PATH and SSH_AUTH_SOCK."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """The table of the cluster's kind, such as `[executors.dask.slurm]`."""


def read_options(table: Mapping[str, Any]) -> Options:
    """Check the table. Raises ValueError that names the option and what it may be."""
    values = dict(table)
    tables = {name: values.pop(name) for name in CLUSTERS if name in values}
    environment = values.pop("environment", {})
    kinds = {each.name: type(each.default) for each in fields(Options) if each.name not in ("environment", "table")}
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is None:
            names = [*kinds, "environment", *CLUSTERS]
            raise ValueError(f"unknown option {name!r}{did_you_mean(name, names) or '; options: ' + ', '.join(names)}")
        _check_kind(name, value, kind)
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise ValueError("environment maps the name of a variable to its value, both text")
    cluster = values.get("cluster", "")
    options = Options(**values, environment=environment, table=tables.get(cluster, {}))
    _check_place(options, tables)
    if options.lease_seconds < _SHORTEST_LEASE:
        raise ValueError(f"lease_seconds must be {_SHORTEST_LEASE:g} or more, not {options.lease_seconds!r}")
    _check_security(options)
    return options


def _check_kind(name: str, value: Any, kind: type) -> None:
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} must be a number, not {value!r}")
    elif kind is int:
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} must be a whole number, 0 or more, not {value!r}")
    elif kind is list:
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise ValueError(f"{name} must be a list of texts")
    elif type(value) is not kind:
        raise ValueError(f"{name} must be {'true or false' if kind is bool else 'text'}")


def _check_place(options: Options, tables: Mapping[str, Any]) -> None:
    """Check where the cluster is, or what kind is started."""
    if bool(options.scheduler) == bool(options.cluster):
        raise ValueError(
            'it needs either the address of a scheduler, such as scheduler = "tls://host:8786", or cluster = "local" (or '
            f"{', '.join(CLUSTERS[1:])}), which the service starts"
        )
    if options.cluster and options.cluster not in CLUSTERS:
        if options.cluster == "kubernetes":
            raise ValueError(
                "a cluster on Kubernetes is started by its manifests: `batchcompute dask manifests` prints them; "
                'then set scheduler = "tls://..."'
            )
        hint = did_you_mean(options.cluster, CLUSTERS) or f"; clusters: {', '.join(CLUSTERS)}"
        raise ValueError(f"unknown cluster {options.cluster!r}{hint}")
    for kind, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"{kind} must be a table of options")
        if kind != options.cluster:
            raise ValueError(f"the table of {kind} is for cluster = {kind!r}, and cluster is {options.cluster!r}")
    known = _OWN_TABLES.get(options.cluster, {})
    for name, value in options.table.items() if known else ():  # dask-jobqueue knows its own
        if name not in known:
            hint = did_you_mean(name, known) or f"; options: {', '.join(known)}"
            raise ValueError(f"unknown option {name!r} of {options.cluster}{hint}")
        _check_kind(name, value, known[name])
    if options.cluster == SSH and not options.table.get("hosts"):
        raise ValueError('cluster = \'ssh\' needs the names of its machines, such as ssh.hosts = ["node1", "node2"]')


def _check_security(options: Options) -> None:
    if bool(options.tls_ca_file) != bool(options.tls_cert) or (options.tls_key and not options.tls_cert):
        raise ValueError("tls_ca_file and tls_cert are set together, and tls_key with them if it is a file of its own")
    if options.cluster:
        if options.insecure:
            raise ValueError("insecure is for a scheduler without TLS; a cluster that the service starts has TLS")
        return
    scheme = options.scheduler.partition("://")[0] if "://" in options.scheduler else "tcp"
    if scheme not in ("tls", "tcp"):
        raise ValueError(f"scheduler must begin with tls:// (or tcp://), not {scheme}://")
    if scheme == "tcp" and not options.insecure:
        raise ValueError(
            f"scheduler {options.scheduler!r} has no TLS, so everybody who reaches it may run programs as this user; "
            "use tls://, or set insecure = true if nobody else reaches it"
        )
