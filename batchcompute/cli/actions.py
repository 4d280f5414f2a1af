"""`batchcompute job stop`, `start`, `delete` and `priority`: change jobs, several at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from . import output
from .arguments import job_argument
from .failures import Refused, code_of, report
from .finding import find_jobs
from .session import Session, command

if TYPE_CHECKING:
    from ..client import Client


@command("stop", examples=["batchcompute job stop last"])
@job_argument(several=True)
def stop(session: Session, jobs: Sequence[str]) -> None:
    """Stop jobs that are Waiting or Running.

    JSON: a list of {job_id, action, error}; action is "stopped", error null if it was done.
    """
    with session.client() as client:
        raise Exit(change_each(session, find_jobs(client, jobs), "stopped", client.stop_job))


@command("start", examples=["batchcompute job start last"])
@job_argument(several=True)
def start(session: Session, jobs: Sequence[str]) -> None:
    """Start jobs again that are Stopped or Failed. Their Finished instances do not run again.

    JSON: a list of {job_id, action, error}; action is "started", error null if it was done.
    """
    with session.client() as client:
        raise Exit(change_each(session, find_jobs(client, jobs), "started", client.start_job))


@command(
    "delete", examples=["batchcompute job delete 1C763900000001 1C763900000002", "batchcompute job delete last --yes"]
)
@job_argument(several=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(session: Session, jobs: Sequence[str], yes: bool) -> None:
    """Delete jobs that are Finished, Failed or Stopped, after asking.

    JSON: a list of {job_id, action, error}; action is "deleted", error null if it was done.
    """
    with session.client() as client:
        found = find_jobs(client, jobs)
        if not yes:
            _ask(client, found)
        raise Exit(change_each(session, found, "deleted", client.delete_job))


@command("priority", examples=["batchcompute job priority last 500"])
@job_argument(several=True)
@click.argument("priority", type=int)
def priority(session: Session, jobs: Sequence[str], priority: int) -> None:
    """Change the PRIORITY of jobs that are Stopped or Failed: 0 to 1000, larger runs earlier.

    JSON: a list of {job_id, action, error}; action is "changed", error null if it was done.
    """
    with session.client() as client:
        found = find_jobs(client, jobs)
        raise Exit(change_each(session, found, "changed", lambda job: client.update_job_priority(job, priority)))


def _ask(client: Client, jobs: Sequence[str]) -> None:
    """Ask the user. Raises Abort if the answer is no, Refused if there is no terminal."""
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask on; use --yes")
    names = ", ".join(f"{output.plain(client.get_job(job).JobName)} ({job})" for job in jobs)
    click.confirm(f"Delete {names}?", abort=True, err=True)


def change_each(
    session: Session, jobs: Sequence[str], action: str, change: Callable[[str], Any], threads: int = 1
) -> int:
    """Change every job, also after a failure. Return the exit code of the first failure, else 0."""
    rows: list[dict[str, Any]] = []
    code = 0
    for job, error in _attempt(jobs, change, threads):
        rows.append({"job_id": job, "action": action, "error": None if error is None else str(error)})
        if error is not None:
            code = code or code_of(error)
            if not session.json:
                report(error, session, f"{job}: ")
        elif not session.json:
            output.put(f"{job} {action}")
    if session.json:
        output.emit_json(rows)
    return code


def _attempt(jobs: Sequence[str], change: Callable[[str], Any], threads: int) -> Iterator[tuple[str, Exception | None]]:
    """Change every job; yield each with its error, None if it was done, in order."""

    def attempt(job: str) -> Exception | None:
        try:
            change(job)
        except Exception as error:
            return error
        return None

    if threads == 1:
        yield from ((job, attempt(job)) for job in jobs)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from zip(jobs, pool.map(attempt, jobs), strict=True)
        except BaseException:  # Ctrl-C: what is not sent yet is not sent
            pool.shutdown(wait=False, cancel_futures=True)
            raise
