"""The last line of a failed attempt's stderr: why it ended, where, and as which attempt. Standard library only."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from batchcompute_local.files import open_regular
from batchcompute_local.records import ExitRecord, describe_leftovers


def has_exit_message(record: ExitRecord) -> bool:
    """Return whether there is one: the program failed, or left something."""
    return not _has_succeeded(record) or bool(record.leftovers)


def _has_succeeded(record: ExitRecord) -> bool:
    return record.code == 0 and not record.reason


def write_exit_message(path: str, record: ExitRecord, timeout: float) -> None:
    """Append it to the file at `path`, unless the program of the exit `record` succeeded and left nothing.

    Never raises: a disk that is full must not keep the record from being written.
    """
    if not has_exit_message(record):
        return
    number = record.attempt.rpartition(".")[2]
    seconds = max(0.0, record.ended - record.started)
    text = f"batchcompute: {_why(record, timeout)} after {seconds:.3g} s, attempt {number} on {record.host}\n"
    if record.leftovers:
        text = f"batchcompute: {describe_leftovers(record)}\n{'' if _has_succeeded(record) else text}"
    with suppress(OSError):
        file = open_regular(path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(file).st_size
            begun = size and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, (f"\n{text}" if begun else text).encode("utf-8", "replace"))
        finally:
            os.close(file)


def start_exit_message(path: str, record: ExitRecord, timeout: float) -> int:
    """Append it in a process of its own, since the file may never answer; return its pid, 0 if there is none."""
    try:
        pid = os.fork()
    except OSError:
        return 0
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # what the runner holds ends with the runner
            write_exit_message(path, record, timeout)
        finally:
            os._exit(0)
    return pid


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
