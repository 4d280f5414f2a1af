"""What a watched job looks like: a bar for each task, as rich text on a terminal, as plain lines elsewhere. No I/O."""

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
# state, colour, mark, mark where the terminal knows only ASCII: the marks differ, so that colour is not needed
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
    """End of what a failed instance wrote to stderr."""

    task: str
    instance: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A task at one moment: how many instances are in which state, and since when. Times are seconds since 1970."""

    name: str
    state: str
    counts: Mapping[str, int]
    started: int = 0
    ended: int = 0

    @classmethod
    def of(cls, task: Task) -> Row:
        """Return the row of a task."""
        counts = Counter(instance.State for instance in task.InstanceList)
        return cls(task.TaskName, task.State, counts, seconds(task.StartTime), seconds(task.EndTime))

    @property
    def total(self) -> int:
        """How many instances the task has."""
        return sum(self.counts.values())

    def describe_counts(self) -> str:
        """Return the counts in words: `5 of 8 finished, 2 running`; the others wait."""
        others = [f"{self.counts[state]} {state.lower()}" for state, *_ in _STATES[1:4] if self.counts.get(state)]
        return ", ".join([f"{self.counts.get('Finished', 0)} of {self.total} finished", *others])

    def elapsed(self, now: float) -> float | None:
        """Seconds since the task started, or that it took."""
        if not self.started:
            return None
        return max(0.0, (self.ended if self.ended and self.state in ENDED else now) - self.started)

    def remaining(self, now: float) -> float | None:
        """Seconds left if the other instances take as long as the finished ones did; None when nobody can know."""
        done, elapsed = self.counts.get("Finished", 0), self.elapsed(now)
        if self.state != "Running" or not done or elapsed is None:
            return None
        return elapsed * (self.total - done) / done


def seconds(moment: int | str) -> int:
    """A time of an answer as a number; a Client that makes texts of times (`human_readable`) leaves us without."""
    return moment if isinstance(moment, int) else 0


def cells(counts: Mapping[str, int], width: int) -> list[tuple[str, int]]:
    """How many cells of a bar each state gets: one for each instance if they fit, else their share, but at least one."""
    total = sum(counts.values())
    present = [(state, counts[state]) for state, *_ in _STATES if counts.get(state)]
    if total <= width:
        return present
    shares = [(state, max(1, count * width // total)) for state, count in present]
    largest = max(range(len(shares)), key=lambda place: shares[place][1])
    spare = width - sum(share for _, share in shares)
    shares[largest] = (shares[largest][0], max(1, shares[largest][1] + spare))
    return shares


def lines(rows: Sequence[Row], tail: Tail | None) -> list[str]:
    """One line for each task, without times: printed again only when it has changed."""
    width = max((len(row.name) for row in rows), default=0)
    said = [f"{plain(row.name):<{width}}  {row.state:<8}  {row.describe_counts()}" for row in rows]
    return said + ([f"{_title(tail)}", *(f"    {line}" for line in tail.lines)] if tail else [])


def view(job: Job, rows: Sequence[Row], tail: Tail | None, now: float, width: int, utf: bool) -> Group:
    """Return the job as it is redrawn on a terminal of that width. utf: the terminal can show more than ASCII."""
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
    """Return what stands beside the bars, by column, and how long the bars are: on narrow terminals both get less."""
    states, counts, times = (
        [row.state for row in rows],
        [row.describe_counts() for row in rows],
        [_times(row, now) for row in rows],
    )
    short = [f"{row.counts.get('Finished', 0)}/{row.total}" for row in rows]
    left = width - min(max(8, width // 4), max((len(row.name) for row in rows), default=0)) - 2
    for columns in ([states, counts, times], [states, short, times], [states, short], [short]):
        room = left - sum(2 + max(map(len, column), default=0) for column in columns)
        if room >= _SMALLEST_BAR:
            break
    return columns, max(_SMALLEST_BAR, min(_BAR, room))


def _most_interesting(rows: Sequence[Row]) -> list[Row]:
    """Those that fit, in their order: failed and running ones first, then those that wait, then the rest."""
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
