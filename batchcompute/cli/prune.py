"""`batchcompute job prune`: delete old jobs, thousands of them if need be."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit

from . import output, shapes
from .actions import change_each
from .arguments import state_option
from .failures import Refused
from .finding import newest_first
from .progress import ENDED, seconds
from .session import Session, command
from .times import read_age

if TYPE_CHECKING:
    from ..client import Client
    from ..values.responses import Job

_THREADS = 8
"""Requests at once, so that a service can share one write to the disk among them."""
_LOG = re.compile(r"std(?:out|err)\.([^./]+)\.[^/]+")
"""The name of a log below a redirect path, with the id of its job (protocol 2.9)."""
_COLUMNS: Mapping[str, output.Column] = {
    "job_id": "JOB",
    "name": "NAME",
    "state": "STATE",
    "ended": ("ENDED", lambda row: f"{output.since(row['ended'])} ago"),
}


@command(
    "prune",
    examples=[
        "batchcompute job prune --older-than 7d --dry-run",
        "batchcompute job prune --older-than 30d --state Finished,Stopped --yes",
    ],
)
@click.option(
    "--older-than", "age", callback=read_age, required=True, metavar="AGE", help="Jobs that ended longer ago: 12h, 7d."
)
@state_option(ENDED, f"Only jobs in these states: {', '.join(ENDED)}; with commas, or repeated.  [default: all three]")
@click.option("--with-objects", is_flag=True, help="Delete the logs below their redirect paths as well.")
@click.option("--dry-run", is_flag=True, help="Only show the jobs.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def prune(session: Session, age: float, states: Sequence[str], with_objects: bool, dry_run: bool, yes: bool) -> None:
    """Delete jobs that ended longer ago than AGE, after asking. A job that cannot be deleted does not keep the others.

    Packages, data and logs below a redirect path are objects, and stay. --with-objects deletes those logs, but no package and no
    data.

    JSON: a list of {job_id, action, error}; action is "deleted", with --dry-run "would be deleted"; error null if it was done.
    """
    before = time.time() - age
    with session.client() as client:
        found = [job for job in newest_first(client.list_jobs()) if _is_old(job, states or ENDED, before)]
        if dry_run and not session.json:
            output.emit([shapes.job(job) for job in found], _COLUMNS, session.format, "No job is that old.")
            return
        if dry_run:
            output.emit_json([{"job_id": job.JobId, "action": "would be deleted", "error": None} for job in found])
            return
        if found and not yes:
            _ask(found)
        ids = [job.JobId for job in found]

        logs = _Logs(client)

        def delete(job: str) -> None:
            uris = logs.of(job) if with_objects else []
            client.delete_job(job)
            for uri in uris:
                client.objects.delete(uri)

        code = change_each(session, ids, "deleted", delete, _THREADS)
    if not found:
        output.say("No job is that old.")
    raise Exit(code)


def _is_old(job: Job, states: Sequence[str], before: float) -> bool:
    return job.State in states and 0 < seconds(job.EndTime) < before


def _ask(jobs: Sequence[Job]) -> None:
    """Ask the user. Raises Abort if the answer is no, Refused if there is no terminal."""
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask on; use --yes, or --dry-run to see the jobs")
    counts = ", ".join(f"{number} {state}" for state, number in sorted(Counter(job.State for job in jobs).items()))
    click.confirm(f"Delete {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'} ({counts})?", abort=True, err=True)


class _Logs:
    """The logs below redirect paths. Each path is listed once, since thousands of jobs may share it. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._listed: dict[str, dict[str, list[str]]] = {}

    def of(self, job: str) -> list[str]:
        """Return the URIs of the logs of a job."""
        tasks = self._client.get_job_description(job).TaskDag.TaskDescMap.values()
        paths = {path for task in tasks for path in (task.StdoutRedirectPath, task.StderrRedirectPath) if path}
        return [uri for path in sorted(paths) for uri in self._list(path.rstrip("/") + "/").get(job, ())]

    def _list(self, folder: str) -> dict[str, list[str]]:
        with self._lock:
            if folder not in self._listed:
                found = self._listed[folder] = {}
                for uri, _ in self._client.objects.list(folder):
                    log = _LOG.fullmatch(uri.removeprefix(folder))
                    if log:
                        found.setdefault(log[1], []).append(uri)
            return self._listed[folder]
