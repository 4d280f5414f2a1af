"""Processes in /proc. A process is identified by (boot id, pid, start time), since pids are reused."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress

ATTEMPT_VARIABLE = "BATCHCOMPUTE_ATTEMPT"
ATTEMPT_FILE_VARIABLE = "BATCHCOMPUTE_LOCAL_ATTEMPT"
"""The environment variable of a program with the path of its attempt file (`attempt_files`)."""
_MARK = ATTEMPT_VARIABLE.encode() + b"="
_FILE = ATTEMPT_FILE_VARIABLE.encode() + b"="


def boot_id() -> str:
    """Return the kernel's id of this boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def ticks() -> int:
    """Return the current time in the unit of `start_time`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def is_born(pid: int, between: Sequence[int]) -> bool:
    """Check if process `pid` exists and started between these two `ticks`, plus or minus one."""
    started = start_time(pid)
    return started is not None and between[0] - 1 <= started <= between[1] + 1


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot; None if absent or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # the name in brackets may contain anything, brackets included
            values = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if values[0] in (b"Z", b"X") else int(values[19])


def command_of(pid: int) -> str:
    """Return the short name of the program of `pid`; "?" if the process is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return "?"


def in_sessions(sessions: Container[int]) -> Iterator[tuple[int, int]]:
    """Yield pid and session of each process whose session or process group is one of `sessions`; no zombies."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    values = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if values[0] not in (b"Z", b"X"):
                for number in (int(values[3]), int(values[2])):
                    if number in sessions:
                        yield int(name), number
                        break


def attempt_of(pid: int) -> str | None:
    """Return the attempt in the environment of process `pid`; None if absent or not readable."""
    return _attempt_and_file(pid)[0]


def _attempt_and_file(pid: int) -> tuple[str | None, str]:
    """Return the attempt in the environment of process `pid` (None if absent), and the path of its attempt file (or "")."""
    attempt, file = None, ""
    try:
        content = _environment(pid)
    except OSError:
        return None, ""
    for entry in content.split(b"\0"):
        if attempt is None and entry.startswith(_MARK):
            attempt = entry[len(_MARK) :].decode("ascii", "replace")
        elif not file and entry.startswith(_FILE):
            file = os.fsdecode(entry[len(_FILE) :])
    return attempt, file


def children(pid: int) -> list[int]:
    """Return the children of `pid` (of its main thread), zombies included; empty if the kernel has no list."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """Return the children of `pid` (of all its threads), their children, and so on."""
    found = _children_of_threads(pid)
    for each in found:
        found.extend(_children_of_threads(each))
    return found


def _children_of_threads(pid: int) -> list[int]:
    found = []
    with suppress(OSError):  # a process or a thread that has ended meanwhile
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    return found


def attempts(prefix: str, files: str = "") -> Iterator[tuple[int, str]]:
    """Yield pid and attempt of all processes whose attempt begins with `prefix`.

    With `files`, without those whose environment names an attempt file in another folder.
    """
    for name in os.listdir("/proc"):
        if name.isdigit():
            attempt, file = _attempt_and_file(int(name))
            if attempt is None or not attempt.startswith(prefix):
                continue
            if not files or not file or os.path.dirname(file) == files:
                yield int(name), attempt


def is_any_nameless(folder: str | os.PathLike[str]) -> bool:
    """Check if a process works below `folder` with an empty environment: a program that is just being loaded."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                inside = os.readlink(f"/proc/{name}/cwd").startswith(f"{os.fspath(folder)}{os.sep}")
                if inside and not _environment(int(name)):
                    return True
            except OSError:
                continue
    return False


def _environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()
