"""`batchcompute demo`: the reference's own story, find-prime, from packing the program to reading the answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from .. import Client, Job, JobDescription, Task, pack
from ..errors import BatchComputeError

END = 10_000
PACKAGE = "oss://demo/find-prime/worker.tar.gz"
LOGS = "oss://demo/find-prime/logs/"
_MARKS = {"Finished": "●", "Running": "◐", "Failed": "✗", "Stopped": "■"}
_ASCII = {"Finished": "#", "Running": ">", "Failed": "x", "Stopped": "-"}


def description() -> JobDescription:
    """Task Find with 4 instances, then task Count."""
    common = {"PackageUri": PACKAGE, "ImageId": "img-local", "StdoutRedirectPath": LOGS, "StderrRedirectPath": LOGS}
    find = {**common, "ProgramName": "find.py", "ProgramArguments": str(END), "InstanceCount": 4}
    count = {**common, "ProgramName": "count.py"}
    return JobDescription(
        {
            "JobName": "find-prime",
            "Description": "the primes below 10,000",
            "Priority": 100,
            "TaskDag": {"TaskDescMap": {"Find": find, "Count": count}, "Dependencies": {"Find": ["Count"]}},
        }
    )


def run(endpoint: str) -> None:
    """Submit, watch, and print the answer. Raises BatchComputeError."""
    with Client(endpoint) as client:
        program = pack(Path(__file__).parent / "find_prime")
        client.objects.put(PACKAGE, program)
        click.echo(f"Packed the program, {len(program)} bytes, and uploaded it to {PACKAGE}")
        job = client.create_job(description())
        click.echo(f"Submitted job {job.JobId}: Find, 4 instances, then Count\n")
        progress = Progress(["Find", "Count"])
        ended = client.wait(job, on_change=lambda seen: progress.show(seen, client.list_tasks(job)), check=True)
        click.echo(f"\nThe job {ended.State.lower()}. Its logs:")
        for uri, size in client.objects.list(LOGS):
            if job.JobId in uri and size:
                click.echo(f"  {uri}")
        where = getattr(client.objects, "root", None)
        if where is not None:
            click.echo(f"  (oss:// is the folder {where})")
        with client.objects.open(f"oss://demo/find-prime/{job.JobId}/answer") as file:
            answer = int(file.read())
        if answer != 1229:
            raise BatchComputeError(f"the job counted {answer} primes below {END}; there are 1229")
        click.echo(f"\nPrimes below {END}: {answer}")


class Progress:
    """One line for each task: redrawn in place on a terminal, elsewhere printed when it has changed."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = {name: place for place, name in enumerate(order)}
        self._live = sys.stdout.isatty()
        encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
        self._marks = _MARKS if encoding.startswith("utf") else _ASCII
        self._shown: list[str] = []

    def show(self, job: Job, tasks: Sequence[Task]) -> None:
        """Show the tasks as they are now."""
        lines = [self._line(task) for task in sorted(tasks, key=lambda task: self._order.get(task.TaskName, 0))]
        if self._live:
            if self._shown:
                click.echo(f"\x1b[{len(self._shown)}F", nl=False)
            for line in lines:
                click.echo(f"\x1b[2K{line}")
        else:
            for line in lines:
                if line not in self._shown:
                    click.echo(line)
        self._shown = lines

    def _line(self, task: Task) -> str:
        states = [instance.State for instance in task.InstanceList]
        marks = "".join(self._marks.get(state, "·" if self._marks is _MARKS else ".") for state in states)
        return f"  {task.TaskName:<6} {task.State:<9} {marks:<5} {states.count('Finished')} of {len(states)} finished"
