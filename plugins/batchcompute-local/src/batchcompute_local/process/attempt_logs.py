"""Logs of earlier attempts: beside the newest log `<name>`, each is `<name>.attempt-<k>`, with k from 1.

An attempt that never began has no log. Only regular files are renamed or removed, and no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

EARLIER = ".attempt-"
"""Between the name of a log and the number of the attempt, of a log that is not the newest."""


def keep_log(path: str, attempt: int, kept: int) -> None:
    """Rename the log `path`, which `attempt` wrote, and remove all but the newest `kept` earlier logs. Raises OSError."""
    if not _is_regular(path):
        return
    os.rename(path, f"{path}{EARLIER}{attempt}")
    for number in range(attempt, 0, -1):
        earlier = f"{path}{EARLIER}{number}"
        if _is_regular(earlier):
            kept -= 1
            if kept < 0:
                os.unlink(earlier)


def find_log(path: Path, attempt: int, newest: int | None = None) -> Path:
    """Return the log of `attempt` beside or at `path`; arguments and errors are those of `choose_log`."""
    there = [each.name for each in list_logs(path)]
    return path.with_name(choose_log(path.name, there, attempt, newest))


def list_logs(path: Path) -> list[Path]:
    """Return the regular files among the newest log `path` and those of earlier attempts, in any order."""
    try:
        names = [name for name in os.listdir(path.parent) if name == path.name or name.startswith(path.name + EARLIER)]
    except FileNotFoundError:
        return []
    return [found for name in names if _is_regular(found := path.with_name(name))]


def choose_log(name: str, there: Collection[str], attempt: int, newest: int | None = None) -> str:
    """Return which of the names `there` is the log of `attempt`, the newest one being `name`.

    newest: the newest attempt that is known to have begun, None if none is. The newest log is not older than that, and is
    written after all earlier ones.
    Raises LookupError with the attempts that there are.
    """
    start = name + EARLIER
    rests = [each.removeprefix(start) for each in there if each.startswith(start)]
    numbers = sorted(int(rest) for rest in rests if rest.isascii() and rest.isdigit())
    if attempt in numbers:
        return f"{start}{attempt}"
    if name in there:
        numbers.append(max(newest or 0, max(numbers, default=0) + 1))
        if attempt == numbers[-1]:
            return name
    found = ", ".join(map(str, numbers)) or "none"
    what = f"no log of attempt {attempt}"
    if newest is not None and attempt <= newest:
        what = f"attempt {attempt} wrote no log, or its log is not kept any more"
    raise LookupError(f"{what}; attempts with a log: {found}")


def _is_regular(path: str | Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
