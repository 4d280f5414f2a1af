"""Finds the cluster process of a data folder, and starts it. There is one, whatever becomes of the bridge that started it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from batchcompute_local import known_state
from batchcompute_local.daemon_log import put_long_log_aside
from batchcompute_local.detached import READY_FD, spawn_detached
from batchcompute_local.filelocks import find_holder, is_locked, locked
from batchcompute_local.paths import Layout

from batchcompute_dask.clusters import place
from batchcompute_dask.folder import folder_of
from batchcompute_dask.settings import Options

_START_SECONDS = 60.0
_END_SECONDS = 20.0
_PAUSE_SECONDS = 0.05


def find_scheduler(layout: Layout, options: Options, linger: float) -> Options:
    """Return the options with the address of the scheduler; start the cluster if they name one and it does not run.

    It ends `linger` seconds after its last client. One with other options is ended. Raises OSError, which has the end of its log.
    """
    if not options.cluster:
        return options
    wanted = {"options": asdict(options), "linger": linger}
    try:
        with locked(folder_of(layout) / "start.lock", time.monotonic() + _START_SECONDS):
            if place.read_wanted(layout) != wanted:
                end_cluster(layout)
            if not is_locked(place.lock_path(layout)):
                _start(layout, wanted, options.environment)
    except TimeoutError as error:
        raise OSError(f"the cluster is being started since {_START_SECONDS:.0f} seconds: {error}") from error
    return replace(options, scheduler=place.read_address(layout))


def _start(layout: Layout, wanted: dict[str, Any], environment: Any) -> None:
    place.write_wanted(layout, wanted)
    log = place.log_path(layout)
    put_long_log_aside(log)
    before = log.stat().st_size if log.exists() else 0
    argv = [sys.executable, "-P", "-m", "batchcompute_dask.clusters", str(layout.root), str(READY_FD)]
    pid, is_ready = spawn_detached(argv, {**known_state.environment(), **environment}, log, _START_SECONDS)
    threading.Thread(target=_reap, args=(pid,), daemon=True).start()
    if not is_ready:
        with open(log, "rb") as file:
            file.seek(before)
            lines = file.read().decode(errors="replace").splitlines()
        raise OSError(f"the cluster is not started: {lines[-1] if lines else 'it does not say why'} ({log})")


def end_cluster(layout: Layout) -> bool:
    """End the cluster, and wait for its end; False if none runs. Its nodes end their programs when their leases end."""
    end = time.monotonic() + _END_SECONDS
    found = False
    while is_locked(place.lock_path(layout)):
        pid = find_holder(place.lock_path(layout))
        if pid is not None:
            found = True
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if time.monotonic() > end else signal.SIGTERM)
        time.sleep(_PAUSE_SECONDS)
    return found


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
