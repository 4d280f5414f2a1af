"""`python tests/unit/cli/screenshots.py`: the pictures in docs/images, of views with fixed jobs, times and widths.

tests/unit/cli/test_pages.py compares.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import click
from rich.console import Console
from rich.text import Text

from batchcompute import Job, JobDescription, JobDetails, Slots, Task
from batchcompute.cli import doctor as doctoring, output, show as showing
from batchcompute.cli.progress import Row, Tail, view
from batchcompute.hooks import Finding

IMAGES = Path(__file__).parents[3] / "docs" / "images"
_NOW = 1_790_000_000
_WIDTH = 96
_JOB = "job-000000006B02CD0FAD1C763900000001"


def _job(state: str, started: int, ended: int = 0, **more: Any) -> Job:
    times = {"StartTime": _NOW - started, "EndTime": _NOW - ended if ended else 0}
    return Job({"JobId": _JOB, "JobName": "render", "State": state, "Priority": 100, **times, **more})


def _row(name: str, state: str, started: int = 0, ended: int = 0, **counts: int) -> Row:
    return Row(name, state, counts, _NOW - started if started else 0, _NOW - ended if ended else 0)


def running(console: Console) -> None:
    """In the middle of a job."""
    rows = [
        _row("Split", "Finished", 190, 182, Finished=1),
        _row("Render", "Running", 182, Finished=71, Running=8, Waiting=49),
        _row("Sound", "Running", 181, Finished=3, Running=2, Waiting=1),
        _row("Join", "Waiting", Waiting=1),
    ]
    console.print(view(_job("Running", 190), rows, None, _NOW, console.width, True, 24))


def failed(console: Console) -> None:
    """A job whose second task has failed."""
    rows = [
        _row("Split", "Finished", 64, 60, Finished=1),
        _row("Render", "Failed", 60, 2, Finished=33, Failed=1, Stopped=7, Waiting=87),
        _row("Join", "Waiting", Waiting=1),
    ]
    said = (
        "Traceback (most recent call last):",
        '  File "render.py", line 12, in <module>',
        "    scene = load(sys.argv[1])",
        "FileNotFoundError: [Errno 2] No such file or directory: 'scene-41.blend'",
    )
    console.print(view(_job("Failed", 64, 2), rows, Tail("Render", 41, said), _NOW, console.width, True, 24))


def show(console: Console) -> None:
    """The tasks of a job, and what waits for what."""

    def task(name: str, state: str, started: int = 0, ended: int = 0, **counts: int) -> Task:
        states = [one for one, count in counts.items() for _ in range(count)]
        instances = [{"InstanceId": number, "State": one} for number, one in enumerate(states)]
        times = {"StartTime": _NOW - started if started else 0, "EndTime": _NOW - ended if ended else 0}
        return Task({"TaskName": name, "State": state, "InstanceList": instances, **times})

    names = ("Split", "Render", "Sound", "Join")
    after = {"Split": ["Render", "Sound"], "Render": ["Join"], "Sound": ["Join"]}
    client = mock.MagicMock()
    client.get_job.return_value = _job("Running", 190, CreateTime=_NOW - 200)
    dag = {"TaskDescMap": {name: {} for name in names}, "Dependencies": after}
    client.get_job_description.return_value = JobDescription({"TaskDag": dag})
    client.list_tasks.return_value = [
        task("Split", "Finished", 190, 182, Finished=1),
        task("Render", "Running", 182, Finished=71, Running=8, Waiting=49),
        task("Sound", "Finished", 181, 20, Finished=6),
        task("Join", "Waiting", Waiting=1),
    ]
    client.get_job_details.return_value = JobDetails("", 1, Slots(10, 8, {_JOB: 8}), {})
    _printed(console, showing.show, [_JOB], client)


def doctor(console: Console) -> None:
    """What is well and what is not."""
    findings = [
        Finding("version", "ok", "batchcompute 3.0.0"),
        Finding("settings", "ok", "region local, profile default"),
        Finding("endpoint", "ok", "/home/ann/.local/share/batchcompute answered in 15 ms"),
        Finding("clock", "ok", "the clocks agree"),
        Finding("interpreter", "note", "php programs cannot run: there is no php", "install it"),
        Finding(
            "storage",
            "problem",
            "/home/ann/.local/share/batchcompute has 0.0 GB left",
            "delete jobs that are not needed, or name another folder with BATCHCOMPUTE_DATA_DIR",
        ),
    ]
    with mock.patch.object(doctoring, "examine", return_value=findings):
        _printed(console, doctoring.doctor, [])


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _printed(console: Console, command: click.Command, arguments: list[str], client: Any = None) -> None:
    """Put what a command prints on a terminal into the picture."""

    @contextmanager
    def opened() -> Iterator[Any]:
        yield client

    def since(begin: str | None, end: str | None = None) -> str:
        return real(begin, end or now)

    real, now = output.since, datetime.fromtimestamp(_NOW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    session = SimpleNamespace(client=opened, json=False, format="table", endpoint=None, where="")
    environment = {"COLUMNS": str(console.width), "TERM": "xterm-256color", "NO_COLOR": ""}
    terminal = _Terminal()
    with (
        mock.patch.object(output, "since", since),
        mock.patch.dict(os.environ, environment),
        redirect_stdout(terminal),
    ):
        callback = command.callback
        assert callback is not None
        parameters = {"job": arguments[0]} if arguments else {}
        with suppress(click.exceptions.Exit):
            callback.__wrapped__(session, **parameters)  # type: ignore[attr-defined]  # without click's context
    console.print(Text.from_ansi(terminal.getvalue().rstrip("\n")))


PICTURES: dict[str, tuple[str, Callable[[Console], None]]] = {
    "wait-running": ("batchcompute job wait last", running),
    "wait-failed": ("batchcompute job wait last", failed),
    "show": ("batchcompute job show last", show),
    "doctor": ("batchcompute doctor", doctor),
}


def picture(name: str) -> str:
    """The SVG of a view."""
    title, draw = PICTURES[name]
    console = Console(
        record=True,
        width=_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    draw(console)
    return console.export_svg(title=title, unique_id=f"batchcompute-{name}")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name in PICTURES:
        (IMAGES / f"{name}.svg").write_text(picture(name), encoding="utf-8")
