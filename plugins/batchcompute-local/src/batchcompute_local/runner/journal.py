"""The runner's journal: one record a line (`records.py`). What is not a whole record, such as a line that was torn by a
crash or a full disk, is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from batchcompute_local.records import ExitRecord, JournalRecord, StartRecord, encode, read_event


class Journal:
    """Append-only file of starts and exits. Opening it reads the `records` that are there; `faults` says what was left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records, self.faults = _read(path)
        self._file = self._open()
        self._torn = True  # whoever wrote last may have died in the middle of a line

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._file).st_size

    def append(self, records: Iterable[JournalRecord]) -> None:
        """Write `records`: they outlive this process, and the machine's next fall after a `sync`. Raises OSError."""
        data = b"".join(map(encode, records))
        if self._torn:
            data = b"\n" + data
        self._torn = True
        while data:
            data = data[os.write(self._file, data) :]
        self._torn = False

    def sync(self) -> None:
        """Have on the disk what was written. Raises OSError."""
        os.fdatasync(self._file)

    def clear(self) -> None:
        """Nothing in it is wanted any more."""
        os.ftruncate(self._file, 0)

    def rewrite(self, records: Iterable[JournalRecord]) -> None:
        """Have only `records` in it, whatever happens meanwhile. Raises OSError, then the old content stays."""
        old, new = self._file, self._path.with_suffix(".new")
        self._file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            self.append(records)
            self.sync()
            os.replace(new, self._path)
        except OSError:
            os.close(self._file)
            self._file, self._torn = old, True
            raise
        os.close(old)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _read(path: Path) -> tuple[list[JournalRecord], list[str]]:
    records: list[JournalRecord] = []
    faults = []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = read_event(json.loads(line))
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        if isinstance(record, StartRecord | ExitRecord):
            records.append(record)
    return records, faults
