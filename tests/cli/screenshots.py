"""`python tests/cli/screenshots.py`: the pictures in docs/images, of views with fixed jobs, times and widths.

tests/cli/test_pages.py compares.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from batchcompute import Job
from batchcompute.cli.progress import Row, Tail, view

IMAGES = Path(__file__).parents[2] / "docs" / "images"
_NOW = 1_790_000_000
_WIDTH = 96


def _job(state: str, started: int, ended: int = 0) -> Job:
    times = {"StartTime": _NOW - started, "EndTime": _NOW - ended if ended else 0}
    return Job({"JobId": "job-000000006B02CD0FAD1C763900000001", "JobName": "render", "State": state, **times})


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
    console.print(view(_job("Running", 190), rows, None, _NOW, console.width, True))


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
    console.print(view(_job("Failed", 64, 2), rows, Tail("Render", 41, said), _NOW, console.width, True))


PICTURES: dict[str, tuple[str, Callable[[Console], None]]] = {
    "wait-running": ("batchcompute job wait last", running),
    "wait-failed": ("batchcompute job wait last", failed),
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
