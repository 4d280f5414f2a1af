"""Who may talk to the cluster: certificates for Dask. Imports distributed."""

from __future__ import annotations

from distributed import Security


def make_security(ca_file: str, certificate: str, key: str) -> Security | None:
    """Return what client, scheduler and worker use; None without TLS. An empty `key` is in the file of the certificate."""
    if not ca_file:
        return None
    roles = ("client", "scheduler", "worker")
    files = {f"tls_{role}_cert": certificate for role in roles}
    files |= {f"tls_{role}_key": key for role in roles if key}
    return Security(require_encryption=True, tls_ca_file=ca_file, **files)
