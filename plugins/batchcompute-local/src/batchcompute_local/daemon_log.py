"""The log of the daemon: one line for each record, in a file that is put aside when it is long and a daemon starts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from batchcompute_local.damage import clear_place
from batchcompute_local.foreground import ForegroundHandler
from batchcompute_local.paths import Layout

_LOG_BYTES = 10 << 20
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class _OneLine(logging.Formatter):
    """Escapes control characters: foreign text must not look like a log line, or move a terminal's cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return super().formatMessage(record).translate(_CONTROLS)


def start_log(layout: Layout, to_stderr: bool) -> None:
    """Log to the file of the data folder, and to standard error if that is not the file. Raises OSError."""
    put_long_log_aside(layout.log)
    os.close(os.open(layout.log, os.O_WRONLY | os.O_CREAT, 0o600))
    handlers: list[logging.Handler] = [logging.FileHandler(layout.log, encoding="utf-8", errors="backslashreplace")]
    if to_stderr:
        handlers.append(ForegroundHandler())
    for handler in handlers:
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers)


def put_long_log_aside(log: Path) -> None:
    """Rename a long log to NAME.1, before a process begins that writes it. Raises OSError."""
    clear_place(log)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        before = log.with_name(f"{log.name}.1")
        clear_place(before)
        log.replace(before)
