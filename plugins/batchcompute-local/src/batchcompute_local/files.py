"""Helpers for files that several modules use. Standard library only."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_SAFE_FLAGS = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


class NotRegularError(OSError):
    """There is something else than a regular file: a link, a FIFO, a socket, a device."""


def fsync_folder(folder: Path) -> None:
    """Have on the disk which files the folder has. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_lock_held(handle: int) -> bool:
    """Check if a process holds the lock of the open file `handle`, and close it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def open_regular(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """Open a file whose path a program controls; return the descriptor. Never waits, and follows no link in place of the file.

    `flags` and `mode` are those of `os.open`. Raises NotRegularError if it is not a regular file, IsADirectoryError for a
    folder, and OSError.
    """
    try:
        handle = os.open(path, flags | _SAFE_FLAGS, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotRegularError(errno.ELOOP, "is a link, not a regular file", os.fspath(path)) from None
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise NotRegularError(errno.EINVAL, "is not a regular file", os.fspath(path)) from None
        raise
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(kind):
            raise NotRegularError(errno.EINVAL, "is not a regular file", os.fspath(path))
        os.set_blocking(handle, True)
    except BaseException:
        os.close(handle)
        raise
    return handle


def create_log(path: str | os.PathLike[str]) -> int:
    """Open the empty log `path` of a new attempt for appending; return the descriptor. Raises OSError.

    An earlier attempt may have put anything in its place. What is not a regular file of this name alone is unlinked.
    """
    with suppress(NotRegularError, PermissionError):
        handle = open_regular(path, _LOG_FLAGS)
        try:
            facts = os.fstat(handle)
            if facts.st_nlink == 1:
                if facts.st_size:
                    os.ftruncate(handle, 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # it has another name too: not ours to empty
    with suppress(FileNotFoundError):
        os.unlink(path)
    return open_regular(path, _LOG_FLAGS | os.O_EXCL)
