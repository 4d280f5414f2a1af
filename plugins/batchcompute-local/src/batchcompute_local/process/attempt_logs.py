"""Logs of earlier attempts: beside the newest log `<name>`, each is `<name>.attempt-<k>`, with k from 1.

An attempt that never began has no log. Only regular files are renamed or removed, and no link is followed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MARK = ".attempt-"


def keep_log(path: str, attempt: int, kept: int) -> None:
    """Rename the log `path`, which `attempt` wrote, and remove all but the newest `kept` earlier logs. Raises OSError."""
    if not _is_regular(path):
        return
    os.rename(path, f"{path}{_MARK}{attempt}")
    for number in range(attempt, 0, -1):
        earlier = f"{path}{_MARK}{number}"
        if _is_regular(earlier):
            kept -= 1
            if kept < 0:
                os.unlink(earlier)


def find_log(path: Path, attempt: int) -> Path:
    """Return the log of `attempt` beside or at `path`. Raises LookupError with the attempts that there are."""
    earlier = path.with_name(f"{path.name}{_MARK}{attempt}")
    if _is_regular(earlier):
        return earlier
    numbers = _list_attempts(path)
    if _is_regular(path):
        numbers.append(max(numbers, default=0) + 1)
        if attempt == numbers[-1]:
            return path
    found = ", ".join(map(str, numbers)) or "none"
    raise LookupError(f"no log of attempt {attempt}; attempts with a log: {found}")


def _list_attempts(path: Path) -> list[int]:
    start = path.name + _MARK
    try:
        names = [name.removeprefix(start) for name in os.listdir(path.parent) if name.startswith(start)]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def _is_regular(path: str | Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
