"""The access key in the keyring of the desktop; where there is none, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from batchcompute import Credentials, CredentialsError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_SERVICE = "batchcompute-example-lab"
_ENTRY = "access-key"  # id and secret are one entry, so that nobody reads one of the old and one of the new
_KEPT_SECONDS = 60.0


class KeyringProvider:
    """The provider `lab-keyring`. A keyring may be slow, so an answer is kept for a minute."""

    name = "lab-keyring"

    def __init__(self, file: str | None = None) -> None:
        """file: the path of a keyring file to use in any case; None prefers the desktop's keyring."""
        self._file = file
        self._lock = threading.Lock()
        self._kept: Credentials | None = None
        self._until = 0.0

    def get(self) -> Credentials:
        """Raises CredentialsError."""
        with self._lock:
            if self._kept is None or time.monotonic() >= self._until:
                self._kept = read(self._file)
                self._until = time.monotonic() + _KEPT_SECONDS
            return self._kept


def read(file: str | None) -> Credentials:
    """The key that was stored. Raises CredentialsError, which never shows what is in the keyring."""
    from keyring.errors import KeyringError

    backend, where = _open(file)
    try:
        text = backend.get_password(_SERVICE, _ENTRY)
    except (KeyringError, OSError, ValueError) as error:
        raise CredentialsError(f"{where} cannot be read: {type(error).__name__}") from None
    if text is None:
        raise CredentialsError(f"{where} has no key for the lab: run `batchcompute lab login`")
    try:
        key = json.loads(text)
        return Credentials(str(key["id"]), str(key["secret"]), source=where)
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(f"{where} has a key for the lab that is damaged: run `batchcompute lab login`") from None


def store(file: str | None, access_key_id: str, access_key_secret: str) -> str:
    """Keep a key; answers where it is kept now. Raises CredentialsError."""
    from keyring.errors import KeyringError

    backend, where = _open(file, create=True)
    try:
        backend.set_password(_SERVICE, _ENTRY, json.dumps({"id": access_key_id, "secret": access_key_secret}))
    except (KeyringError, OSError) as error:
        raise CredentialsError(f"{where} cannot be written: {type(error).__name__}") from None
    return where


def _open(file: str | None, create: bool = False) -> tuple[KeyringBackend, str]:
    """A keyring, and what to call it."""
    if file is None:
        import keyring

        backend = keyring.get_keyring()
        # a chain of keyrings counts as recommended though all of them are files, which may ask for a password
        if any(each.priority >= 1 for each in getattr(backend, "backends", [backend])):
            return backend, f"the keyring {backend.name}"
        import platformdirs

        file = str(platformdirs.user_data_path("batchcompute-lab") / "keyring.cfg")
    from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]  # it has no types

    path = Path(file).expanduser()
    if create:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    if path.exists() and path.stat().st_mode & 0o077:
        raise CredentialsError(f"{path} can be read by others: chmod 600 {path}")
    plain = PlaintextKeyring()
    plain.file_path = str(path)
    return plain, f"the keyring file {path}"
