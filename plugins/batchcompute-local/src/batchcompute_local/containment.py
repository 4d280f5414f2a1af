"""Groups of the kernel (cgroup v2) for the processes of attempts. Standard library only.

A process is born into the group of its parent, and cannot leave it by a change of its session, environment or limits.
Each data folder has a folder of groups below the group in which its runner began.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import struct
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

AUTO, OFF = MODES = "auto", "off"
"""What the setting `containment` may be: a group where one can be made, and none."""
_CLONE3 = 435  # the same on all architectures
_CLONE_INTO_CGROUP = 0x200000000
_TRIAL_SECONDS = 2.0
_POLL_SECONDS = 0.001


class UnavailableError(Exception):
    """No group can be made here; the text says why."""


def name_folder(root: str | os.PathLike[str]) -> str:
    """Return the name of the folder of groups for the data folder `root`. Raises OSError if `root` is absent.

    A copy of a data folder, and one with the same path in a container, have other names.
    """
    found = os.stat(root)
    text = f"{os.path.realpath(root)}:{found.st_dev}:{found.st_ino}"
    return f"batchcompute-{sha256(os.fsencode(text)).hexdigest()[:16]}"


def make_folder(root: str | os.PathLike[str]) -> Path:
    """Make the folder of groups for the data folder `root`, and try whether a process can be started in a group and killed.

    Raises UnavailableError.
    """
    folder = _own_group() / name_folder(root)
    try:
        folder.mkdir(exist_ok=True)
        _try_out(folder / f"trial-{os.getpid()}")
    except OSError as error:
        with suppress(OSError):
            folder.rmdir()
        raise UnavailableError(f"no process can be contained in {folder}: {error.strerror or error}") from error
    return folder


def start_in(group: Path | None, work: Callable[[], object], keep: Collection[int] = ()) -> int:
    """Start a process in `group` that calls `work` and ends; return its pid. None: in the group of this one. Raises OSError.

    It is a copy of this process, which has one thread. In a group no hook of `os.fork` is called. Of the open files it has
    those in `keep`, and 0 to 2: with the file of a lock it would hold the lock after this process has ended.
    """
    pid = os.fork() if group is None else _clone_into(group)
    if pid == 0:
        try:
            close_others(keep)
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__} in a process of {group or 'the runner'}: {error}\n".encode())
        finally:
            os._exit(1)
    return pid


def list_processes(group: Path) -> list[int]:
    """Return the processes in `group` and in the groups below it; empty if it is absent. No zombies."""
    found = []
    for each in _list_groups(group):
        with suppress(OSError):
            found += [int(word) for word in (each / "cgroup.procs").read_bytes().split()]
    return [pid for pid in found if pid]  # 0: a process outside of our PID namespace


def is_populated(group: Path) -> bool:
    """Return whether a process is in `group` or below it; False if the group is absent."""
    try:
        return b"populated 1" in (group / "cgroup.events").read_bytes()
    except OSError:
        return False


def kill_group(group: Path) -> None:
    """Send SIGKILL to all processes in `group` and below it, also to those that are born meanwhile."""
    with suppress(OSError):
        (group / "cgroup.kill").write_bytes(b"1")


def remove_group(group: Path) -> bool:
    """Remove `group` and the groups below it; False if one of them cannot be removed yet."""
    for each in reversed(_list_groups(group)):
        with suppress(OSError):
            each.rmdir()
    return not group.exists()


def list_subgroups(folder: Path) -> list[Path]:
    """Return the groups directly in `folder`; empty if it is absent."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def read_folders(file: Path, root: Path) -> list[Path]:
    """Return the folders of groups that `file` names for the data folder `root`: runners of it began in these places."""
    try:
        lines = file.read_text(errors="surrogateescape").splitlines()
        name = name_folder(root)
    except OSError:
        return []
    paths = [line for line in dict.fromkeys(lines) if os.path.isabs(line) and "\0" not in line]
    return [Path(line) for line in paths if os.path.basename(line) == name]


def write_folders(file: Path, folders: Iterable[Path]) -> None:
    """Write the folders of groups into `file`, or remove it if there is none. Raises OSError."""
    text = "".join(f"{folder}\n" for folder in folders)
    if not text:
        file.unlink(missing_ok=True)
        return
    new = file.with_suffix(".new")
    new.write_text(text, errors="surrogateescape")
    new.replace(file)


def list_all_processes(file: Path, root: Path) -> list[int]:
    """Return the processes in the groups of the data folder `root`; `file` names the folders of groups."""
    return [pid for folder in read_folders(file, root) for pid in list_processes(folder)]


def remove_all(file: Path, root: Path) -> bool:
    """Kill all processes in the groups of the data folder `root` and remove the groups; False if one is left."""
    left = []
    for folder in read_folders(file, root):
        kill_group(folder)
        if not remove_group(folder):
            left.append(folder)
    return not left


def _clone_into(group: Path) -> int:
    handle = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        arguments = struct.pack("=11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, handle)
        library = ctypes.PyDLL(None, use_errno=True)  # it keeps the interpreter's lock, which the new process needs
        library.syscall.restype = ctypes.c_long
        pid = int(library.syscall(ctypes.c_long(_CLONE3), arguments, ctypes.c_size_t(len(arguments))))
    finally:
        os.close(handle)
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid


def close_others(keep: Collection[int]) -> None:
    """Close all open files of this process, a new copy of another one, but `keep` and 0 to 2."""
    gc.disable()  # what is closed here by number must not be closed by its owner too
    signal.set_wakeup_fd(-1)
    low = 3
    for handle in (*sorted(keep), os.sysconf("SC_OPEN_MAX")):
        os.closerange(low, handle)
        low = handle + 1


def _list_groups(group: Path) -> list[Path]:
    found = [group]
    for each in found:
        found += list_subgroups(each)
    return found


def _own_group() -> Path:
    """Return the folder of the cgroup v2 group in which this process is. Raises UnavailableError."""
    mounts = []
    try:
        lines = Path("/proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), None)
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            about, _, kind = line.partition(" - ")
            if kind.startswith("cgroup2 "):
                mounts.append((_unescape(about.split()[3]), _unescape(about.split()[4])))
    except OSError as error:
        raise UnavailableError(str(error)) from error
    if own is None or not mounts:
        raise UnavailableError("no cgroup v2 is mounted")
    for top, place in mounts:
        inner = own if top == "/" else own.removeprefix(top) if f"{own}/".startswith(f"{top}/") else None
        if inner is not None and ".." not in inner.split("/"):
            return Path(place, inner.strip("/"))
    raise UnavailableError(f"the cgroup v2 group {own} of this process is not mounted")


def _unescape(word: str) -> str:
    for code in ("040", "011", "012", "134"):
        word = word.replace(f"\\{code}", chr(int(code, 8)))
    return word


def _try_out(group: Path) -> None:
    """Start a process in `group`, kill it by the group, and remove the group. Raises OSError."""
    group.mkdir()
    pid = 0
    end, own_end = os.pipe()
    try:
        pid = start_in(group, lambda: os.read(end, 1), keep=(end,))  # until it is killed, or this process ends
        if list_processes(group) != [pid]:
            raise OSError("a process that was started in a group is not there")
        (group / "cgroup.kill").write_bytes(b"1")
        deadline = time.monotonic() + _TRIAL_SECONDS
        while pid or is_populated(group):
            if pid and os.waitpid(pid, os.WNOHANG)[0]:
                pid = 0
            elif time.monotonic() > deadline:
                raise OSError("a process does not end by cgroup.kill")
            else:
                time.sleep(_POLL_SECONDS)
    finally:
        os.close(end)
        os.close(own_end)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        remove_group(group)
