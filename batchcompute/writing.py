"""Writes a file as a whole, for programs whose output others read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

PART = ".part-"
"""The beginning of a file's name that no object store lists as an object (ours)."""


@overload
def write_whole(path: str | os.PathLike[str], mode: Literal["w"] = "w") -> AbstractContextManager[TextIO]: ...


@overload
def write_whole(path: str | os.PathLike[str], mode: Literal["wb"]) -> AbstractContextManager[BinaryIO]: ...


def write_whole(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> AbstractContextManager[IO[Any]]:
    """Open a new file that appears at `path` when the block ends well; folders are created.

    Until then, and if the block fails or the program is killed, `path` is as before, whatever was there. The data is on the disk
    before the file appears. mode: "w" for text in UTF-8, "wb" for bytes. Raises OSError.

        with write_whole(folder / "result.csv") as file:
            file.write(text)
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode must be 'w' or 'wb', not {mode!r}")
    return _write(os.path.abspath(path), mode)


@contextmanager
def _write(path: str, mode: str) -> Iterator[IO[Any]]:
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    # beside it, since only within a file system a file is renamed
    part = os.path.join(folder, f"{PART}{os.urandom(8).hex()}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with open(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
