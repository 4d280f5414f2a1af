"""Where this package keeps its files in the data folder."""

from __future__ import annotations

from pathlib import Path

from batchcompute_local.paths import Layout


def folder_of(layout: Layout) -> Path:
    """Return the folder, mode 0700, made if it is absent. Raises OSError."""
    layout.create()
    folder = layout.root / "dask"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
