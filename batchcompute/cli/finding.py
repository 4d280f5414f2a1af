"""Find jobs by a whole id, by a part of one id, by a name, or by `last`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import newest
from .failures import Refused
from .output import plain, since, when

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
    """Return the ids of the jobs that words name, each once: an id, its beginning or end, a name, or `last`, the newest job.

    `last` never goes back to an older job in one terminal or script (see `newest`).
    Raises Refused for a word that names no job, or several.
    """
    if all(_WHOLE.fullmatch(text) for text in texts):
        return list(dict.fromkeys(texts))
    jobs = newest_first(client.list_jobs())
    return list(dict.fromkeys(_find(client, jobs, text) for text in texts))


def newest_first(jobs: Sequence[Job]) -> list[Job]:
    """Sort jobs by creation, the newest first."""
    return sorted(jobs, key=lambda job: (job.CreateTime, job.JobId), reverse=True)


def _find(client: Client, jobs: Sequence[Job], text: str) -> str:
    if _WHOLE.fullmatch(text):
        return text
    if text == LAST:
        return _find_last(client, jobs)
    if any(job.JobId == text for job in jobs):
        return text
    wanted = text.lower().removeprefix("job-")
    found = [
        job for job in jobs if job.JobName == text or (wanted and _is_part(wanted, text.lower(), job.JobId.lower()))
    ]
    if len(found) == 1:
        return found[0].JobId
    if found:
        raise Refused(_name_candidates(text, found))
    from ..messages import did_you_mean

    near = did_you_mean(text, {job.JobName for job in jobs})
    raise Refused(f"there is no job {text!r}{near}; `batchcompute job list` shows the jobs, and `last` is the newest")


def _is_part(wanted: str, text: str, job_id: str) -> bool:
    return job_id.removeprefix("job-").startswith(wanted) or job_id.endswith(text)


def _find_last(client: Client, jobs: Sequence[Job]) -> str:
    from ..client import find_target

    if not jobs:
        raise Refused("there is no job, so `last` names none")
    first, created = jobs[0].JobId, int(jobs[0].CreateTime)
    same_second = [job.JobId for job in jobs if job.CreateTime == created]
    gone = newest.note(find_target(client), first, created, same_second)
    if gone is not None:
        raise Refused(
            f"`last` was {gone}, which is not there any more, and it does not go back to an older job; name the job by its id: "
            "`batchcompute job list` shows the jobs"
        )
    return first


def _name_candidates(text: str, found: Sequence[Job]) -> str:
    """Say which jobs a word may mean, the newest first."""
    lines = [
        f"  {job.JobId}  {plain(job.JobName)}  {job.State}  {since(when(int(job.CreateTime)))} old"
        for job in found[:_SHOWN]
    ]
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "\n".join([f"{text!r} names {len(found)} jobs; use more of the id of one:", *lines, *more])
