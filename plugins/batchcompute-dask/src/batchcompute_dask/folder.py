"""Where this package keeps its files in the data folder."""

from __future__ import annotations

from pathlib import Path

from batchcompute_local.damage import clear_place
from batchcompute_local.paths import Layout

_LOG_BYTES = 10 << 20


def folder_of(layout: Layout) -> Path:
    """Return the folder, mode 0700, made if it is absent. Raises OSError."""
    layout.create()
    folder = layout.root / "dask"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def put_long_log_aside(log: Path) -> None:
    """Rename a long log to NAME.1 before a process begins that writes it, as the daemon does with its own. Raises OSError."""
    clear_place(log)
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        before = log.with_name(f"{log.name}.1")
        clear_place(before)
        log.replace(before)
