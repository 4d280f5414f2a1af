"""The certificate of a cluster: one file for scheduler, nodes and service. Who has it may run programs as this user."""

from __future__ import annotations

import datetime
import os
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from batchcompute_local.paths import Layout

from batchcompute_dask.folder import folder_of
from batchcompute_dask.settings import Options

_YEARS = 10
_SKEW = datetime.timedelta(days=1)
"""The clocks of other machines may be behind."""


def certificate_path(layout: Layout) -> Path:
    """Return where the certificate is, or would be."""
    return layout.root / "dask" / "cluster.pem"


def ensure_certificate(layout: Layout) -> Path:
    """Return the certificate with its key, a PEM file of mode 0600; make it if it is absent. Raises OSError."""
    path = certificate_path(layout)
    if not path.exists():
        part = folder_of(layout) / f"cluster.{secrets.token_hex(4)}.part"
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(_make())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster: all use its one
            os.link(part, path)
        part.unlink()
    return path


def with_certificate(layout: Layout, options: Options) -> Options:
    """Return the options with the files of this certificate, unless they name others or want none. Raises OSError."""
    if options.tls_ca_file or not (options.cluster or options.scheduler.startswith("tls://")):
        return options
    path = str(ensure_certificate(layout))
    return replace(options, tls_ca_file=path, tls_cert=path)


def _make() -> bytes:
    """Return a certificate, which is its own authority, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "batchcompute-dask")])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
