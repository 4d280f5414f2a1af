"""The runner's journal: one record a line (`records.py`). What is not a whole record, such as a line that was torn by a
crash or a full disk, is left out. Where more is damaged than the last line, the file is kept under a dated name.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from batchcompute_local.damage import DamageError, clear_place, keep_copy, read_whole
from batchcompute_local.records import ExitRecord, JournalRecord, Pong, RunnerEvent, StartRecord, encode, read_event

_DIGITS = 18
_MOST_BYTES = 1 << 32


class Journal:
    """Append-only file of starts and exits. Opening it reads the `records` that are there; `faults` says what was left out.

    A damaged file is kept beside it, at `kept`; None if there was none. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records, self.faults, is_damaged = _read(path)
        self.kept: Path | None = None
        if is_damaged:
            self.kept = clear_place(path)
            with suppress(OSError):  # a full disk
                self.kept = self.kept or keep_copy(path)  # a copy: no crash leaves us without the good records
        self._file = self._open()
        self._torn = True  # whoever wrote last may have died in the middle of a line
        if self.faults and (self.kept or not is_damaged):
            with suppress(OSError):  # then they stay, and are left out again next time
                self.rewrite(self.records)

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


def _read(path: Path) -> tuple[list[JournalRecord], list[str], bool]:
    """Return the records, what was left out and why, and whether more is damaged than a last line that was being written."""
    records: list[JournalRecord] = []
    faults = []
    try:
        content = read_whole(path, _MOST_BYTES)
    except FileNotFoundError:
        return [], [], False
    except DamageError as damage:
        return [], [f"all of it: it {damage}"], True
    lines = content.split(b"\n")
    is_damaged = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = _read_line(line)
        except (ValueError, RecursionError) as error:
            faults.append(f"line {number}: {error}")
            is_damaged |= number < len(lines)
            continue
        if isinstance(record, StartRecord | ExitRecord):
            records.append(record)
    return records, faults, is_damaged


def _read_line(line: bytes) -> RunnerEvent | Pong:
    """Read a record. Raises ValueError also for what no database or terminal takes: such a number, half a character."""
    values = json.loads(line, parse_int=_read_int, parse_float=_read_float, parse_constant=_refuse)
    record = read_event(values)
    for name in ("attempt", "reason", "host"):
        getattr(record, name, "").encode()
    return record


def _read_int(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _read_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:_DIGITS])


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
