"""Reset the data folder: end the service and its programs, and remove their files. Other files stay."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from batchcompute_local import procs, unixsocket
from batchcompute_local.client import control
from batchcompute_local.client.traces import list_job_folders
from batchcompute_local.containment import list_all_processes, remove_all
from batchcompute_local.damage import DamageError
from batchcompute_local.errors import DaemonError
from batchcompute_local.filelocks import is_locked, locked
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.copies import check_database
from batchcompute_local.paths import Layout
from batchcompute_local.removal import remove_tree
from batchcompute_local.settings import read_settings

_KILL_SECONDS = 15.0
_ID_DIGITS = 8
_POLL_SECONDS = 0.01


def reset(data_dir: Path, *, force: bool = False, everything: bool = False) -> list[Path]:
    """Remove jobs, working folders, packages and logs; with `everything` objects and keys too. Return the removed paths.

    Ends running programs. Raises DaemonError while jobs are active, unless `force`, and for what cannot be removed, after
    all else is removed; OSError.
    """
    layout = Layout.at(data_dir)
    if not layout.root.exists():
        return []
    with control.keep_from_starting(data_dir):
        found = control.status(data_dir)
        _refuse(int(found["active_jobs"]) if found else 0, force)
        control.stop(data_dir)
        with owned(layout):
            _refuse(int(_ask(layout, tables.COUNT_ACTIVE, force) or 0), force)
            prefix = _ask(layout, tables.SELECT_PREFIX, force)  # else, if that is damaged, what the folders say
            end_programs(layout, prefix or next((one.name[:-_ID_DIGITS] for one in list_job_folders(layout)), ""))
            found_files = [path for path in _files(layout, everything) if os.path.lexists(path)]
            rest = [each for path in found_files for each in remove_tree(path)]
            if rest:
                raise DaemonError(f"not everything could be removed: {'; '.join(rest)}")
            return found_files


def _refuse(active: int, force: bool) -> None:
    if active and not force:
        raise DaemonError(f"{active} jobs are active; wait for them, stop them, or use --force to end their programs")


@contextmanager
def owned(layout: Layout) -> Iterator[None]:
    """Hold the lock of the data folder. Raises DaemonError while a service holds it."""
    if control.is_locked(layout.lock):
        raise DaemonError(f"a service holds {layout.lock} and does not answer; see {layout.log}")
    with locked(layout.lock):
        yield


def _ask(layout: Layout, query: str, force: bool) -> str | None:
    if not layout.database.exists():
        return None
    try:
        check_database(layout.database)  # first, since to open a damaged one changes it
        with closing(sqlite3.connect(layout.database)) as database:
            row = database.execute(query).fetchone()
            return str(row[0]) if row else None
    except (sqlite3.Error, DamageError, OSError) as error:
        if force:
            return None
        raise DaemonError(f"cannot read {layout.database} ({error}), so jobs may be active; use --force") from None


def end_programs(layout: Layout, prefix: str) -> None:
    """Send SIGTERM, then SIGKILL. End the runner last, since it also ends leftovers."""

    def signalled(number: int) -> Callable[[], bool]:
        def nothing_left() -> bool:
            found = [pid for pid, _ in procs.attempts(prefix)] if prefix else []
            found += list_all_processes(layout.groups, layout.root)
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            return not found

        return nothing_left

    if not signalled(signal.SIGTERM)():
        _until(signalled(0), read_settings(layout.settings).grace_seconds)
    ended = _until(signalled(signal.SIGKILL), _KILL_SECONDS)
    runner = _runner(layout)
    if runner is not None:
        _until(lambda: not procs.children(runner), _KILL_SECONDS)  # it ends the leftovers
        with suppress(ProcessLookupError):
            os.kill(runner, signal.SIGKILL)
    ended = ended and _until(lambda: not is_locked(layout.runner_lock), _KILL_SECONDS)
    if not _until(lambda: remove_all(layout.groups, layout.root), _KILL_SECONDS) or not ended:
        raise DaemonError("programs of the service are still running; nothing was removed")


def _runner(layout: Layout) -> int | None:
    """Return the runner's pid, by the peer credentials of its socket; None if it does not listen."""
    try:
        with unixsocket.connect(layout.runner_socket, 1.0) as sock:
            return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    except OSError:
        return None


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _files(layout: Layout, everything: bool) -> list[Path]:
    """List the service's files. Not its lock files: a process that waits for one would get a lock on a removed file."""
    names = [layout.journal.name, layout.groups.name, layout.log.name, f"{layout.log.name}.1"]
    names += [f"{path.name}{end}" for path in (layout.database, layout.kept_logs) for end in ("", "-wal", "-shm")]
    names += [path.name for path in (layout.socket, layout.programs_socket.parent, layout.runner_socket)]
    names += [path.name for path in (layout.packages, layout.attempts, layout.attempts_secret, layout.copies)]
    names += [layout.work("x").parent.name]
    if everything:
        names += [
            path.name for path in (layout.oss, layout.unsent, layout.objects_ports, layout.credentials, layout.accounts)
        ]
        names += [layout.nonces.name]
    return [layout.root / name for name in names]
