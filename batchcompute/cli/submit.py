"""`batchcompute job submit`: a description from a file becomes a job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from . import dag, output
from .failures import Refused
from .reading import change, read_description
from .session import Session, command, objects_of

if TYPE_CHECKING:
    from ..client import Client
    from ..values.resources import JobDescription

BUCKET = "batchcompute"


@dataclass(frozen=True, slots=True)
class Choices:
    """What `job submit` and `job run` let the user choose about sending: their common options."""

    bucket: str
    dry_run: bool
    wait: bool
    wait_timeout: float | None
    python: str = ""
    """The command by which the user called Python; "" if none."""


bucket_option = click.option(
    "--bucket", default=BUCKET, show_default=True, help="Where a packed program is put, and logs of `job run`."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Check and draw the job; send nothing.")
wait_option = click.option("--wait", "-w", is_flag=True, help="Follow the job until it has ended.")
timeout_option = click.option(
    "--wait-timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="How long --wait waits."
)


@command(
    "submit",
    examples=[
        "batchcompute job submit job.json",
        "batchcompute job submit job.toml --pack worker/ --set Find.InstanceCount=8 --wait",
        "batchcompute job submit job.yaml --name nightly --dry-run",
        "batchcompute job describe last | batchcompute job submit - --set Priority=500",
    ],
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a property: Priority=5, Find.InstanceCount=8, or *.ImageId=... for all tasks; may be repeated.",
)
@click.option(
    "--pack",
    "folder",
    type=click.Path(exists=True, file_okay=False),
    help="Pack and upload this folder as the program of the tasks that have no PackageUri.",
)
@click.option("--name", help="The name of the job.  [default: the description's]")
@bucket_option
@dry_run_option
@wait_option
@timeout_option
def submit(
    session: Session,
    file: str,
    assignments: Sequence[str],
    name: str | None,
    folder: str | None,
    bucket: str,
    dry_run: bool,
    wait: bool,
    wait_timeout: float | None,
) -> None:
    """Submit the job that FILE describes, as JSON, TOML or YAML; - is the standard input.

    Dependencies has for each task the names of the tasks that start after it: {"A": ["B"]} runs A, then B. --dry-run draws them.
    A property or task that does not exist is an error, and so is a name that stands twice. YAML: where text belongs,
    a value is taken as it is written, such as no, 007 or 12:30; numbers are decimal.

    Prints the job's id. With --wait, exits with 0 when it Finished, 3 when it Failed, 4 when it was Stopped.

    JSON: {job_id, name, tasks_total, instances_total, request_id}; with --wait the job as in `job list`, when it has ended;
    with --dry-run {name, tasks_total, instances_total, tasks}, tasks a list of {task, after, instances_total, program, package}.
    """
    description = read_description(file)
    change(description, assignments)
    if name is not None:
        description.JobName = name
    package = None
    if folder is not None:
        from ..packing import pack

        package = pack(folder)
    with session.client() as client:
        raise Exit(send(session, client, description, package, Choices(bucket, dry_run, wait, wait_timeout)))


def send(
    session: Session,
    client: Client,
    description: JobDescription,
    package: bytes | None,
    choices: Choices,
) -> int:
    """Submit a description, its package first; the exit code. Raises what Client.create_job does, and Refused."""
    from ..errors import ValidationError
    from .caller import describe_caller

    if choices.wait_timeout is not None and not choices.wait:
        raise click.UsageError("--wait-timeout is for --wait; add it")
    uri = None
    if package is not None:
        uri = f"oss://{choices.bucket}/packages/{hashlib.sha256(package).hexdigest()[:32]}.tar.gz"
        _fill(description, package, uri)
    _check(client, description)
    if choices.dry_run:
        _show(session, description)
        return 0
    if uri is not None and package is not None:
        if (store := objects_of(client)).exists(uri):
            output.say(f"Packed the program, {len(package)} bytes; it is already at {uri}.")
        else:
            store.put(uri, package)
            output.say(f"Packed the program, {len(package)} bytes, and uploaded it to {uri}.")
    try:
        job = client.create_job(description, surroundings=describe_caller(choices.python))
    except ValidationError as error:
        if any(problem.path.endswith(".ImageId") for problem in error.problems):
            error.add_note(
                "`batchcompute image list` shows the images; --set '*.ImageId=ID', or --image of `job run`, names one"
            )
        raise
    answer = {"job_id": job.JobId, **_summary(description), "request_id": job.RequestId}
    if not (session.json and choices.wait):
        output.emit_value(answer, answer["job_id"], session.format)
    if not session.json:
        output.say(f"Submitted {_in_words(description)}.")
    if choices.wait:
        from .jobs import follow

        return follow(session, client, job.JobId, choices.wait_timeout)
    if not session.json:
        output.say(f"Follow it: batchcompute job wait {job.JobId}")
    return 0


def _check(client: Client, description: JobDescription) -> None:
    """Raises ValidationError, also for names that no class has, with the cure for programs that are nowhere."""
    from ..errors import ValidationError

    problems = description.unknown_names()
    try:
        client.check_job(description)
    except ValidationError as error:
        problems += [problem for problem in error.problems if problem not in problems]
    if not problems:
        return
    found = ValidationError(problems)
    if any(problem.path.endswith(".PackageUri") and problem.value is None for problem in problems):
        found.add_note("--pack DIR packs and uploads the folder of the programs, and fills in PackageUri")
    raise found


def _fill(description: JobDescription, package: bytes, uri: str) -> None:
    """Name the package in the tasks that have none. Raises Refused when there are none, or the program is not in it."""
    tasks = {name: task for name, task in description.TaskDag.TaskDescMap.items() if not task.PackageUri}
    if not tasks and description.TaskDag.TaskDescMap:
        raise Refused("--pack: every task has a PackageUri already; take one out, or with --set '*.PackageUri='")
    inside = set(_names_in(package))
    for name, task in tasks.items():
        program = str(PurePosixPath(task.ProgramName))
        elsewhere = task.ProgramType == "java" or (task.ProgramType == "command" and is_on_machine(task.ProgramName))
        if task.ProgramName and not elsewhere and program not in inside:
            from ..messages import did_you_mean

            raise Refused(
                f"TaskDag.TaskDescMap.{name}.ProgramName: {task.ProgramName!r} is not in the folder that --pack names"
                f"{did_you_mean(program, inside)}"
            )
        task.PackageUri = uri


def is_on_machine(name: str) -> bool:
    """Return whether a command may be a program of the machine: a plain name, or an absolute path."""
    return "/" not in name or name.startswith("/")


def _names_in(package: bytes) -> Iterator[str]:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        yield from (member.name for member in archive if not member.isdir())


def _summary(description: JobDescription) -> dict[str, Any]:
    tasks = description.TaskDag.TaskDescMap
    return {
        "name": description.JobName,
        "tasks_total": len(tasks),
        "instances_total": sum(task.InstanceCount for task in tasks.values()),
    }


def _in_words(description: JobDescription) -> str:
    summary = _summary(description)
    tasks, instances = summary["tasks_total"], summary["instances_total"]
    return (
        f"{output.plain(summary['name'])}: {tasks} task{'s' if tasks > 1 else ''}, "
        f"{instances} instance{'s' if instances > 1 else ''}"
    )


def _show(session: Session, description: JobDescription) -> None:
    """Show the job without submitting it."""
    tasks, dependencies = description.TaskDag.TaskDescMap, description.TaskDag.Dependencies
    before = dag.predecessors(dependencies)
    if session.json:
        rows = [
            {
                "task": name,
                "after": before.get(name, []),
                "instances_total": tasks[name].InstanceCount,
                "program": tasks[name].ProgramName,
                "package": tasks[name].PackageUri,
            }
            for name in dag.order(list(tasks), dependencies)
        ]
        output.emit_json({**_summary(description), "tasks": rows})
        return
    nodes = [dag.Node(name, "", _describe_task(task)) for name, task in tasks.items()]
    output.graph(dag.draw(nodes, dependencies, output.utf8()))
    output.say(f"{_in_words(description)}. Nothing was sent.")


def _describe_task(task: Any) -> str:
    words = f"{task.ProgramType} {task.ProgramName} {task.ProgramArguments}".strip()
    return words if task.InstanceCount == 1 else f"{task.InstanceCount} times {words}"
