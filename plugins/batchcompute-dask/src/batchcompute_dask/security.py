"""Who may talk to the cluster: certificates for Dask, from the options. Imports distributed."""

from __future__ import annotations

from distributed import Security

from batchcompute_dask.settings import Options


def make_security(options: Options) -> Security | None:
    """Return what the service's client connects with; None for a scheduler without TLS, which the options allow."""
    if not options.tls_ca_file:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=options.tls_ca_file,
        tls_client_cert=options.tls_cert,
        tls_client_key=options.tls_key,
    )
