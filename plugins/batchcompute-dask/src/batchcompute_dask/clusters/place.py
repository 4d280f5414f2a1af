"""What is known of the cluster of a data folder: where its scheduler is, and what it was started with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchcompute_local.damage import clear_place
from batchcompute_local.paths import Layout

from batchcompute_dask.folder import folder_of


def lock_path(layout: Layout) -> Path:
    """Return the lock that the cluster process holds while it lives."""
    return folder_of(layout) / "cluster.lock"


def log_path(layout: Layout) -> Path:
    """Return the log of the cluster process."""
    return folder_of(layout) / "cluster.log"


def read_address(layout: Layout) -> str:
    """Return the latest address of the scheduler; "" if there was none."""
    return str(_read(layout, "scheduler.json").get("address", ""))


def read_dashboard(layout: Layout) -> str:
    """Return the address of its dashboard; "" if there was none."""
    return str(_read(layout, "scheduler.json").get("dashboard", ""))


def write_address(layout: Layout, address: str, dashboard: str) -> None:
    """Keep it, for the next scheduler too, and for workers that are started by hand. Raises OSError."""
    _write(layout, "scheduler.json", {"address": address, "dashboard": dashboard})


def read_wanted(layout: Layout) -> dict[str, Any]:
    """Return what the cluster was started with; empty if it never was."""
    return _read(layout, "cluster.json")


def write_wanted(layout: Layout, wanted: Mapping[str, Any]) -> None:
    """Keep it for the process that is being started. Raises OSError."""
    _write(layout, "cluster.json", wanted)


def read_jobs(layout: Layout) -> dict[str, str]:
    """Return the jobs of a batch system by the names of their workers."""
    return {str(name): str(job) for name, job in _read(layout, "jobs.json").items()}


def write_jobs(layout: Layout, jobs: Mapping[str, str]) -> None:
    """Keep them: the next process takes them over. Raises OSError."""
    _write(layout, "jobs.json", jobs)


def _read(layout: Layout, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder_of(layout) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a crash of the machine may leave it empty
        return {}
    return found if isinstance(found, dict) else {}


def _write(layout: Layout, name: str, values: Mapping[str, Any]) -> None:
    path = folder_of(layout) / name
    part = path.with_suffix(".part")
    clear_place(part)
    with open(part, "w", encoding="utf-8", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
