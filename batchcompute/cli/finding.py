"""Find jobs by a whole id, by a part of one id, or by `last`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .failures import Refused

if TYPE_CHECKING:
    from ..client import Client
    from ..values.responses import Job

LAST = "last"
_WHOLE = re.compile(r"job-[0-9A-Fa-f]{32}")
_SHOWN = 5


def find_job(client: Client, text: str) -> str:
    """Return the id of the job that `text` names. Raises Refused."""
    return find_jobs(client, [text])[0]


def find_jobs(client: Client, texts: Sequence[str]) -> list[str]:
    """Return the ids of the jobs that words name, each once: an id, its beginning or end, or `last`, the newest job.

    Raises Refused for a word that names no job, or several.
    """
    if all(_WHOLE.fullmatch(text) for text in texts):
        return list(dict.fromkeys(texts))
    jobs = newest_first(client.list_jobs())
    return list(dict.fromkeys(_find(jobs, text) for text in texts))


def newest_first(jobs: Sequence[Job]) -> list[Job]:
    """Sort jobs by creation, the newest first."""
    return sorted(jobs, key=lambda job: (job.CreateTime, job.JobId), reverse=True)


def _find(jobs: Sequence[Job], text: str) -> str:
    if _WHOLE.fullmatch(text):
        return text
    if text == LAST:
        if not jobs:
            raise Refused("there is no job yet, so `last` names none")
        return jobs[0].JobId
    wanted = text.lower()
    ids = [job.JobId for job in jobs]
    if text in ids:
        return text
    found = [one for one in ids if one.lower().removeprefix("job-").startswith(wanted.removeprefix("job-"))]
    found += [one for one in ids if one.lower().endswith(wanted) and one not in found]
    if len(found) == 1:
        return found[0]
    if found and wanted.removeprefix("job-"):
        some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise Refused(f"{text!r} names {len(found)} jobs: {some}; use more of the id")
    raise Refused(f"there is no job {text!r}; `batchcompute job list` shows the jobs, and `last` is the newest")
