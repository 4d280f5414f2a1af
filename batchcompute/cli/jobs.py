"""`batchcompute job list`, `show`, `describe` and `wait`: read jobs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from ..errors import BatchComputeError
from ..messages import name_instances
from . import dag, output, shapes
from .arguments import job_argument
from .failures import FAILED, STOPPED
from .finding import find_job, newest_first
from .reading import SURROUNDINGS
from .session import Session, command

if TYPE_CHECKING:
    from ..client import Client
    from ..values.responses import Job

_LIMIT = 30
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
        "batchcompute job list --state Failed --state Stopped --limit 5",
        "batchcompute job list --format json | jq -r '.[].job_id'",
    ],
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(shapes.STATES, case_sensitive=False),
    help="Only jobs in this state; may be repeated.",
)
@click.option("--limit", type=click.IntRange(0), default=_LIMIT, show_default=True, help="How many; 0: all.")
def list_(session: Session, states: Sequence[str], limit: int) -> None:
    """List the jobs, the newest first.

    JSON: a list of jobs, each {job_id, name, description, state, priority, owner, created, started, ended, total_seconds,
    tasks_total, tasks_waiting, tasks_running, tasks_finished, tasks_failed, tasks_stopped, instances_total,
    instances_waiting, instances_running, instances_finished, instances_failed, instances_stopped}.
    """
    with session.client() as client:
        found = [job for job in newest_first(client.list_jobs()) if not states or job.State in states]
        shown = found[:limit] if limit else found
        empty = "No job is in that state." if states else "There are no jobs. `batchcompute demo` runs one."
        output.emit([shapes.job(job) for job in shown], _COLUMNS, session.format, empty)
    if len(shown) < len(found):
        output.say(f"{len(shown)} of {len(found)} jobs are shown; --limit 0 shows all.")


@command(
    "show",
    formats=("table", "json", "mermaid", "dot"),
    examples=[
        "batchcompute job show last",
        "batchcompute job show 1C763900000001",
        "batchcompute job show last --format dot | dot -Tsvg > job.svg",
    ],
)
@job_argument()
def show(session: Session, job: str) -> None:
    """Show a job: its tasks and their dependencies, with states, counts and times.

    JSON: the job as in `job list`, and tasks, a list of {task, state, started, ended, after, instances_total,
    instances_waiting, instances_running, instances_finished, instances_failed, instances_stopped, failed}; after lists its
    predecessors, failed the numbers of the failed instances.
    """
    with session.client() as client:
        found = find_job(client, job)
        shape = shapes.job(client.get_job(found))
        dependencies = client.get_job_description(found).TaskDag.Dependencies
        before = dag.predecessors(dependencies)
        tasks = {one.TaskName: shapes.task(one, before.get(one.TaskName, [])) for one in client.list_tasks(found)}
    tasks = {name: tasks[name] for name in dag.order(sorted(tasks), dependencies)}
    nodes = [dag.Node(name, task["state"], _counts(task)) for name, task in tasks.items()]
    if session.json:
        output.emit_json({**shape, "tasks": list(tasks.values())})
    elif session.format == "mermaid":
        output.put(dag.mermaid(nodes, dependencies))
    elif session.format == "dot":
        output.put(dag.dot(nodes, dependencies, shape["name"] or found))
    else:
        _print(shape, nodes, dependencies)
        _explain(found, list(tasks.values()))


def _print(job: Mapping[str, Any], nodes: Sequence[dag.Node], dependencies: dag.Dependencies) -> None:
    state = job["state"]
    output.line(
        (job["name"] or "-", None), ("  ", None), (job["job_id"], None), ("  ", None), (state, state), cut=False
    )
    facts = [f"priority {job['priority']}", f"created {output.since(job['created'])} ago"]
    if job["started"]:
        facts.append(f"{'took' if job['ended'] else 'runs for'} {output.since(job['started'], job['ended'])}")
    output.line((", ".join(facts), None), cut=False)
    if job["description"]:
        output.line((job["description"], None), cut=False)
    output.put()
    output.graph(dag.draw(nodes, dependencies, output.utf8()))


def _counts(task: Mapping[str, Any]) -> str:
    counts = [f"{task['instances_finished']} of {task['instances_total']} finished"]
    for state in ("running", "failed", "stopped"):
        if task[f"instances_{state}"]:
            counts.append(f"{task[f'instances_{state}']} {state}")
    if task["started"]:
        counts.append(output.since(task["started"], task["ended"] if task["state"] != "Running" else None))
    return ", ".join(counts)


def _explain(job_id: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    failed = [(task["task"], number) for task in tasks for number in task["failed"]]
    if failed:
        name, number = failed[0]
        output.put(f"\nFailed: {output.plain(name_instances(failed))}")
        output.put(f"Why {name} failed: batchcompute job logs {job_id} {name} {number} --stderr")


@command("describe", examples=["batchcompute job describe last > again.json", "batchcompute job submit again.json"])
@job_argument()
def describe(session: Session, job: str) -> None:
    """Print the description of a job, as JSON for `job submit`.

    In region local also the surroundings with which it was submitted, on stderr: interpreter, PATH, locale and time zone.

    JSON, in either format: {JobName, JobTag, Description, Priority, TaskDag: {TaskDescMap, Dependencies}}, as in the API,
    without empty properties. With --format json also Surroundings, null if none are known, else {Interpreter, Path, Locale,
    TimeZone} without what was not set; `job submit` ignores it.
    """
    with session.client() as client:
        found = find_job(client, job)
        detail = client.get_job_description(found).detail()
        surroundings = None
        with suppress(BatchComputeError):  # a cloud region may answer anything to what it does not have
            surroundings = client.get_surroundings(found)
    for name in ("RequestId", "StatusCode", "Date"):
        detail.pop(name, None)
    if session.json:
        detail[SURROUNDINGS] = None if surroundings is None else surroundings.to_wire()
    output.emit_json(detail)
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
