"""What to do with damaged files: keep each under a dated name beside its place. Standard library only.

Only the owner of a file puts it aside: the daemon, while it holds the lock of the data folder, or the runner.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from batchcompute_local.files import NotRegularError, fsync_folder, open_regular

MARK = ".damaged-"
MOST_BYTES = 64 << 20
"""Of a small state file. A larger one is damaged."""


class DamageError(Exception):
    """A file is not what it has to be; the message says what it is instead, without a part of its content."""


def put_aside(path: Path) -> Path:
    """Rename what is at `path` to `NAME.damaged-<time>`; return the new path. Never overwrites. Raises OSError."""
    target = _free_name(path)
    os.rename(path, target)
    fsync_folder(path.parent)
    return target


def keep_copy(path: Path) -> Path:
    """Copy the file at `path` to `NAME.damaged-<time>`; return the path of the copy. Never overwrites. Raises OSError."""
    target = _free_name(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(open_real(path), "rb") as source, os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
        while block := source.read(1 << 20):
            copy.write(block)
    return target


def list_damaged(folder: Path) -> list[Path]:
    """Return what was put aside in `folder` and the folders of nonces and objects, in order. Empty if it cannot be read."""
    found: list[Path] = []
    for place in (folder, folder / "nonces", folder / "oss" / ".batchcompute"):
        with suppress(OSError):
            found += (place / name for name in os.listdir(place) if MARK in name)
    return sorted(found)


def read_whole(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a state file of at most `most` bytes. A link is followed. Never waits, for example at a FIFO.

    Raises FileNotFoundError if nothing is there, DamageError if it is not a regular file or is too large, and OSError.
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(2, os.strerror(2), str(path))
    try:
        with os.fdopen(open_real(path), "rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise DamageError("is a link to nothing") from None
    except IsADirectoryError:
        raise DamageError("is a folder, not a file") from None
    except NotRegularError as error:
        raise DamageError(error.strerror or "is not a regular file") from None
    if len(content) > most:
        raise DamageError(f"is larger than {most >> 20} MiB")
    return content


def open_real(path: Path) -> int:
    """Open the file at `path` for reading, or the one that a link at `path` names. Never waits. Raises OSError."""
    return open_regular(os.path.realpath(path), os.O_RDONLY)


def clear_place(path: Path, kind: int = stat.S_IFREG) -> Path | None:
    """Put aside what is at `path` if it is of another kind. Return where it is now; None if the place was in order.

    `kind` is a file type of `stat`. A link to that type is in order, unless a socket is wanted. Raises OSError.
    """
    look = os.lstat if kind == stat.S_IFSOCK else os.stat
    try:
        if stat.S_IFMT(look(path).st_mode) == kind:
            return None
    except OSError:
        if not os.path.lexists(path):
            return None
    return put_aside(path)


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    return next(each for each in _names(path, stamp) if not os.path.lexists(each))


def _names(path: Path, stamp: str) -> Iterator[Path]:
    yield path.with_name(f"{path.name}{MARK}{stamp}")
    for number in count(2):
        yield path.with_name(f"{path.name}{MARK}{stamp}-{number}")
