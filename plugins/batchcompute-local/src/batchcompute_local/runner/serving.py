"""What a spawner does in its process: start a program when the runner asks, report its end, and wait for the next.

Standard library only, and little of it: a warm spawner has all of this in the memory of its programs.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import socket
import struct
from collections.abc import Callable
from typing import Any

REPORT = struct.Struct("=ii")
"""Pid and exit code (the negative signal) of a program that has ended, on the pipe of the reports."""
_LENGTH = struct.Struct("=I")
_MARSHAL_VERSION = 2  # which every Python 3 reads


def serve(
    channel: socket.socket,
    reports: int,
    spawn: Callable[..., int],
    begin: Callable[[], None] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Start programs with `spawn` as the runner asks. Raises EOFError when it is gone, and OSError.

    `begin` is called when the runner has the pid. `check` is called when nothing came for the timeout of `channel`.
    Returns where `spawn` returns 0: in the new process, if it is a copy of this one.
    """
    while True:
        limits, arguments = receive(channel, check)
        pid = 0
        try:
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, limits)
            pid = spawn(*arguments)
            if not pid:
                return
            answer: tuple[int, object] = pid, None
        except OSError as error:
            answer = 0, (error.errno, error.strerror, error.filename)
        except ValueError as error:
            answer = 0, str(error)
        send(channel, answer)
        if pid:
            if begin is not None:
                begin()
            report_end(pid, reports)


def report_end(pid: int, reports: int) -> None:
    """Wait for the end of the program `pid`, a child of this process, and report it."""
    # reaped after the report: if this process is killed before, the runner gets it as its own child
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None  # noqa: S101  # for mypy: only WNOHANG gives None
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    os.write(reports, REPORT.pack(pid, code))
    os.waitpid(pid, 0)


def send(channel: socket.socket, message: Any) -> None:
    """Send `message`, of plain values, to the other side. Raises OSError."""
    data = marshal.dumps(message, _MARSHAL_VERSION)
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive(channel: socket.socket, check: Callable[[], None] | None = None) -> Any:
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
    return marshal.loads(data[_LENGTH.size :])  # noqa: S302  # from a process of the runner


class ShownArea:
    """What the kernel shows of this process and its copies: the command line with COMMAND_LINE, else with ENVIRONMENT."""

    COMMAND_LINE, ENVIRONMENT = 45, 47
    """Fields of /proc/PID/stat, counted after the name."""

    def __init__(self, field: int) -> None:
        with open("/proc/self/stat", "rb") as file:
            start, end = map(int, file.read().rpartition(b")")[2].split()[field : field + 2])
        self._start, self._size = start, max(0, end - start)
        self._used = self._size

    def write(self, content: bytes) -> None:
        """Replace it. What is too long is cut."""
        if self._size:
            content = content[: self._size - 1]
            ctypes.memmove(self._start, content.ljust(self._used, b"\0"), max(self._used, len(content)))
            self._used = len(content)


def set_title(title: bytes) -> None:
    """Change what process lists show as this process's command line, which is a copy of the runner's."""
    ShownArea(ShownArea.COMMAND_LINE).write(title)
