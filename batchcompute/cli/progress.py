"""The view of a watched job: a bar for each task, as rich text on a terminal, else as plain lines. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .output import duration, plain

if TYPE_CHECKING:
    from rich.console import Group, OverflowMethod, RenderableType
    from rich.text import Text

    from .. import Job, Task

ENDED = ("Finished", "Failed", "Stopped")
# state, colour, mark, mark in ASCII: the marks differ, so that colours are not needed
_STATES = (
    ("Finished", "green", "█", "#"),
    ("Running", "cyan", "▒", ">"),
    ("Failed", "red", "✗", "x"),
    ("Stopped", "yellow", "■", "-"),
    ("Waiting", "bright_black", "·", "."),
)
_BAR = 24
_SMALLEST_BAR = 6
_MOST_TASKS = 30


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a failed instance's stderr."""

    task: str
    instance: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A task at one moment: instances by state, and times in seconds since 1970."""

    name: str
    state: str
    counts: Mapping[str, int]
    started: int = 0
    ended: int = 0

    @classmethod
    def of(cls, task: Task) -> Row:
        """Make the row of a task."""
        counts = Counter(instance.State for instance in task.InstanceList)
        return cls(task.TaskName, task.State, counts, seconds(task.StartTime), seconds(task.EndTime))

    @property
    def total(self) -> int:
        """The number of instances."""
        return sum(self.counts.values())

    def in_words(self) -> str:
        """Return the counts in words: `5 of 8 finished, 2 running`; the others wait."""
        others = [f"{self.counts[state]} {state.lower()}" for state, *_ in _STATES[1:4] if self.counts.get(state)]
        return ", ".join([f"{self.counts.get('Finished', 0)} of {self.total} finished", *others])

    def elapsed(self, now: float) -> float | None:
        """Return the seconds since the task started, until its end; None before the start."""
        if not self.started:
            return None
        return max(0.0, (self.ended if self.ended and self.state in ENDED else now) - self.started)

    def remaining(self, now: float) -> float | None:
        """Estimate the seconds left from the finished instances; None without any."""
        done, elapsed = self.counts.get("Finished", 0), self.elapsed(now)
        if self.state != "Running" or not done or elapsed is None:
            return None
        return elapsed * (self.total - done) / done


def seconds(moment: int | str) -> int:
    """Return a time of an answer as a number; 0 for a text (of a Client with `human_readable`)."""
    return moment if isinstance(moment, int) else 0


def cells(counts: Mapping[str, int], width: int) -> list[tuple[str, int]]:
    """Return the cells of a bar by state: one for each instance if they fit, else in proportion, but at least one."""
    total = sum(counts.values())
    present = [(state, counts[state]) for state, *_ in _STATES if counts.get(state)]
    if total <= width:
        return present
    shares = [(state, max(1, count * width // total)) for state, count in present]
    largest = max(range(len(shares)), key=lambda place: shares[place][1])
    rest = width - sum(share for _, share in shares)
    shares[largest] = (shares[largest][0], max(1, shares[largest][1] + rest))
    return shares


def lines(rows: Sequence[Row], tail: Tail | None) -> list[str]:
    """Return one line for each task, without times, so that a line changes only with its counts."""
    width = max((len(row.name) for row in rows), default=0)
    shown = [f"{plain(row.name):<{width}}  {row.state:<8}  {row.in_words()}" for row in rows]
    return shown + ([f"{_title(tail)}", *(f"    {line}" for line in tail.lines)] if tail else [])


def view(job: Job, rows: Sequence[Row], tail: Tail | None, now: float, width: int, utf: bool) -> Group:
    """Draw the job for a terminal of `width` cells. utf: the terminal can show more than ASCII."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    cut: OverflowMethod = "ellipsis" if utf else "crop"
    head = Text.assemble((plain(job.JobName), "bold"), "  ", _state(job.State), no_wrap=True, overflow=cut)
    started = seconds(job.StartTime)
    if started:
        head.append(f"  {_whole((seconds(job.EndTime) if job.State in ENDED else now) - started)}")
    head.append(f"  {job.JobId}", style="bright_black")
    shown = rows if len(rows) <= _MOST_TASKS else _most_interesting(rows)
    columns, bar = _fitting(shown, now, width)
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2 + len(columns)):
        table.add_column(no_wrap=True, overflow=cut)
    name_width = max(8, width // 4)
    for place, row in enumerate(shown):
        name = Text(plain(row.name), no_wrap=True)
        name.truncate(name_width, overflow=cut)
        cells_of_row = [
            _state(column[place]) if column[place] == row.state else Text(column[place]) for column in columns
        ]
        table.add_row(name, _bar(row, bar, utf), *cells_of_row)
    parts: list[RenderableType] = [head, table]
    if len(shown) < len(rows):
        parts.append(Text(f"and {len(rows) - len(shown)} more tasks", style="bright_black"))
    if tail:
        parts.append(Text(_title(tail), style="red"))
        parts += [Text(f"  {line}", no_wrap=True, overflow=cut) for line in tail.lines]
    return Group(*parts)


def _fitting(rows: Sequence[Row], now: float, width: int) -> tuple[list[list[str]], int]:
    """Return the columns beside the bars, and the length of the bars. Both are shorter on narrow terminals."""
    states, times = [row.state for row in rows], [_times(row, now) for row in rows]
    long = [row.in_words() for row in rows]
    short = [f"{row.counts.get('Finished', 0)}/{row.total}" for row in rows]
    left = width - min(max(8, width // 4), max((len(row.name) for row in rows), default=0)) - 2
    for columns in ([states, long, times], [states, short, times], [states, short], [short]):
        room = left - sum(2 + max(map(len, column), default=0) for column in columns)
        if room >= _SMALLEST_BAR:
            break
    return columns, max(_SMALLEST_BAR, min(_BAR, room))


def _most_interesting(rows: Sequence[Row]) -> list[Row]:
    """Choose the rows that fit, in their order: failed and running ones first, then waiting ones, then the rest."""
    rank = {"Failed": 0, "Running": 1, "Waiting": 2}
    best = sorted(range(len(rows)), key=lambda place: (rank.get(rows[place].state, 3), place))[:_MOST_TASKS]
    return [rows[place] for place in sorted(best)]


def _title(tail: Tail) -> str:
    return f"{plain(tail.task)}, instance {tail.instance}, failed; its stderr ends:"


def _state(state: str) -> Text:
    from rich.text import Text

    colour = next((colour for name, colour, *_ in _STATES if name == state), "")
    return Text(state, style=colour)


def _bar(row: Row, width: int, utf: bool) -> Text:
    from rich.text import Text

    marks = {state: (colour, mark if utf else ascii_mark) for state, colour, mark, ascii_mark in _STATES}
    text = Text(no_wrap=True)
    for state, count in cells(row.counts, width):
        colour, mark = marks[state]
        text.append(mark * count, style=colour)
    return text


def _times(row: Row, now: float) -> str:
    elapsed, remaining = row.elapsed(now), row.remaining(now)
    if elapsed is None:
        return ""
    return _whole(elapsed) + (f", about {_whole(remaining)} left" if remaining is not None else "")


def _whole(length: float) -> str:
    return duration(max(0, round(length)))
