"""Spawners: each sits in a cgroup of its own and starts the programs of a slot there, one after the other.

So a program is born in the group, at the price of `posix_spawn`: to fork this process into a group would cost a copy of
its memory for each program, and to move a program takes milliseconds. The end of a program is reported over a pipe. If a
spawner is killed, its program becomes a child of the runner, a subreaper, which then learns itself how it ends.
"""

from __future__ import annotations

import ctypes
import errno
import marshal
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from batchcompute_local.containment import (
    is_populated,
    kill_group,
    list_processes,
    list_subgroups,
    remove_group,
    start_in,
)
from batchcompute_local.records import Order
from batchcompute_local.runner.spawn import spawn_program

_REPORT = struct.Struct("=ii")
_LENGTH = struct.Struct("=I")
_CHECK_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_END_SECONDS = 2.0
_POLL_SECONDS = 0.001


class Spawner:
    """A process in `group`, which starts programs there. Raises OSError if it cannot be started."""

    def __init__(self, group: Path, reports: int) -> None:
        self.group = group
        self.is_usable = True
        self._patience = 0.0
        group.mkdir()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                self.pid = start_in(group, lambda: _work(theirs, reports), keep=(theirs.fileno(), reports))
            ours.settimeout(_CHECK_SECONDS)
            self._channel = ours
            self._folder = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._processes = os.open(group / "cgroup.procs", os.O_RDONLY | os.O_CLOEXEC)
            self._alone = b"%d\n" % self.pid
        except OSError:
            kill_group(group)
            raise

    def spawn(self, order: Order) -> int:
        """Start the program of `order`, with the limits on message queues of this process; return its pid.

        Raises OSError, ValueError as `spawn_program`; OSError with EAGAIN if the spawner is gone.
        """
        limits = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        arguments = (order.argv, order.cwd, dict(order.environment), order.stdout, order.stderr)
        self._patience = time.monotonic() + _ANSWER_SECONDS
        try:
            _send(self._channel, (limits, arguments))
            pid, fault = _receive(self._channel, self._check)
        except (OSError, EOFError) as error:
            self.end()
            raise OSError(errno.EAGAIN, f"the spawner in {self.group} is gone: {error}") from None
        if pid:
            return int(pid)
        raise ValueError(fault) if isinstance(fault, str) else OSError(*fault)

    def _check(self) -> None:
        """Raise EOFError if the spawner cannot answer: a program has stopped it, or a file that it opens gives no answer."""
        if time.monotonic() >= self._patience:
            raise EOFError(f"it does not answer for {_ANSWER_SECONDS:g} seconds")
        with open(f"/proc/{self.pid}/stat", "rb") as file:
            is_stopped = file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        if is_stopped or b"frozen 1" in (self.group / "cgroup.events").read_bytes():
            raise EOFError("it is stopped")

    def list_others(self) -> list[int]:
        """Return the processes in the group without the spawner."""
        return [pid for pid in list_processes(self.group) if pid != self.pid]

    def is_empty(self) -> bool:
        """Return whether no process but the spawner is in the group."""
        if not self.is_usable:
            return not is_populated(self.group)
        if os.pread(self._processes, 64, 0) != self._alone:
            return not self.list_others()
        return os.fstat(self._folder).st_nlink == 2 or not self.list_others()  # 2: no group below it

    def kill(self) -> None:
        """Send SIGKILL to all processes in the group, the spawner too."""
        self.is_usable = False
        kill_group(self.group)

    def end(self) -> None:
        """Kill all processes in the group, and wait a while until they have ended."""
        deadline = time.monotonic() + _END_SECONDS
        self.kill()
        while is_populated(self.group) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Close the files of this spawner, which has ended."""
        self.is_usable = False
        self._channel.close()
        os.close(self._folder)
        os.close(self._processes)


class Spawners:
    """The spawners of one runner. `folder` is its folder of groups; None: programs are children of the runner in no group."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._idle: list[Spawner] = []
        self._abandoned: list[Path] = []
        self._numbers = count(1)
        self.pids: dict[int, Spawner] = {}
        self.reports, self._write_end = os.pipe()
        """The pipe that has the ends of programs."""
        os.set_blocking(self.reports, False)

    def spawn(self, order: Order) -> tuple[int, Spawner | None]:
        """Start the program of `order`; return its pid, and the spawner in whose group it is. Raises OSError, ValueError."""
        spawner = self._take()
        if spawner is None:
            return spawn_program(order.argv, order.cwd, order.environment, order.stdout, order.stderr), None
        try:
            return spawner.spawn(order), spawner
        except BaseException:
            self.release(spawner)
            raise

    def read_reports(self) -> list[tuple[int, int]]:
        """Return pid and exit code (the negative signal) of programs that have ended since the last call."""
        try:
            return list(_REPORT.iter_unpack(os.read(self.reports, _REPORT.size * 4096)))
        except BlockingIOError:
            return []

    def note_end(self, pid: int) -> None:
        """Note that the child `pid` of this process has ended, which may be a spawner."""
        spawner = self.pids.pop(pid, None)
        if spawner is not None:
            spawner.close()

    def release(self, spawner: Spawner) -> None:
        """Have `spawner` start other programs, as its group is empty; remove the group if it cannot."""
        self._remove_abandoned()
        if spawner.is_usable and spawner.is_empty() and all(map(remove_group, list_subgroups(spawner.group))):
            self._idle.append(spawner)
        else:
            self._abandon(spawner)

    def close(self) -> None:
        """End all spawners and remove their groups."""
        for spawner in [*self.pids.values()]:
            spawner.end()
            with suppress(ChildProcessError):
                os.waitpid(spawner.pid, os.WNOHANG)  # one that hangs in a system call is not waited for
            self.note_end(spawner.pid)
            self._abandoned.append(spawner.group)
        self._remove_abandoned()

    def _take(self) -> Spawner | None:
        while self._idle:
            spawner = self._idle.pop()
            if spawner.is_usable:
                return spawner
            self._abandon(spawner)
        return self._make(self._folder) if self._folder is not None else None

    def _make(self, folder: Path) -> Spawner | None:
        group = next(group for number in self._numbers if not (group := folder / str(number)).exists())
        try:
            folder.mkdir(exist_ok=True)
            spawner = Spawner(group, self._write_end)
        except OSError as error:
            sys.stderr.write(f"runner: a program begins without a cgroup, as none can be made: {error}\n")
            self._abandoned.append(group)
            return None
        self.pids[spawner.pid] = spawner
        return spawner

    def _abandon(self, spawner: Spawner) -> None:
        spawner.kill()
        self._abandoned.append(spawner.group)
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        if self._abandoned:
            self._abandoned = [group for group in self._abandoned if not remove_group(group)]


def _work(channel: socket.socket, reports: int) -> None:
    """Start programs as the runner asks, until it is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    set_title(b"batchcompute spawner")
    while True:
        limits, arguments = _receive(channel)
        pid = 0
        try:
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, limits)
            pid = spawn_program(*arguments)
            answer: tuple[int, object] = pid, None
        except OSError as error:
            answer = 0, (error.errno, error.strerror, error.filename)
        except ValueError as error:
            answer = 0, str(error)
        _send(channel, answer)
        if pid:
            _report_end(pid, reports)


def set_title(title: bytes) -> None:
    """Change what process lists show as this process's command line, which is a copy of the runner's."""
    with open("/proc/self/stat", "rb") as file:
        start, end = map(int, file.read().rpartition(b")")[2].split()[45:47])
    if end > start > 0:
        ctypes.memmove(start, title.ljust(end - start, b"\0")[: end - start - 1] + b"\0", end - start)


def _report_end(pid: int, reports: int) -> None:
    # reaped after the report: if this process is killed before, the runner gets it as its own child
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None  # noqa: S101  # for mypy: only WNOHANG gives None
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    os.write(reports, _REPORT.pack(pid, code))
    os.waitpid(pid, 0)


def _send(channel: socket.socket, message: Any) -> None:
    data = marshal.dumps(message)
    channel.sendall(_LENGTH.pack(len(data)) + data)


def _receive(channel: socket.socket, check: Callable[[], None] | None = None) -> Any:
    """Receive what the other side sent; call `check` when that takes long. Raises EOFError if it is gone, OSError."""
    data = b""
    while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
        try:
            more = channel.recv(1 << 18)
        except TimeoutError:
            if check is not None:
                check()
            continue
        if not more:
            raise EOFError("it has ended")
        data += more
    return marshal.loads(data[_LENGTH.size :])  # noqa: S302  # from a copy of this process
