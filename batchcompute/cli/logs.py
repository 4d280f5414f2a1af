"""`batchcompute job logs`: print the logs of instances, one unchanged, several with a prefix; also while they run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from ..errors import BatchComputeError
from ..messages import did_you_mean
from .arguments import job_argument
from .completion import tasks
from .dag import order
from .finding import find_job
from .progress import ENDED
from .session import Session, command

if TYPE_CHECKING:
    from .. import Client, Task, TaskDag

_EXAMPLES = (
    "batchcompute job logs last",
    "batchcompute job logs last Find --follow",
    "batchcompute job logs last Find 3 --stderr > find-3.txt",
    "batchcompute job logs last Find 3 --attempt 1",
    "batchcompute job logs last --format json | jq -r 'select(.instance == 0).line'",
)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_GROWTH = 1.4


@command("logs", examples=_EXAMPLES)
@job_argument()
@click.argument("task", required=False, shell_complete=tasks)
@click.argument("instance", required=False, type=click.IntRange(0))
@click.option("--follow", "-f", is_flag=True, help="Continue until the job has ended.")
@click.option("--stderr", is_flag=True, help="Print stderr instead of stdout.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Print the log of attempt N of one instance.")
def logs(
    session: Session,
    job: str,
    task: str | None,
    instance: int | None,
    follow: bool,
    stderr: bool,
    attempt: int | None,
) -> None:
    """Print the logs of all instances of a job, of one TASK, or of one INSTANCE. Lines of several instances begin with the
    name of the instance. The log of a single INSTANCE is printed unchanged.
    --attempt needs TASK and INSTANCE, unless the job has one task, or the task one instance.

    JSON: one object on each line, {task, instance, stream, line}.
    """
    with session.client() as client:
        stream = "stderr" if stderr else "stdout"
        Logs(client, find_job(client, job), task, instance, stream, follow, session.json, attempt).show()


@dataclass(slots=True)
class _Source:
    """One instance: the number of bytes shown, and its last, unfinished line."""

    task: str
    instance: int
    began: object = 0
    shown: int = 0
    rest: bytes = b""
    there: bool = False
    ended: bool = False
    done: bool = False

    @property
    def name(self) -> str:
        return f"{self.task}.{self.instance}"


@dataclass(slots=True)
class Logs:
    """Logs of a job, of one of its tasks, or of one instance.

    follow: continue until the job has ended; as_json: one object for each line, instead of text.
    attempt: the attempt to print, of one instance; None for the newest.
    """

    client: Client
    job_id: str
    task: str | None = None
    instance: int | None = None
    stream: str = "stdout"
    follow: bool = False
    as_json: bool = False
    attempt: int | None = None
    _sources: dict[tuple[str, int], _Source] = field(default_factory=dict)
    _width: int = 0

    def show(self) -> None:
        """Print the logs. Raises BatchComputeError for a task or an instance that the job does not have."""
        places = self._order()
        pause = _FIRST_PAUSE
        while True:
            ended = (
                self.client.get_job(self.job_id).State in ENDED
            )  # asked before reading, so that the last read is complete
            self._find(sorted(self.client.list_tasks(self.job_id), key=lambda task: places.get(task.TaskName, 0)))
            last = ended or not self.follow
            if self._print_new(last):
                pause = _FIRST_PAUSE
            if last:
                break
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        if not any(source.there for source in self._sources.values()):
            click.echo("There are no logs: no instance has started yet, or the region keeps no logs.", err=True)

    def _order(self) -> dict[str, int]:
        dag = self.client.get_job_description(self.job_id).TaskDag
        if self.task is not None and self.task not in dag.TaskDescMap:
            names = list(dag.TaskDescMap)
            raise BatchComputeError(
                f"{self.job_id} has no task {self.task!r}{did_you_mean(self.task, names)}; tasks: {', '.join(names)}"
            )
        if self.task is not None and self.instance is not None:
            count = dag.get_task(self.task).InstanceCount
            if not 0 <= self.instance < count:
                raise BatchComputeError(f"task {self.task} has no instance {self.instance}: they are 0 to {count - 1}")
        if self.attempt is not None:
            self._choose_instance(dag)
        return {name: place for place, name in enumerate(order(list(dag.TaskDescMap), dag.Dependencies))}

    def _choose_instance(self, dag: TaskDag) -> None:
        """Find the one instance of --attempt. Raises BatchComputeError if there are several."""
        names = list(dag.TaskDescMap)
        if self.task is None:
            if len(names) != 1:
                raise BatchComputeError(f"--attempt needs a TASK, since the job has several: {', '.join(names)}")
            self.task = names[0]
        if self.instance is None:
            count = dag.get_task(self.task).InstanceCount
            if count != 1:
                raise BatchComputeError(
                    f"--attempt needs an INSTANCE, since task {self.task} has several: 0 to {count - 1}"
                )
            self.instance = 0

    def _find(self, tasks: list[Task]) -> None:
        """Find the instances that have started, and those that have ended."""
        for task in tasks:
            if self.task in (None, task.TaskName):
                for instance in task.InstanceList:
                    number = instance.InstanceId
                    if self.instance in (None, number):
                        self._width = max(self._width, len(f"{task.TaskName}.{number}"))
                        if instance.State != "Waiting" or instance.StartTime or self.attempt is not None:
                            key = task.TaskName, number
                            source = self._sources.setdefault(key, _Source(*key))
                            if source.began != instance.StartTime:  # its log begins again
                                source.began, source.shown, source.rest, source.done = instance.StartTime, 0, b"", False
                            source.ended = instance.State in ENDED

    def _print_new(self, last: bool) -> bool:
        """Print new output. Return True if there was any."""
        out = sys.stdout.buffer
        anything = False
        for source in [one for one in self._sources.values() if not one.done]:
            final = last or source.ended
            data = self._read(source)
            if data is None:
                continue
            source.there, source.done = True, source.ended
            source.shown += len(data)
            for text in self._texts(source, data, final):
                out.write(text)
                anything = True
        out.flush()
        return anything

    def _read(self, source: _Source) -> bytes | None:
        """Read new output. Raises BatchComputeError for an attempt that has no log."""
        try:
            data = self.client.read_log(
                self.job_id, source.task, source.instance, self.stream, start=source.shown, attempt=self.attempt
            )
        except LookupError as error:
            raise BatchComputeError(f"{source.name}: {error}") from None
        if data is None and self.attempt is not None:
            raise BatchComputeError(f"{source.name}: the region has no log of attempt {self.attempt}")
        return data

    def _texts(self, source: _Source, data: bytes, final: bool) -> Iterator[bytes]:
        if self.instance is not None and not self.as_json:
            if data:
                yield data
            return
        *whole, source.rest = (source.rest + data).split(b"\n")
        if final and source.rest:
            whole, source.rest = [*whole, source.rest], b""
        for line in whole:
            if self.as_json:
                text = line.decode("utf-8", "replace")
                item = {"task": source.task, "instance": source.instance, "stream": self.stream, "line": text}
                yield json.dumps(item).encode() + b"\n"
            else:
                yield f"{source.name:<{self._width}} | ".encode() + line + b"\n"
