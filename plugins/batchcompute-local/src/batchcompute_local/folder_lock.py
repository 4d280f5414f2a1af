"""Who owns the data folder: one daemon, by a lock, whatever else was started for it."""

from __future__ import annotations

import fcntl
import os
import time

from batchcompute_local.client import control
from batchcompute_local.errors import DaemonError
from batchcompute_local.filelocks import describe_holder
from batchcompute_local.paths import Layout

_LOCK_SECONDS = 15.0


def take(layout: Layout) -> int | None:
    """Lock the folder; None if another daemon holds the lock and answers. Wait for a daemon that is ending."""
    handle = control.open_lock(layout.lock)
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if control.status(layout.root, deadline) is not None:
                os.close(handle)
                return None
            if time.monotonic() > deadline:
                raise DaemonError(f"{describe_holder(layout.lock)} holds {layout.lock}, and does not answer") from None
            time.sleep(0.02)


def take_for_port(layout: Layout) -> int:
    """Lock the folder; end an idle daemon without a port, and one that the runner started. Raises DaemonError for any other."""
    with control.keep_from_starting(layout.root):
        while (lock := take(layout)) is None:
            found = control.status(layout.root)
            if found is None:
                continue
            if not found.get("restarted") and (found.get("url") or not found.get("idle")):
                state = (
                    f"listens on {found['url']}" if found.get("url") else f"has {found.get('active_jobs')} active jobs"
                )
                raise DaemonError(
                    f"another service (pid {found.get('pid')}) owns {layout.root} and {state}; end it with "
                    f"`batchcompute local stop --data-dir {layout.root}`: its programs keep running, and are taken over"
                )
            control.stop(layout.root)
    return lock


def release_start_lock(lock: int) -> None:
    """Release the start lock, for the starter too: from now on the lock of the folder says that there is a daemon."""
    if lock >= 0:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
