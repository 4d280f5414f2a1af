"""Used nonces, kept as long as their request could be repeated.

One file for each minute in which nonces expire, 12 bytes a nonce. A used nonce is appended; the file is removed after its
minute. A write without fsync survives the end of the daemon, but not of the machine. So after a reboot, requests from
before the start are refused.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.files import fsync_folder
from batchcompute_local.procs import boot_id

MOST = 1_000_000
_log = logging.getLogger(__name__)
_BYTES = 12
_SECONDS = 60


@dataclass
class _Minute:
    seen: set[bytes]
    file: int = -1


class Nonces:
    """The used nonces. Without a `folder` they are kept in memory only. Not thread-safe: one event loop uses it.

    `floor` (epoch seconds): requests from before it may have been used already; 0 if none.
    """

    def __init__(self, folder: Path | None = None, now: float = 0.0, most: int = MOST) -> None:
        self.floor = 0.0
        self._folder = folder
        self._most = most
        self._count = 0
        self._minutes: dict[int, _Minute] = {}
        if folder is not None:
            self._open(folder, now)

    @property
    def full(self) -> bool:
        """Check if there is no room for another nonce."""
        return self._count >= self._most

    def use(self, key: str, nonce: str, until: float, now: float) -> bool:
        """Store the `nonce` of `key` until the epoch second `until`. False if it is stored already."""
        for over in [one for one in self._minutes if one < now // _SECONDS]:
            self._forget(over)
        digest = hashlib.blake2b(f"{key}\n{nonce}".encode("latin-1", "replace"), digest_size=_BYTES).digest()
        if any(digest in one.seen for one in self._minutes.values()):
            return False
        number = int(until // _SECONDS)
        minute = self._minutes.setdefault(number, _Minute(set()))
        minute.seen.add(digest)
        self._count += 1
        self._write(number, minute, digest)
        return True

    def close(self) -> None:
        """Close the files."""
        for minute in self._minutes.values():
            if minute.file >= 0:
                os.close(minute.file)
                minute.file = -1

    def _open(self, folder: Path, now: float) -> None:
        new = not folder.exists()
        folder.mkdir(mode=0o700, exist_ok=True)
        note, boot = folder / "boot", boot_id()
        if not note.exists() or note.read_text() != boot:
            if not new:
                self.floor = float(int(now))
            note.write_text(boot)
            fsync_folder(folder)
            fsync_folder(folder.parent)
        for path in folder.iterdir():
            if path.name.isdecimal():
                if int(path.name) < now // _SECONDS:
                    path.unlink()
                else:
                    self._load(path)

    def _load(self, path: Path) -> None:
        data = path.read_bytes()
        whole = len(data) - len(data) % _BYTES
        if whole < len(data):
            os.truncate(path, whole)  # a crash in the middle of a write
        seen = {data[at : at + _BYTES] for at in range(0, whole, _BYTES)}
        self._minutes[int(path.name)] = _Minute(seen)
        self._count += len(seen)

    def _write(self, number: int, minute: _Minute, digest: bytes) -> None:
        if self._folder is None:
            return
        try:
            if minute.file < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                minute.file = os.open(self._folder / str(number), flags, 0o600)
            os.write(minute.file, digest)
        except OSError as error:
            # it stays in memory; and a request that changes something needs the same disk for its commit
            _log.error("a nonce cannot be written: %s", error.strerror)

    def _forget(self, number: int) -> None:
        minute = self._minutes.pop(number)
        self._count -= len(minute.seen)
        if minute.file >= 0:
            os.close(minute.file)
        if self._folder is not None:
            (self._folder / str(number)).unlink(missing_ok=True)
