"""The last line of a failed attempt's stderr: why it ended, where, and as which attempt. Standard library only."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from batchcompute_local.files import open_regular
from batchcompute_local.records import ExitRecord, describe_leftovers


def write_exit_message(path: str, record: ExitRecord, timeout: float) -> None:
    """Append it to the file at `path`, unless the program of the exit `record` succeeded and left nothing.

    Never raises: a disk that is full must not keep the record from being written.
    """
    has_succeeded = record.code == 0 and not record.reason
    if has_succeeded and not record.leftovers:
        return
    number = record.attempt.rpartition(".")[2]
    seconds = max(0.0, record.ended - record.started)
    text = f"batchcompute: {_why(record, timeout)} after {seconds:.3g} s, attempt {number} on {record.host}\n"
    if record.leftovers:
        text = f"batchcompute: {describe_leftovers(record)}\n{'' if has_succeeded else text}"
    with suppress(OSError):
        file = open_regular(path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(file).st_size
            begun = size and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, (f"\n{text}" if begun else text).encode("utf-8", "replace"))
        finally:
            os.close(file)


def _why(record: ExitRecord, timeout: float) -> str:
    if record.timed_out:
        return f"ran longer than its Timeout of {timeout:g} s allows, ended"
    if record.reason:
        return record.reason
    if record.signal is None:
        return f"ended with exit code {record.code}"
    try:
        name = signal.Signals(record.signal).name
    except ValueError:
        name = "a real-time signal"
    return f"ended by signal {record.signal} ({name})"
