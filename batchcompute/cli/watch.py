"""Follow a job until it ends: live on a terminal, else line by line. Ctrl-C does not stop the job."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from ..errors import BatchComputeError, StateConflictError, TransportError
from ..log_pieces import read_end
from .dag import order
from .failures import INTERRUPTED, STOPPED
from .output import plain
from .progress import ENDED, Row, Tail, lines, view

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from .. import Client, Job

_BACK = "Come back with: batchcompute job wait {}"
_TAIL_LINES = 8
_TAIL_BYTES = 4000
_STOP_OFFER_SECONDS = 0.5
_LIST_INTERVAL_FACTOR = 10


def watch(client: Client, job_id: str, *, timeout: float | None = None, out: TextIO | None = None) -> Job:
    """Show the progress of the job until it has ended, and return its last state.

    out: the stream; None is stderr, so that stdout has only the result. Raises WaitTimeoutError after `timeout` seconds, and
    click's Exit when the user detaches with Ctrl-C.
    """
    out = out or sys.stderr
    followed = _Followed(client, job_id)
    try:
        with (_live if can_redraw(out) else _plain)(followed, out):
            return client.wait(job_id, timeout=timeout, on_change=followed.update)
    except TransportError:
        click.echo(_BACK.format(job_id), file=out)
        raise
    except KeyboardInterrupt:
        _detach(client, job_id, out)


def can_redraw(out: TextIO) -> bool:
    """Check if `out` is a terminal with a movable cursor, and no other writer: --verbose logs each call."""
    logged = logging.getLogger("batchcompute").isEnabledFor(logging.INFO)
    return out.isatty() and not logged and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


class _Followed:
    """The last known state of the job. `changed` is called after each update."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client = client
        self._id = job_id
        self._order: dict[str, int] = {}
        self._listed = -1e9
        self._cost = 0.0
        self.changed: Callable[[], object] = lambda: None
        self.job: Job | None = None
        self.rows: list[Row] = []
        self.tail: Tail | None = None

    def update(self, job: Job) -> None:
        """Take over the changed job. Long lists of instances are requested less often."""
        self.job = job
        if not self._order:
            dag = self._client.get_job_description(self._id).TaskDag
            self._order = {name: place for place, name in enumerate(order(list(dag.TaskDescMap), dag.Dependencies))}
        began = time.monotonic()
        if job.State in ENDED or began - self._listed > _LIST_INTERVAL_FACTOR * self._cost:
            tasks = sorted(self._client.list_tasks(self._id), key=lambda task: self._order.get(task.TaskName, 0))
            self.rows = [Row.of(task) for task in tasks]
            failed = [
                (instance.EndTime, task.TaskName, instance.InstanceId)
                for task, row in zip(tasks, self.rows, strict=True)
                if row.counts.get("Failed")
                for instance in task.InstanceList
                if instance.State == "Failed"
            ]
            self.tail = self._tail_of(*max(failed)[1:]) if failed else None
            self._listed = time.monotonic()
            self._cost = self._listed - began
        self.changed()

    def _tail_of(self, task: str, instance: int) -> Tail | None:
        if self.tail and (self.tail.task, self.tail.instance) == (task, instance):
            return self.tail
        try:
            log = self._client.open_log(self._id, task, instance)
            with log or io.BytesIO() as end:
                data = read_end(end, _TAIL_BYTES)
        except (BatchComputeError, LookupError, OSError):  # an error here must not hide the failure
            return None
        shown = [plain(line) for line in data.decode("utf-8", "replace").splitlines()]
        return Tail(task, instance, tuple(shown[-_TAIL_LINES:]))


@contextmanager
def _plain(followed: _Followed, out: TextIO) -> Iterator[None]:
    """Print each new line."""
    shown: set[str] = set()

    def show() -> None:
        now = lines(followed.rows, followed.tail)
        for line in now:
            if line not in shown:
                click.echo(line, file=out)
        shown.clear()
        shown.update(now)

    followed.changed = show
    yield


@contextmanager
def _live(followed: _Followed, out: TextIO) -> Iterator[None]:
    """Redraw in place; the last drawing stays."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out, highlight=False)

    def drawn() -> RenderableType:
        return _drawn(followed, console)

    with Live(get_renderable=drawn, console=console, refresh_per_second=4, vertical_overflow="crop") as live:
        followed.changed = live.refresh
        yield


def _drawn(followed: _Followed, console: Console) -> RenderableType:
    if followed.job is None:
        return ""
    utf = console.encoding.startswith("utf")
    height = console.height - 1  # the cursor stands in the last line
    return view(followed.job, followed.rows, followed.tail, time.time(), console.width, utf, height)


def _detach(client: Client, job_id: str, out: TextIO) -> NoReturn:
    """Print how to come back. A second Ctrl-C right after the first one offers to stop the job. Raises click's Exit."""
    stopped = False
    try:
        click.echo(f"\nDetached: {job_id} goes on.\n{_BACK.format(job_id)}", file=out)
        if sys.stdin.isatty() and out.isatty():
            click.echo(f"Stop it with: batchcompute job stop {job_id}", file=out)
            click.echo(f"Ctrl-C again within {_STOP_OFFER_SECONDS:g} seconds offers that too.", file=out)
            time.sleep(_STOP_OFFER_SECONDS)
    except KeyboardInterrupt:
        stopped = _offer_to_stop(client, job_id, out)
    raise click.exceptions.Exit(STOPPED if stopped else INTERRUPTED)


def _offer_to_stop(client: Client, job_id: str, out: TextIO) -> bool:
    """Ask, and stop the job. Return True if it was stopped."""
    try:
        if not click.confirm(f"\nStop {job_id}?", err=out is not sys.stdout):
            return False
        client.stop_job(job_id)
    except (click.Abort, KeyboardInterrupt):  # a third Ctrl-C or the end of the input means no
        click.echo(file=out)
        return False
    except StateConflictError:
        click.echo(f"{job_id} has ended by itself.", file=out)
        return False
    click.echo(f"Stopped. Go on with: batchcompute job start {job_id}", file=out)
    return True
