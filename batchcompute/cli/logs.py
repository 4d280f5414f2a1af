"""`batchcompute job logs`: print the logs of instances, one unchanged, several with a prefix; also while they run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import click

from ..errors import BatchComputeError
from ..log_pieces import BLOCK, find_tail, skip
from ..messages import did_you_mean
from .arguments import job_argument
from .completion import tasks
from .dag import order
from .finding import find_job
from .progress import ENDED, seconds
from .session import Session, command
from .times import read_moment

if TYPE_CHECKING:
    from .. import Client, Instance, Task, TaskDag

_EXAMPLES = (
    "batchcompute job logs last",
    "batchcompute job logs last Find --follow",
    "batchcompute job logs last Find 3 --stderr > find-3.txt",
    "batchcompute job logs last Find 3 --attempt 1",
    "batchcompute job logs last Find --tail 20",
    "batchcompute job logs last --since 10m",
    "batchcompute job logs last --format json | jq -r 'select(.instance == 0).line'",
)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_GROWTH = 1.4
_MOMENT = 0.5
"""Seconds after which an unfinished line that does not grow is shown."""
_AT_ONCE = 16 << 20
"""Bytes of one running instance before the next one gets its turn."""
_LONGEST_LINE = 1 << 20
"""Bytes of an unfinished line that are kept."""


@command("logs", examples=_EXAMPLES)
@job_argument()
@click.argument("task", required=False, shell_complete=tasks)
@click.argument("instance", required=False, type=click.IntRange(0))
@click.option("--follow", "-f", is_flag=True, help="Continue until the job has ended.")
@click.option("--stderr", is_flag=True, help="Print stderr instead of stdout.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Print the log of attempt N of one instance.")
@click.option(
    "--since",
    callback=read_moment,
    metavar="TIME",
    help="Print logs of instances that ran since then: 10m, 2026-11-26T18:00.",
)
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Print the last N lines of each instance.")
def logs(
    session: Session,
    job: str,
    task: str | None,
    instance: int | None,
    follow: bool,
    stderr: bool,
    attempt: int | None,
    since: float | None,
    tail: int | None,
) -> None:
    """Print the logs of all instances of a job, of one TASK, or of one INSTANCE. Lines of several instances begin with the
    name of the instance. The log of a single INSTANCE is printed unchanged.
    --attempt needs TASK and INSTANCE, unless the job has one task, or the task one instance.

    Lines of several instances also end at a carriage return, and a line without an end is printed when it does not grow for a
    moment.

    Lines have no times. So --since leaves out the instances that ended before that time, and prints the others from the
    beginning, or with --tail N from their last N lines on. A TIME is an age (s, m, h, d, w) or ISO 8601.

    JSON: one object on each line, {task, instance, stream, line}.
    """
    with session.client() as client:
        stream = "stderr" if stderr else "stdout"
        Logs(
            client,
            find_job(client, job),
            task,
            instance,
            stream,
            follow,
            session.json,
            attempt,
            tail,
            since or 0.0,
        ).show()


@dataclass(slots=True)
class _Source:
    """One instance: the number of bytes shown, its last, unfinished line, and when it grew.

    cut: the last printed line had no newline yet.
    """

    task: str
    instance: int
    began: object = 0
    shown: int = 0
    rest: bytes = b""
    cut: bool = False
    grew: float = 0.0
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
    attempt: the attempt to print, of one instance; None for the newest. tail: the lines of each log to begin with; None for all.
    since: leave out instances that ended before, in epoch seconds.
    """

    client: Client
    job_id: str
    task: str | None = None
    instance: int | None = None
    stream: str = "stdout"
    follow: bool = False
    as_json: bool = False
    attempt: int | None = None
    tail: int | None = None
    since: float = 0.0
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
        when = "run since then" if self.since else "started yet"
        if not any(source.there for source in self._sources.values()):
            click.echo(f"There are no logs: no instance has {when}, or the region keeps no logs.", err=True)

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
                    if self.instance in (None, number) and self._is_wanted(instance):
                        self._width = max(self._width, len(f"{task.TaskName}.{number}"))
                        if instance.State != "Waiting" or instance.StartTime or self.attempt is not None:
                            key = task.TaskName, number
                            source = self._sources.setdefault(key, _Source(*key))
                            if source.began != instance.StartTime:  # its log begins again
                                source.began, source.shown, source.rest, source.done = instance.StartTime, 0, b"", False
                                source.cut = False
                            source.ended = instance.State in ENDED

    def _is_wanted(self, instance: Instance) -> bool:
        # times are whole seconds, rounded down; the program of a stopped instance ends after it
        ended = max(seconds(instance.EndTime), seconds(instance.WorkerEndTime))
        return instance.State not in ENDED or not ended or ended + 1 > self.since

    def _print_new(self, last: bool) -> bool:
        """Print new output. Return True if there was any."""
        out = sys.stdout.buffer
        anything = False
        for source in [one for one in self._sources.values() if not one.done]:
            log = self._open(source)
            if log is None:
                continue
            final = last or source.ended
            if not source.there and self.tail is not None:
                with log:
                    source.shown = find_tail(log, self.tail)
                log = self._open(source) or log
            with log:
                source.there, source.done = True, source.ended
                skip(log, source.shown)
                grown = 0
                while (final or grown < _AT_ONCE) and (data := log.read(BLOCK)):
                    grown += len(data)
                    source.shown += len(data)
                    out.writelines(self._texts(source, data))
            if final or not grown:
                out.writelines(self._partial(source, final))
            source.grew = time.monotonic() if grown else source.grew
            anything = anything or grown > 0
        out.flush()
        return anything

    def _open(self, source: _Source) -> BinaryIO | None:
        """Open a log. Raises BatchComputeError for an attempt that has none."""
        try:
            log = self.client.open_log(self.job_id, source.task, source.instance, self.stream, attempt=self.attempt)
        except LookupError as error:
            raise BatchComputeError(f"{source.name}: {error}") from None
        if log is None and self.attempt is not None:
            raise BatchComputeError(f"{source.name}: the region has no log of attempt {self.attempt}")
        return log

    def _texts(self, source: _Source, data: bytes) -> Iterator[bytes]:
        """Yield what is to be printed of new output, and keep an unfinished line. A carriage return ends a line too."""
        if self.instance is not None and not self.as_json:
            yield data
            return
        rest, source.rest = source.rest + data, b""
        for line in rest.splitlines(keepends=True):
            if not line.endswith((b"\n", b"\r")) and len(line) < _LONGEST_LINE:
                source.rest = line
                return
            text = line.rstrip(b"\r\n")
            if text or (line.endswith(b"\n") and not source.cut):
                yield self._line(source, text)
            source.cut = not line.endswith(b"\n")

    def _partial(self, source: _Source, final: bool) -> Iterator[bytes]:
        """Yield the unfinished line at the end, or when it has not grown for a moment. Objects have whole lines."""
        still = not self.as_json and time.monotonic() - source.grew >= _MOMENT
        if source.rest and (final or still):
            yield self._line(source, source.rest)
            source.rest, source.cut = b"", True

    def _line(self, source: _Source, line: bytes) -> bytes:
        if self.as_json:
            text = line.decode("utf-8", "replace")
            item = {"task": source.task, "instance": source.instance, "stream": self.stream, "line": text}
            return json.dumps(item).encode() + b"\n"
        return f"{source.name:<{self._width}} | ".encode() + line + b"\n"
