"""A spawner: a process that starts programs, one after the other, as the runner asks. Standard library only.

It sits in a cgroup of its own, where there are cgroups, so that a program is born in the group, at the price of `posix_spawn`:
to fork the runner into a group would cost a copy of its memory for each program, and to move a program takes milliseconds.
A warm spawner is an interpreter that has imported the modules of an image, and forks itself (`warm.py`).
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from batchcompute_local.containment import is_populated, kill_group, list_processes, start_in
from batchcompute_local.records import Order
from batchcompute_local.runner import warm
from batchcompute_local.runner.serving import receive, send, serve, set_title
from batchcompute_local.runner.spawn import spawn_program

_CHECK_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_END_SECONDS = 2.0
_POLL_SECONDS = 0.001

Warmth = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]
"""What a warm interpreter begins with: its path, the modules that it imports, its environment."""


class Spawner:
    """A process in `group`, or in the group of this one, which starts programs there. Raises OSError if it cannot be started.

    With `warmth` it is an interpreter, which is not ready at once. `reports` is the pipe for the ends of programs.
    """

    def __init__(self, group: Path | None, reports: int, warmth: Warmth | None = None) -> None:
        self.group = group
        self.warmth = warmth
        self.is_usable = True
        self._patience = 0.0
        self._is_ready = warmth is None
        self._files: list[int] = []
        if group is not None:
            group.mkdir()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                handles = theirs.fileno(), reports
                self.pid = start_in(group, lambda: _work(theirs, reports, warmth), keep=handles)
            ours.settimeout(_CHECK_SECONDS)
            self._channel = ours
            if group is not None:
                self._files.append(os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                self._files.append(os.open(group / "cgroup.procs", os.O_RDONLY | os.O_CLOEXEC))
            self._alone = b"%d\n" % self.pid
        except OSError:
            if group is not None:
                kill_group(group)
            raise

    def is_ready(self) -> bool:
        """Return whether it can start programs by now."""
        if not self._is_ready and select.select([self._channel], [], [], 0)[0]:
            with suppress(OSError, EOFError):  # this process learns soon that it has ended
                self._is_ready = receive(self._channel) == warm.READY
        return self._is_ready

    def spawn(self, order: Order) -> int:
        """Start the program of `order`, with the limits on message queues of this process; return its pid.

        Raises OSError, ValueError as `spawn_program`; OSError with EAGAIN if the spawner is gone, and is then not usable.
        """
        limits = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        arguments = (order.argv, order.cwd, dict(order.environment), order.stdout, order.stderr)
        self._patience = time.monotonic() + _ANSWER_SECONDS
        try:
            send(self._channel, (limits, arguments))
            pid, fault = receive(self._channel, self._check)
        except (OSError, EOFError) as error:
            self.end()
            raise OSError(errno.EAGAIN, f"the spawner {self.pid} is gone: {error}") from None
        if pid:
            return int(pid)
        raise ValueError(fault) if isinstance(fault, str) else OSError(*fault)

    def _check(self) -> None:
        """Raise EOFError if the spawner cannot answer: a program has stopped it, or a file that it opens gives no answer."""
        if time.monotonic() >= self._patience:
            raise EOFError(f"it does not answer for {_ANSWER_SECONDS:g} seconds")
        with open(f"/proc/{self.pid}/stat", "rb") as file:
            is_stopped = file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        if is_stopped or (self.group is not None and b"frozen 1" in (self.group / "cgroup.events").read_bytes()):
            raise EOFError("it is stopped")

    def list_others(self) -> list[int]:
        """Return the processes in the group without the spawner; empty if it has no group."""
        return [pid for pid in list_processes(self.group) if pid != self.pid] if self.group is not None else []

    def is_empty(self) -> bool:
        """Return whether no process but the spawner is in the group."""
        if self.group is None:
            return True
        if not self.is_usable:
            return not is_populated(self.group)
        folder, processes = self._files
        if os.pread(processes, 64, 0) != self._alone:
            return not self.list_others()
        return os.fstat(folder).st_nlink == 2 or not self.list_others()  # 2: no group below it

    def kill(self) -> None:
        """Send SIGKILL to all processes in the group, the spawner too; to the spawner alone if it has no group."""
        self.is_usable = False
        if self.group is not None:
            kill_group(self.group)
        else:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill all processes in the group, and wait a while until they have ended."""
        deadline = time.monotonic() + _END_SECONDS
        self.kill()
        while self.group is not None and is_populated(self.group) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Close the files of this spawner, which has ended."""
        self.is_usable = False
        self._channel.close()
        for handle in self._files:
            os.close(handle)


def _work(channel: socket.socket, reports: int, warmth: Warmth | None) -> None:
    """Start programs as the runner asks, until it is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if warmth is not None:
        python, modules, variables = warmth
        warm.execute(python, modules, dict(variables), channel.fileno(), reports)
    set_title(b"batchcompute spawner")
    serve(channel, reports, spawn_program)
