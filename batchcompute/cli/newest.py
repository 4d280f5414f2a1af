"""What `last` has named in this terminal or script, so that it never goes back to an older job.

Without it `job delete last` twice would delete two jobs. There is a file for each session of the system, which a terminal, a
login by ssh or a timer's script has each for itself, with each endpoint and access key. So terminals never write the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from . import remembered

_MOST = 50
_FOLDER = "last"


class _Noted(NamedTuple):
    """The newest job once: its id, its second, and all jobs of that second, since ids need not have an order."""

    job_id: str
    created: int
    same_second: list[str]


def note(target: tuple[str, str], job_id: str, created: int, same_second: Sequence[str] = ()) -> str | None:
    """Note the newest job. Return None, or the id of the one noted before, if the present one is not newer.

    target: URL and access key of the requests. created: seconds since 1970. same_second: the ids of all jobs created then.
    A file that cannot be written protects nothing, and stops nothing.
    """
    path = _path(target)
    before = _load(path)
    known = [] if before is None or before.created != created else before.same_second
    if before is not None and job_id != before.job_id and (created < before.created or job_id in known):
        return before.job_id
    remembered.write(path, _Noted(job_id, created, sorted({*known, *same_second, job_id})))
    _tidy(os.path.dirname(path))
    return None


def _path(target: tuple[str, str]) -> str:
    key = hashlib.sha256(json.dumps([_session(), *target]).encode()).hexdigest()
    return remembered.path_of(os.path.join(_FOLDER, f"{key[:32]}.json"))


def _session() -> str:
    """Name the session of the system, with the start of its leader, since numbers of processes come again."""
    if not hasattr(os, "getsid"):
        return str(os.getppid())
    number = os.getsid(0)
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            return f"{number}-{file.read().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return str(number)


def _load(path: str) -> _Noted | None:
    try:
        with open(path, encoding="utf-8") as file:
            job_id, created, same_second = json.load(file)
            return _Noted(str(job_id), int(created), [str(one) for one in same_second])
    except (OSError, ValueError, TypeError):
        return None


def _tidy(folder: str) -> None:
    """Remove the files of sessions that were not used for longest."""
    with suppress(OSError):
        paths = [entry.path for entry in os.scandir(folder)]
        if len(paths) > _MOST:
            for path in sorted(paths, key=os.path.getmtime)[:-_MOST]:
                os.unlink(path)
