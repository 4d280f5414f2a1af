"""The epoch of a bridge: a number larger than that of every bridge before, for ever. Nodes obey the largest that they saw."""

from __future__ import annotations

import os
import time

from batchcompute_local.files import fsync_folder
from batchcompute_local.paths import Layout

from batchcompute_dask.folder import folder_of


def next_epoch(layout: Layout) -> int:
    """Return the next epoch, which is on the disk. Raises OSError.

    It is not below the clock's seconds, so that a data folder from a backup does not have an earlier one again.
    """
    folder = folder_of(layout)
    path, part = folder / "epoch", folder / "epoch.part"
    try:
        with open(path) as file:
            last = int(file.read(20))
    except (FileNotFoundError, ValueError):  # a crash of the machine may leave it empty
        last = 0
    epoch = max(last + 1, int(time.time()))
    with open(part, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(str(epoch))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    fsync_folder(folder)
    return epoch
