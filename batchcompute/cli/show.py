"""`batchcompute job show`: one job, its tasks, why it waits, and the attempts of its instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import BatchComputeError
from ..messages import did_you_mean, name_instances
from . import attempts, dag, output, shapes
from .arguments import job_argument
from .completion import tasks as complete_tasks
from .finding import find_job
from .session import Session, command
from .watch import watch

if TYPE_CHECKING:
    from ..values.details import JobDetails

_MOST_REASONS = 3


@command(
    "show",
    formats=("table", "json", "mermaid", "dot"),
    examples=[
        "batchcompute job show last",
        "batchcompute job show 1C763900000001",
        "batchcompute job show last --task Find --instance 3",
        "batchcompute job show last --format dot | dot -Tsvg > job.svg",
    ],
)
@job_argument()
@click.option("--task", "task_name", metavar="TASK", shell_complete=complete_tasks, help="Only this task.")
@click.option(
    "--instance", type=click.IntRange(0), metavar="N", help="One instance of the task, with all of its attempts."
)
@click.option(
    "--wait", "-w", is_flag=True, help="Follow the job until it has ended, as `job wait` does, and show it then."
)
def show(
    session: Session, job: str, task_name: str | None = None, instance: int | None = None, wait: bool = False
) -> None:
    """Show a job: its tasks and their dependencies, with states, counts and times. Region local also says why it waits, which
    jobs take the slots, and how the attempts of instances ended that failed, ran more than once or left processes.

    JSON: the job as in `job list`, slots, {total, taken, by_job} or null, and tasks, a list of {task, state, started, ended,
    after, instances_total, instances_waiting, instances_running, instances_finished, instances_failed, instances_stopped, failed,
    reason, max_retry_count, leftovers, attempts, more}; after lists its predecessors, failed the numbers of the failed instances.
    attempts is a list of {instance, attempt, round, state, started, ended, worker_started, worker_ended, seconds, exit_code,
    signal, reason, host, timed_out, leftovers, node}, with leftovers a list of {pid, command, signal} and node empty where there
    are none; more counts the instances that are left out.
    """
    if instance is not None and task_name is None:
        raise click.UsageError("--instance needs --task")
    with session.client() as client:
        found = find_job(client, job)
        if wait:
            watch(client, found)
        shape = shapes.job(client.get_job(found))
        dependencies = client.get_job_description(found).TaskDag.Dependencies
        before = dag.predecessors(dependencies)
        tasks = {one.TaskName: shapes.task(one, before.get(one.TaskName, [])) for one in client.list_tasks(found)}
        _check(found, tasks, task_name, instance)
        details = attempts.ask(lambda: client.get_job_details(found, task_name, instance))
    names = [name for name in dag.order(sorted(tasks), dependencies) if task_name in (None, name)]
    tasks = {name: tasks[name] for name in names}
    if session.json:
        known = details.tasks if details else {}
        shown = [task | shapes.task_details(known.get(name)) for name, task in tasks.items()]
        output.emit_json({**shape, **_remarks(details), "tasks": shown})
        return
    nodes = [dag.Node(name, task["state"], _counts(task)) for name, task in tasks.items()]
    if session.format == "mermaid":
        output.put(dag.mermaid(nodes, dependencies))
    elif session.format == "dot":
        output.put(dag.dot(nodes, dependencies, shape["name"] or found))
    else:
        _print(shape, nodes, dependencies if task_name is None else {}, details)
        if details is not None and instance is not None:
            _print_whole(found, details, task_name or "", instance)
        else:
            _explain(found, list(tasks.values()), details)


def _check(job_id: str, tasks: Mapping[str, Mapping[str, Any]], name: str | None, instance: int | None) -> None:
    """Raises BatchComputeError for a task or an instance that the job does not have."""
    if name is not None and name not in tasks:
        raise BatchComputeError(f"{job_id} has no task {name!r}{did_you_mean(name, tasks)}; tasks: {', '.join(tasks)}")
    if name is not None and instance is not None and instance >= tasks[name]["instances_total"]:
        most = tasks[name]["instances_total"] - 1
        raise BatchComputeError(f"task {name} has no instance {instance}: they are 0 to {most}")


def _remarks(details: JobDetails | None) -> dict[str, Any]:
    if details is None:
        return {"reason": None, "leftovers": None, "slots": None}
    leftovers = sum(task.leftovers for task in details.tasks.values())
    return {"reason": details.reason, "leftovers": leftovers, "slots": shapes.slots(details.slots)}


def _print(
    job: Mapping[str, Any], nodes: Sequence[dag.Node], dependencies: dag.Dependencies, details: JobDetails | None
) -> None:
    state = job["state"]
    output.line(
        (job["name"] or "-", None), ("  ", None), (job["job_id"], None), ("  ", None), (state, state), cut=False
    )
    facts = [f"priority {job['priority']}", f"created {output.since(job['created'])} ago"]
    if job["started"]:
        facts.append(f"{'took' if job['ended'] else 'runs for'} {output.since(job['started'], job['ended'])}")
    if details is not None and details.round > 1:
        facts.append(f"round {details.round}")
    output.line((", ".join(facts), None), cut=False)
    if job["description"]:
        output.line((job["description"], None), cut=False)
    if details is not None and not job["ended"]:
        if details.reason:
            output.put(f"Waits: {output.plain(details.reason)}")
        output.put(f"Slots: {attempts.describe_slots(details.slots)}")
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


def _explain(job_id: str, tasks: Sequence[Mapping[str, Any]], details: JobDetails | None) -> None:
    if details is not None:
        reasons = [
            f"{name}: {task.reason}"
            for name, task in details.tasks.items()
            if task.reason not in ("", details.reason) and not task.reason.startswith("waits for task")
        ]
        lines = list(attempts.lines(job_id, details.tasks))
        if len(reasons) > _MOST_REASONS:
            reasons[_MOST_REASONS:] = [f"{len(reasons) - _MOST_REASONS} more tasks wait"]
        for title, texts in (("Waiting", reasons), ("Attempts", lines)):
            if texts:
                output.put(f"\n{title}:")
                for text in texts:
                    output.line((f"  {text}", None), cut=False)
    failed = [(task["task"], number) for task in tasks for number in task["failed"]]
    if failed:
        name, number = failed[0]
        output.put(f"\nFailed: {output.plain(name_instances(failed))}")
        output.put(f"Why {name} failed: batchcompute job logs {job_id} {name} {number} --stderr")


def _print_whole(job_id: str, details: JobDetails, name: str, number: int) -> None:
    task = details.tasks[name]
    found = task.instances.get(number)
    output.put()
    if found is None:
        output.put(f"{name} {number} has not been started yet. {output.plain(task.reason)}".rstrip())
        return
    for line in attempts.whole(job_id, name, number, found):
        output.line((line, None), cut=False)
