"""The attempt file: the file by which a program of a job reaches the service that runs it.

It has the socket of the service, the folder of the objects and the access key of the attempt. The key is computed from the
name of the attempt and a secret of the service, so the service stores none of them.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import re
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Protocol

from batchcompute_local.damage import DamageError, clear_place, put_aside, read_whole
from batchcompute_local.files import open_regular
from batchcompute_local.paths import Layout

_KEY_BYTES = 32
_MOST_BYTES = 64 << 10
_ID = re.compile(r"ATTEMPT\.([0-9]{1,18})\.([A-Za-z0-9._-]{1,200})", re.ASCII)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class AttemptFile:
    """The content of an attempt file. Paths are absolute; `objects` is empty where the objects are not files of this machine."""

    socket: str
    objects: str
    access_key_id: str
    access_key_secret: str = field(repr=False)


class AttemptKeys:
    """The access keys of attempts: id and secret follow from owner and name. `secret` is the service's."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, layout: Layout) -> AttemptKeys:
        """Return the keys of this service. Create its secret, a file of mode 0600, if it is absent or torn. Raises OSError.

        A damaged one is put aside: programs that run now have keys of the old secret, and cannot reach the service any more.
        """
        path = layout.attempts_secret
        with suppress(FileNotFoundError):
            try:
                secret = read_whole(path)
            except DamageError:
                secret = b"damaged"
            if len(secret) == _KEY_BYTES:
                return cls(secret)
            if secret:  # after a crash of the machine it may be empty
                put_aside(path)
        secret = secrets.token_bytes(_KEY_BYTES)
        part = path.with_suffix(".part")  # only the daemon, which owns the folder, is here
        clear_place(part)
        part.unlink(missing_ok=True)
        _write(str(part), secret)
        part.replace(path)
        return cls(secret)

    def make(self, owner: int, attempt: str) -> tuple[str, str]:
        """Return access key id and secret of an attempt of `owner`."""
        key = f"ATTEMPT.{owner}.{attempt}"
        return key, hmac.digest(self._secret, key.encode(), "sha256").hex()

    @staticmethod
    def parse(access_key_id: str) -> tuple[int, str] | None:
        """Return owner and attempt of such an id; None for an id of another kind."""
        found = _ID.fullmatch(access_key_id)
        return (int(found[1]), found[2]) if found else None


class Keys(Protocol):
    """Where the access keys of attempts come from."""

    def make(self, owner: int, attempt: str) -> tuple[str, str]:
        """Return access key id and secret of an attempt of `owner`."""


class AttemptFiles:
    """The attempt files of a data folder, one for each running attempt. Thread-safe."""

    def __init__(self, layout: Layout, keys: Keys | None = None) -> None:
        """`keys`: those of this data folder if None."""
        self._keys = keys or AttemptKeys.of(layout)
        self._folder = str(layout.attempts)
        layout.attempts.mkdir(mode=0o700, exist_ok=True)
        self._places = {"socket": str(layout.programs_socket), "objects": str(layout.oss) if layout.has_objects else ""}

    def path(self, attempt: str) -> str:
        """Return the path of the file of `attempt`."""
        return f"{self._folder}/{attempt}"

    def write(self, owner: int, attempt: str) -> None:
        """Write the file of an attempt that begins. Raises OSError."""
        key, secret = self._keys.make(owner, attempt)
        # without fsync: after a crash of the machine nothing of the attempt runs any more
        text = json.dumps({**self._places, "access_key_id": key, "access_key_secret": secret}).encode()
        path = self.path(attempt)
        try:
            _write(path, text)
        except FileExistsError:
            os.unlink(path)
            _write(path, text)

    def remove(self, attempt: str) -> None:
        """Remove the file of an attempt that is over. Nothing happens if it is absent."""
        with suppress(OSError):
            os.unlink(self.path(attempt))

    def tidy(self, live: Collection[str]) -> None:
        """Remove all files but those of the attempts `live`: a service that was killed leaves files."""
        for name in os.listdir(self._folder):
            if name not in live:
                self.remove(name)


def read_attempt_file(path: str) -> AttemptFile:
    """Read an attempt file. Raises OSError, and ValueError if it is not one; no message contains a part of the file."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        text = file.read(_MOST_BYTES)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    names = [each.name for each in fields(AttemptFile)]
    if not isinstance(values, Mapping) or not all(isinstance(values.get(name), str) for name in names):
        raise ValueError("it is not an attempt file")
    return AttemptFile(**{name: values[name] for name in names})


def _write(path: str, content: bytes) -> None:
    handle = os.open(path, _FLAGS, 0o600)
    try:
        if os.write(handle, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(handle)
