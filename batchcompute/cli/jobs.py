"""`batchcompute job list`, `describe` and `wait`: read jobs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from ..errors import BatchComputeError
from ..messages import name_instances
from . import attempts, output, shapes
from .arguments import job_argument, state_option
from .failures import FAILED, STOPPED
from .finding import find_job, newest_first
from .progress import seconds
from .reading import SURROUNDINGS
from .session import Session, command
from .times import read_moment

if TYPE_CHECKING:
    from ..client import Client
    from ..values.responses import Job

_LIMIT = 30
_MOST_REASONS = 5
_COLUMNS: Mapping[str, output.Column] = {
    "job_id": "JOB",
    "name": "NAME",
    "state": "STATE",
    "priority": "PRIORITY",
    "tasks": ("TASKS", lambda row: f"{row['tasks_finished']}/{row['tasks_total']}"),
    "instances": ("INSTANCES", lambda row: f"{row['instances_finished']}/{row['instances_total']}"),
    "age": ("AGE", lambda row: output.since(row["created"])),
    "time": ("TIME", lambda row: output.since(row["started"], row["ended"])),
}


@command(
    "list",
    examples=[
        "batchcompute job list",
        "batchcompute job list --state Failed,Stopped --limit 5",
        "batchcompute job list --name 'render-*' --since 2d",
        "batchcompute job list --format json | jq -r '.[].job_id'",
    ],
)
@state_option(shapes.STATES, f"Only jobs in these states: {', '.join(shapes.STATES)}; with commas, or repeated.")
@click.option("--name", metavar="PATTERN", help="Only jobs of this name; * is any text, ? one character, [ itself.")
@click.option(
    "--since", callback=read_moment, metavar="TIME", help="Only jobs created since then: 10m, 2026-11-26T18:00."
)
@click.option("--until", callback=read_moment, metavar="TIME", help="Only jobs created until then: 7d, 2026-11-26.")
@click.option("--limit", type=click.IntRange(0), default=_LIMIT, show_default=True, help="How many; 0: all.")
def list_(
    session: Session, states: Sequence[str], name: str | None, since: float | None, until: float | None, limit: int
) -> None:
    """List the jobs, the newest first. A TIME is an age (s, m, h, d, w) or ISO 8601.

    JSON: a list of jobs, each {job_id, name, description, state, priority, owner, created, started, ended, total_seconds,
    tasks_total, tasks_waiting, tasks_running, tasks_finished, tasks_failed, tasks_stopped, instances_total,
    instances_waiting, instances_running, instances_finished, instances_failed, instances_stopped, reason, leftovers}; reason
    says why it waits, leftovers counts instances that left processes; null where the service does not know it.
    """
    # names such as scan[1] are more common than sets of characters
    pattern = None if name is None else name.replace("[", "[[]")
    with session.client() as client:
        found = [
            job
            for job in newest_first(client.list_jobs())
            if (not states or job.State in states)
            and (pattern is None or fnmatchcase(job.JobName, pattern))
            and (since is None or seconds(job.CreateTime) + 1 > since)  # whole seconds, rounded down
            and (until is None or seconds(job.CreateTime) <= until)
        ]
        shown = found[:limit] if limit else found
        details = attempts.ask(client.list_job_details) if shown else None
    rows = [shapes.job(job) | shapes.remark(details, job.JobId) for job in shown]
    columns = _COLUMNS if not any(map(_note, rows)) else {**_COLUMNS, "note": ("NOTE", _note)}
    asked = states or name is not None or since is not None or until is not None
    empty = (
        "No job matches. `batchcompute job list` shows all."
        if asked
        else "There are no jobs. `batchcompute demo` runs one."
    )
    output.emit(rows, columns, session.format, empty)
    if not session.json:
        _explain(rows)
    if len(shown) < len(found):
        output.say(f"{len(shown)} of {len(found)} jobs are shown; --limit 0 shows all.")


def _note(row: Mapping[str, Any]) -> str:
    notes = ["waits"] if row["reason"] else []
    if row["leftovers"]:
        notes.append(f"left {row['leftovers']}")
    return ", ".join(notes)


def _explain(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print why jobs wait, each reason once, and what a mark means."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["reason"]:
            reasons.setdefault(row["reason"], []).append(row["job_id"])
    for reason, ids in list(reasons.items())[:_MOST_REASONS]:
        who = f"{ids[0]} waits" if len(ids) == 1 else f"{len(ids)} jobs wait"
        output.put(f"{who}: {output.plain(reason)}")
    if len(reasons) > _MOST_REASONS:
        output.put(f"{len(reasons) - _MOST_REASONS} more reasons: batchcompute job show JOB")
    if any(row["leftovers"] for row in rows):
        output.put("left N: N instances left processes that had to be ended; batchcompute job show JOB names them")


@command("describe", examples=["batchcompute job describe last > again.json", "batchcompute job submit again.json"])
@job_argument()
def describe(session: Session, job: str) -> None:
    """Print the description of a job, as JSON for `job submit`.

    Dependencies has for each task the names of the tasks that start after it: {"A": ["B"]} runs A, then B; stderr says it for
    this job. In region local stderr also has the surroundings with which it was submitted: interpreter, PATH, locale and
    time zone.

    JSON, in either format: {JobName, JobTag, Description, Priority, TaskDag: {TaskDescMap, Dependencies}}, as in the API,
    without empty properties. With --format json also Surroundings, null if none are known, else {Interpreter, Path, Locale,
    TimeZone} without what was not set; `job submit` ignores it.
    """
    with session.client() as client:
        found = find_job(client, job)
        detail = client.get_job_description(found).detail()
        surroundings = attempts.ask(lambda: client.get_surroundings(found))
    for name in ("RequestId", "StatusCode", "Date"):
        detail.pop(name, None)
    if session.json:
        detail[SURROUNDINGS] = None if surroundings is None else surroundings.to_wire()
    dependencies = {name: after for name, after in detail["TaskDag"].get("Dependencies", {}).items() if after}
    output.emit_json(detail)
    if dependencies and not session.json:
        first, after = next(iter(dependencies.items()))
        output.say(
            output.plain(
                f"Dependencies: a task stands before those that start after it: {first}, then {', '.join(after)}."
            )
        )
    if surroundings is not None and not session.json:
        output.say(f"Submitted with Python {output.plain(surroundings.interpreter) or '(none)'}")
        for name, value in surroundings.variables.items():
            output.say(f"  {name}={output.plain(value)}")


@command(
    "wait",
    examples=["batchcompute job wait last", "batchcompute job wait last --timeout 600 && echo finished"],
)
@job_argument()
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Stop waiting then; the job continues.",
)
def wait(session: Session, job: str, timeout: float | None) -> None:
    """Wait until a job has ended, and show its progress. Ctrl-C does not stop the job.

    Exits with 0 if it Finished, 3 if it Failed, 4 if it was Stopped, 5 after --timeout.

    JSON: the job as in `job list`, after it has ended.
    """
    with session.client() as client:
        raise Exit(follow(session, client, find_job(client, job), timeout))


def follow(session: Session, client: Client, job_id: str, timeout: float | None = None) -> int:
    """Show the progress of a job until it has ended. Return the exit code. Raises WaitTimeoutError."""
    from .watch import watch

    ended: Job = watch(client, job_id, timeout=timeout, out=sys.stderr)
    if session.json:
        output.emit_json(shapes.job(ended))
    else:
        shape = shapes.job(ended)
        spent = output.since(shape["started"] or shape["created"], shape["ended"])
        output.say(f"Job {job_id} is {ended.State}, after {spent}.", output.COLOURS.get(ended.State))
    if ended.State == "Failed":
        with suppress(BatchComputeError):  # what only explains the failure must not hide it
            failed = [(task.TaskName, number) for task in client.list_tasks(job_id) for number in shapes.failed(task)]
            if failed:
                output.say(f"Failed: {output.plain(name_instances(failed))}")
        output.say(f"Why: batchcompute job logs {job_id} --stderr")
    return {"Failed": FAILED, "Stopped": STOPPED}.get(ended.State, 0)
