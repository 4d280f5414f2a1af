"""Used nonces, kept as long as their request could be repeated.

One file for each minute in which nonces expire, 12 bytes a nonce. A used nonce is appended; the file is removed after its
minute. A write without fsync survives the end of the daemon, but not of the machine. So after a reboot, requests from
before the first start are refused. How long ago that was is measured by the machine's uptime, which nobody sets: the clock
may have been wrong then, and may be put right at any time. For the same reason a nonce is kept for a window of uptime too.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.clocks import uptime
from batchcompute_local.files import fsync_folder
from batchcompute_local.procs import boot_id

MOST = 1_000_000
_log = logging.getLogger(__name__)
_BYTES = 12
_SECONDS = 60
WINDOW_SECONDS = 15 * 60
"""How far the Date of a request may be off."""


@dataclass
class _Minute:
    seen: set[bytes]
    used: float
    """Uptime of the machine at the last use, in seconds."""
    file: int = -1


class Nonces:
    """The used nonces. Without a `folder` they are kept in memory only. Not thread-safe: one event loop uses it."""

    def __init__(
        self, folder: Path | None = None, now: float = 0.0, most: int = MOST, uptime: Callable[[], float] = uptime
    ) -> None:
        self._started: float | None = None
        self._uptime = uptime
        self._folder = folder
        self._most = most
        self._count = 0
        self._minutes: dict[int, _Minute] = {}
        if folder is not None:
            self._open(folder, now)

    def floor(self, now: float) -> float:
        """Return the epoch second of the first start after a reboot, by the clock that says `now`; 0 if there is none.

        Requests from before it may have been used already.
        """
        return 0.0 if self._started is None else float(int(now - (self._uptime() - self._started)))

    @property
    def full(self) -> bool:
        """Check if there is no room for another nonce."""
        return self._count >= self._most

    def use(self, key: str, nonce: str, until: float, now: float) -> bool:
        """Store the `nonce` of `key` until the epoch second `until`. False if it is stored already."""
        # the clock may be ahead for a while: what it lets expire is kept until it has expired by the uptime too
        kept = self._uptime() - WINDOW_SECONDS - _SECONDS
        for over in [one for one, minute in self._minutes.items() if one < now // _SECONDS and minute.used < kept]:
            self._forget(over)
        digest = hashlib.blake2b(f"{key}\n{nonce}".encode("latin-1", "replace"), digest_size=_BYTES).digest()
        if any(digest in one.seen for one in self._minutes.values()):
            return False
        number = int(until // _SECONDS)
        minute = self._minutes.setdefault(number, _Minute(set(), 0.0))
        minute.used = self._uptime()
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
        note = folder / "boot"
        rebooted = not _is_of_this_boot(note)
        self._started = self._read_start(note, new)
        for path in folder.iterdir():
            if not path.name.isdecimal():
                continue
            if rebooted and int(path.name) < now // _SECONDS:
                path.unlink()
            else:  # also what has expired by the clock, which may be ahead; `use` forgets it in time
                self._load(path)

    def _read_start(self, note: Path, new: bool) -> float | None:
        """Return the uptime of the first start after the reboot; None where no request can have been used before it."""
        if _is_of_this_boot(note):
            started = note.read_text().partition(" ")[2]
            return float(started) if started else None
        first = None if new else self._uptime()
        note.write_text(boot_id() if first is None else f"{boot_id()} {first:.1f}")
        fsync_folder(note.parent)
        fsync_folder(note.parent.parent)
        return first

    def _load(self, path: Path) -> None:
        data = path.read_bytes()
        whole = len(data) - len(data) % _BYTES
        if whole < len(data):
            os.truncate(path, whole)  # a crash in the middle of a write
        seen = {data[at : at + _BYTES] for at in range(0, whole, _BYTES)}
        self._minutes[int(path.name)] = _Minute(seen, self._uptime())
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


def _is_of_this_boot(note: Path) -> bool:
    """Check if the service was started since the last boot. A damaged note counts as one of another boot."""
    try:
        known, _, started = note.read_bytes().decode("ascii", "replace").partition(" ")
        float(started or 0)
    except (FileNotFoundError, ValueError):
        return False
    return known == boot_id()
