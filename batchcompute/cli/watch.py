"""Follows a job until it ends: live on a terminal, line by line elsewhere. Ctrl-C leaves the job alone."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from ..errors import BatchComputeError, StateConflictError, TransportError
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
_SECOND_THOUGHTS = 3.0
_LOOKS_COST = 10


def watch(client: Client, job_id: str, *, timeout: float | None = None, out: TextIO | None = None) -> Job:
    """Show how the job goes until it has ended, and return its last state.

    out: where to; None is stderr, so that stdout is left to the result. Raises WaitTimeoutError after `timeout` seconds, and
    click's Exit when the user detaches with Ctrl-C.
    """
    out = out or sys.stderr
    seen = _Seen(client, job_id)
    try:
        with (_live if can_redraw(out) else _plain)(seen, out):
            return client.wait(job_id, timeout=timeout, on_change=seen.look)
    except TransportError:
        click.echo(_BACK.format(job_id), file=out)
        raise
    except KeyboardInterrupt:
        _detach(client, job_id, out)


def can_redraw(out: TextIO) -> bool:
    """Return whether `out` is a terminal whose cursor can be moved, and nobody else writes to it: --verbose logs each call."""
    logged = logging.getLogger("batchcompute").isEnabledFor(logging.INFO)
    return out.isatty() and not logged and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


class _Seen:
    """Job as it was last seen. `changed` is called after each look."""

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

    def look(self, job: Job) -> None:
        """Take in that the job has changed. Long lists of instances are not asked for all the time."""
        self.job = job
        if not self._order:
            dag = self._client.get_job_description(self._id).TaskDag
            self._order = {name: place for place, name in enumerate(order(list(dag.TaskDescMap), dag.Dependencies))}
        began = time.monotonic()
        if job.State in ENDED or began - self._listed > _LOOKS_COST * self._cost:
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
            data = self._client.read_log(self._id, task, instance) or b""
        except (BatchComputeError, LookupError, OSError):  # what only explains a failure must not hide it
            return None
        said = [plain(line) for line in data[-_TAIL_BYTES:].decode("utf-8", "replace").splitlines()]
        return Tail(task, instance, tuple(said[-_TAIL_LINES:]))


@contextmanager
def _plain(seen: _Seen, out: TextIO) -> Iterator[None]:
    """Prints each line when it is new."""
    shown: set[str] = set()

    def show() -> None:
        now = lines(seen.rows, seen.tail)
        for line in now:
            if line not in shown:
                click.echo(line, file=out)
        shown.clear()
        shown.update(now)

    seen.changed = show
    yield


@contextmanager
def _live(seen: _Seen, out: TextIO) -> Iterator[None]:
    """Redraws in place; what was last there stays."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=out, highlight=False)

    def drawn() -> RenderableType:
        return _drawn(seen, console)

    with Live(get_renderable=drawn, console=console, refresh_per_second=4, vertical_overflow="crop") as live:
        seen.changed = live.refresh
        yield


def _drawn(seen: _Seen, console: Console) -> RenderableType:
    if seen.job is None:
        return ""
    utf = console.encoding.startswith("utf")
    return view(seen.job, seen.rows, seen.tail, time.time(), console.width, utf)


def _detach(client: Client, job_id: str, out: TextIO) -> NoReturn:
    """Say how to come back; a second Ctrl-C within a few seconds offers to stop the job. Raises click's Exit."""
    stopped = False
    try:
        click.echo(f"\nDetached: {job_id} goes on. {_BACK.format(job_id)}", file=out)
        if sys.stdin.isatty() and out.isatty():
            click.echo("Press Ctrl-C again to stop the job.", file=out)
            time.sleep(_SECOND_THOUGHTS)
    except KeyboardInterrupt:
        stopped = _offer_to_stop(client, job_id, out)
    raise click.exceptions.Exit(STOPPED if stopped else INTERRUPTED)


def _offer_to_stop(client: Client, job_id: str, out: TextIO) -> bool:
    """Return whether the job was stopped."""
    try:
        if not click.confirm(f"\nStop {job_id}?", err=out is not sys.stdout):
            return False
        client.stop_job(job_id)
    except (click.Abort, KeyboardInterrupt):  # a third Ctrl-C, or the end of the input: no
        click.echo(file=out)
        return False
    except StateConflictError:
        click.echo(f"{job_id} has ended by itself.", file=out)
        return False
    click.echo(f"Stopped. Go on with: batchcompute job start {job_id}", file=out)
    return True
