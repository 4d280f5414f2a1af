"""What `last` has named in this terminal or script, so that it never goes back to an older job.

Without it `job delete last` twice would delete two jobs. The file is per session of the system, which a terminal, a login by
ssh or a timer's script has each for itself.
"""

from __future__ import annotations

import json
import os

from . import remembered

_MOST = 50
_FOLDER = "BATCHCOMPUTE_DATA_DIR"
"""Region local is another one in another data folder."""


def note(where: str, job_id: str, created: int) -> str | None:
    """Note the newest job. Return None, or the id of a newer one that was noted before: it is deleted.

    where: the endpoint. created: seconds since 1970. A file that cannot be written protects nothing, and stops nothing.
    """
    key = f"{_session()} {where} {os.environ.get(_FOLDER, '')}"
    known = _load()
    before = known.get(key)
    if before is not None and (created, job_id) < before:
        return before[1]
    known.pop(key, None)
    known[key] = created, job_id
    _save(dict(list(known.items())[-_MOST:]))
    return None


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


def _load() -> dict[str, tuple[int, str]]:
    try:
        with open(_path(), encoding="utf-8") as file:
            return {str(key): (int(created), str(job_id)) for key, (created, job_id) in json.load(file).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _save(known: dict[str, tuple[int, str]]) -> None:
    remembered.write(_path(), known)


def _path() -> str:
    return remembered.path_of("last.json")
