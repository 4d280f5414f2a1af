"""The processes of a service."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from batchcompute_local.executors.base import Event

E = TypeVar("E")


def find_processes(root: Path, module: bytes) -> Iterator[int]:
    """Yield the processes that run `module` for the data folder `root`, by their command lines."""
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit():
                words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
                if os.fsencode(root) in words and any(module in word for word in words):
                    yield int(name)


def find_runner(root: Path) -> int | None:
    """Return the pid of the runner of the data folder `root`; None if absent."""
    return next(find_processes(root, b"batchcompute_local.runner"), None)


def next_event(events: queue.SimpleQueue[Event], kind: type[E]) -> E:
    """Return the next event of a kind; others before it are left out."""
    while not isinstance(event := events.get(timeout=30), kind):
        pass
    return event
