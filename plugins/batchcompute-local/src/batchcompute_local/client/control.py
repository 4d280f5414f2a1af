"""Start, query, connect to and stop the daemon. Imports neither the server nor the database."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from batchcompute_local import __version__, known_state, unixsocket
from batchcompute_local.damage import DamageError
from batchcompute_local.detached import READY_FD, spawn_detached
from batchcompute_local.errors import DaemonError, SettingsError
from batchcompute_local.files import is_lock_held
from batchcompute_local.own_key import read_key
from batchcompute_local.paths import Layout, own_data_dir

START_SECONDS = 30.0
_STATUS_SECONDS = 10.0
_STOP_SECONDS = 15.0
_LOG_TAIL_BYTES = 2000


def connect(data_dir: Path) -> socket.socket:
    """Connect to the daemon. Raises FileNotFoundError or ConnectionError if none listens."""
    return unixsocket.connect(Layout.at(data_dir).socket)


def read_credentials(data_dir: Path) -> tuple[str, str]:
    """Return access key id and secret of the daemon's account.

    Raises FileNotFoundError before the first start, and DaemonError if the file is damaged or not readable.
    """
    path = Layout.at(data_dir).credentials
    try:
        return read_key(path)
    except FileNotFoundError:
        raise
    except DamageError as damage:
        cure = "the next start of the service makes a new key: `batchcompute local stop`, which leaves jobs running"
        raise DaemonError(f"{path} {damage}; {cure}") from None
    except OSError as error:
        raise DaemonError(
            f"{path} cannot be read: {error.strerror}; its owner has to be this user, its mode 0600"
        ) from None


def status(data_dir: Path) -> dict[str, Any] | None:
    """Return the daemon's status (version, pid, idle, active_jobs, containment, ...); None if no daemon answers."""
    return _ask(data_dir, "/-/status")


def ask_installation(data_dir: Path) -> dict[str, Any] | None:
    """Return the daemon's version, interpreter, prefix and plugins, as `describe_installation` does; None if it does not say."""
    found = _ask(data_dir, "/-/installation")
    return found if found is not None and isinstance(found.get("plugins"), dict) else None


def _ask(data_dir: Path, path: str) -> dict[str, Any] | None:
    try:
        with unixsocket.connect(Layout.at(data_dir).socket, _STATUS_SECONDS) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def ensure_running(data_dir: Path) -> None:
    """Start a daemon of this version, if none listens. Replace a daemon of another version if it is idle and has no port,
    and one whose interpreter or package is gone also while it is busy: its programs keep running.

    Raises DaemonError, with the end of the daemon's log, if it does not start or the folder cannot be created; also in a
    program of a job, if none listens: a program does not start the service that runs it.
    """
    layout = Layout.at(data_dir)
    if _serves(status(data_dir)):
        return
    refuse_own_service(layout)
    try:
        layout.create()
    except OSError as error:
        raise DaemonError(f"the data folder {layout.root} cannot be used: {error.strerror}") from error
    with locked(layout.start_lock):
        found = status(data_dir)
        if _serves(found):
            return
        if found is not None:
            stop(data_dir)
        _start(layout)


def refuse_own_service(layout: Layout) -> None:
    """Raise DaemonError in a program that the service of this folder runs."""
    if layout.root == own_data_dir():
        raise DaemonError(
            f"the service in {layout.root} runs this program, and only clients outside of its jobs start it; after a crash it is "
            "started again by itself"
        )


def stop(data_dir: Path) -> bool:
    """End the daemon and wait for its end. Running jobs continue. False if none was running. Raises DaemonError on a timeout."""
    layout = Layout.at(data_dir)
    found = status(data_dir)
    if found is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(int(found["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while is_locked(layout.lock):
        if time.monotonic() > deadline:
            raise DaemonError(f"the daemon (pid {found['pid']}) does not end; see {layout.log}")
        time.sleep(0.01)
    return True


def stop_for_good(data_dir: Path) -> bool:
    """Do as `stop` does. If none was running, also keep the runner from starting one that was lost."""
    layout = Layout.at(data_dir)
    if stop(data_dir):
        return True
    if not layout.runner_socket.exists():
        return False
    with locked(layout.start_lock):  # so the runner starts none meanwhile
        if stop(data_dir):
            return True
        if not is_locked(layout.lock):
            with suppress(OSError):  # a connection without an introduction has the runner forget the daemon before it
                unixsocket.connect(layout.runner_socket, _STATUS_SECONDS).close()
    return False


def _serves(found: dict[str, Any] | None) -> bool:
    if found is None:
        return False
    if found.get("url"):  # started by hand: keep it, whatever it is
        return True
    return not found.get("gone") and (found.get("version") == __version__ or not found.get("idle"))


def _start(layout: Layout) -> None:
    arguments = [*command(layout), "--detach", "--ready-fd", str(READY_FD)]
    log_start = layout.log.stat().st_size if layout.log.exists() else 0
    try:
        pid, ready = spawn_detached(arguments, known_state.environment(), layout.log, START_SECONDS)
    except OSError as error:
        cure = f"; {layout.settings} may name another one: interpreter" if arguments[0] != sys.executable else ""
        raise DaemonError(f"the daemon cannot be started with {arguments[0]}: {error.strerror}{cure}") from error
    # the daemon forks at once and its parent ends, so the caller has no child to wait for
    with suppress(ChildProcessError):
        os.waitpid(pid, 0 if ready else os.WNOHANG)
    if not ready:
        raise DaemonError(f"the daemon did not start; the end of {layout.log}:\n{_log_tail(layout.log, log_start)}")


def command(layout: Layout) -> list[str]:
    """Return the daemon's command line for this folder, without start options. Raises DaemonError."""
    # -P: import nothing from the caller's cwd; -B: write nothing outside of the folder
    return [_interpreter(layout), "-P", "-B", "-m", "batchcompute_local.daemon", "--data-dir", str(layout.root)]


def _interpreter(layout: Layout) -> str:
    if layout.settings.exists():
        from batchcompute_local.settings import read_settings  # imports tomllib, needed only here

        try:
            return read_settings(layout.settings).interpreter or sys.executable
        except SettingsError as error:
            raise DaemonError(str(error)) from error
    return sys.executable


def _log_tail(path: Path, start: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip() or "(it is empty)"
    except OSError as error:
        return f"({error})"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; wait until it is free."""
    handle = open_lock(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)  # a process forked meanwhile has the handle too
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Check if a process holds the lock file at `path`."""
    return is_lock_held(open_lock(path))


def open_lock(path: Path) -> int:
    """Open the lock file at `path`, created if absent. Raises DaemonError with the cure."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # not put aside: a process that holds the lock and one that makes another file would both own the folder
        raise DaemonError(
            f"the lock {path} cannot be used: {error.strerror}; {_lock_cure(path, error.errno)}"
        ) from None
    with suppress(OSError):
        os.fchmod(handle, 0o600)  # whatever the umask
    return handle


def _lock_cure(path: Path, number: int | None) -> str:
    if number == errno.EROFS:
        return "name a data folder that can be written with BATCHCOMPUTE_DATA_DIR"
    if number == errno.EACCES:
        return "its folder and itself have to be of this user, with the modes 0700 and 0600"
    return f"move it away: mv {path} {path}.old"
