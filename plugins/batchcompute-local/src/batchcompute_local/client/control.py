"""Start, query, connect to and stop the daemon. Imports neither the server nor the database."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from batchcompute.errors import RequestTimeoutError
from batchcompute_local import __version__, filelocks, known_state, unixsocket
from batchcompute_local.damage import DamageError
from batchcompute_local.detached import LOCK_FD, READY_FD, spawn_detached
from batchcompute_local.errors import DaemonError, SettingsError
from batchcompute_local.filelocks import describe_holder, find_holder
from batchcompute_local.own_key import read_key
from batchcompute_local.paths import Layout, own_data_dir

START_SECONDS = 30.0
CONNECT_SECONDS = 10.0
_STATUS_SECONDS = 10.0
_STOP_SECONDS = 15.0
_LOG_TAIL_BYTES = 2000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1


def connect(data_dir: Path, seconds: float = CONNECT_SECONDS) -> socket.socket:
    """Connect to the daemon within `seconds`; nothing on the socket has a time limit then.

    Raises FileNotFoundError or ConnectionError if none listens, and TimeoutError if it accepts no connection.
    """
    sock = unixsocket.connect(Layout.at(data_dir).socket, seconds)
    sock.settimeout(None)
    return sock


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


def status(data_dir: Path, until: float | None = None) -> dict[str, Any] | None:
    """Return the daemon's status (version, pid, idle, active_jobs, containment, ...); None if no daemon answers.

    It waits for ten seconds, or to second `until` of time.monotonic() if that comes first.
    """
    return _ask(data_dir, "/-/status", until)


def find_silent(data_dir: Path) -> str:
    """Describe the process that holds the folder as its daemon does, for when no daemon answers. Empty if there is none."""
    layout = Layout.at(data_dir)
    return describe_holder(layout.lock) if layout.lock.exists() and is_locked(layout.lock) else ""


def ask_installation(data_dir: Path) -> dict[str, Any] | None:
    """Return the daemon's version, interpreter, prefix and plugins, as `describe_installation` does; None if it does not say."""
    found = _ask(data_dir, "/-/installation")
    return found if found is not None and isinstance(found.get("plugins"), dict) else None


def ask_nodes(data_dir: Path) -> dict[str, Any]:
    """Return the nodes of the daemon's executor, and what that says of itself: {nodes, executor}; empty if there is nothing."""
    found = _ask(data_dir, "/-/nodes") or {}
    return {name: found[name] for name in ("nodes", "executor") if found.get(name)}


def _ask(data_dir: Path, path: str, until: float | None = None) -> dict[str, Any] | None:
    end = time.monotonic() + _STATUS_SECONDS
    end = end if until is None else min(end, until)
    answer = b""
    try:
        with unixsocket.connect(Layout.at(data_dir).socket, end - time.monotonic()) as sock:
            unixsocket.limit(sock, end)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
            while piece := sock.recv(65536):
                answer += piece
                unixsocket.limit(sock, end)
        head, _, body = answer.partition(b"\r\n\r\n")
        found = json.loads(body) if head.startswith(b"HTTP/1.1 200 ") else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def ensure_running(data_dir: Path, until: float | None = None) -> None:
    """Start a daemon of this version, if there is none. Replace a daemon of another version if it is idle and has no port,
    and one whose interpreter or package is gone also while it is busy: its programs keep running.

    The lock of the folder decides whether there is one: a daemon that holds it and does not answer is waited for, and no
    other is started. `until` is the second of time.monotonic() at which the wait ends, in any case after START_SECONDS. A
    start that has begun goes on then, and serves the next caller.

    Raises RequestTimeoutError at `until`, and DaemonError after START_SECONDS; both say what was waited for. Raises
    DaemonError, with the end of the daemon's log, if it does not start or the folder cannot be created; also in a program
    of a job, if there is none: a program does not start the service that runs it.
    """
    layout = Layout.at(data_dir)
    limit = time.monotonic() + START_SECONDS
    end = limit if until is None else min(limit, until)
    is_ours = end == limit
    if _serves(status(data_dir, end)):
        return
    refuse_own_service(layout)
    try:
        layout.create()
    except OSError as error:
        raise DaemonError(f"the data folder {layout.root} cannot be used: {error.strerror}") from error
    pause = _FIRST_PAUSE
    while True:
        try:
            if not is_locked(layout.lock) or status(data_dir, end) is not None:
                with locked(layout.start_lock, end) as held:
                    found = status(data_dir, end)
                    if _serves(found):
                        return
                    if found is not None:
                        stop(data_dir, end)
                    if not is_locked(layout.lock):
                        _start(layout, end, held)
                        return
            waited_for = f"{describe_holder(layout.lock)} is the service in {layout.root}, and it does not answer"
        except TimeoutError as error:
            waited_for = str(error)
        if time.monotonic() + pause >= end:
            break
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        if _serves(status(data_dir, end)):
            return
    raise _late(waited_for, is_ours)


def _late(waited_for: str, is_ours: bool) -> DaemonError | RequestTimeoutError:
    """Make the error for a wait that is over: at our own limit, or at that of the call."""
    if is_ours:
        return DaemonError(f"there is no service within {START_SECONDS:.0f} seconds: {waited_for}")
    error = RequestTimeoutError(f"there was no service in time: {waited_for}")
    error.sent = False
    return error


def refuse_own_service(layout: Layout) -> None:
    """Raise DaemonError in a program that the service of this folder runs."""
    if layout.root == own_data_dir():
        raise DaemonError(
            f"the service in {layout.root} runs this program, and only clients outside of its jobs start it; after a crash it is "
            "started again by itself"
        )


def stop(data_dir: Path, until: float | None = None) -> bool:
    """End the daemon and wait for its end, not beyond second `until` of time.monotonic(). Running jobs continue.

    False if none was running. Raises DaemonError if it does not end, or holds the folder and does not answer; TimeoutError
    at `until`.
    """
    layout = Layout.at(data_dir)
    limit = time.monotonic() + _STOP_SECONDS
    while (found := status(data_dir, min(limit, until or limit))) is None:
        if not layout.lock.exists() or not is_locked(layout.lock):
            return False
        if time.monotonic() >= min(limit, until or limit):
            pid = find_holder(layout.lock)
            cure = f"; `kill -9 {pid}` ends it, and its programs keep running" if pid else ""
            raise DaemonError(
                f"{describe_holder(layout.lock)} is the service in {layout.root}, and it does not answer{cure}"
            )
        time.sleep(_LONGEST_PAUSE)
    with suppress(ProcessLookupError):
        os.kill(int(found["pid"]), signal.SIGTERM)
    limit = time.monotonic() + _STOP_SECONDS
    while is_locked(layout.lock):
        if until is not None and time.monotonic() > min(until, limit):
            raise TimeoutError(f"the daemon (pid {found['pid']}) of another version is ending")
        if time.monotonic() > limit:
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
    with keep_from_starting(data_dir):
        if stop(data_dir):
            return True
        if not is_locked(layout.lock):
            with suppress(OSError):  # a connection without an introduction has the runner forget the daemon before it
                unixsocket.connect(layout.runner_socket, _STATUS_SECONDS).close()
    return False


@contextmanager
def keep_from_starting(data_dir: Path) -> Iterator[None]:
    """Let no client and no runner start a daemon meanwhile. Raises DaemonError if one is starting for half a minute."""
    try:
        with locked(Layout.at(data_dir).start_lock, time.monotonic() + START_SECONDS):
            yield
    except TimeoutError as error:
        raise DaemonError(f"a service is being started in {data_dir}: {error}") from error


def _serves(found: dict[str, Any] | None) -> bool:
    if found is None:
        return False
    if found.get("url"):  # started by hand: keep it, whatever it is
        return True
    return not found.get("gone") and (found.get("version") == __version__ or not found.get("idle"))


def _start(layout: Layout, end: float, held: filelocks.Held) -> None:
    """Start a daemon. It keeps the start lock until it has its own, whatever becomes of this process meanwhile."""
    arguments = [*command(layout), "--detach", "--ready-fd", str(READY_FD), "--lock-fd", str(LOCK_FD)]
    log_start = layout.log.stat().st_size if layout.log.exists() else 0
    began = time.monotonic()
    try:
        seconds = max(0.0, end - began)
        pid, ready = spawn_detached(arguments, known_state.environment(), layout.log, seconds, held.handle)
    except OSError as error:
        cure = f"; {layout.settings} may name another one: interpreter" if arguments[0] != sys.executable else ""
        raise DaemonError(f"the daemon cannot be started with {arguments[0]}: {error.strerror}{cure}") from error
    if ready is None:
        held.is_left = True
        # its parent ends, because it forks: the caller is to keep no child that has ended
        threading.Thread(target=_reap, args=(pid,), daemon=True).start()
        raise TimeoutError(f"the service in {layout.root} is starting since {time.monotonic() - began:.1f} seconds")
    _reap(pid)
    if not ready:
        raise DaemonError(f"the daemon did not start; the end of {layout.log}:\n{_log_tail(layout.log, log_start)}")


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


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
def locked(path: Path, until: float | None = None) -> Iterator[filelocks.Held]:
    """Hold the lock file at `path`; wait until it is free. Raises DaemonError, and TimeoutError as `filelocks.locked`."""
    os.close(open_lock(path))
    with filelocks.locked(path, until) as held:
        yield held


def is_locked(path: Path) -> bool:
    """Check if a process holds the lock file at `path`. Raises DaemonError."""
    os.close(open_lock(path))
    return filelocks.is_locked(path)


def open_lock(path: Path) -> int:
    """Open the lock file at `path`, created if absent. Raises DaemonError with the cure."""
    try:
        return filelocks.open_lock(path)
    except OSError as error:
        # not put aside: a process that holds the lock and one that makes another file would both own the folder
        raise DaemonError(
            f"the lock {path} cannot be used: {error.strerror}; {_lock_cure(path, error.errno)}"
        ) from None


def _lock_cure(path: Path, number: int | None) -> str:
    if number == errno.EROFS:
        return "name a data folder that can be written with BATCHCOMPUTE_DATA_DIR"
    if number == errno.EACCES:
        return "its folder and itself have to be of this user, with the modes 0700 and 0600"
    return f"move it away: mv {path} {path}.old"
