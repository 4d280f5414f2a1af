"""The view of a watched job: a bar for each task, as rich text on a terminal, else as plain lines. No I/O."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .output import clip, duration, plain, width as width_of

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
_RANK = {"Running": 0, "Failed": 1, "Waiting": 2, "Stopped": 3}
"""The order of the rows: what runs is seen first, what is Finished last."""
_FRAME = re.compile(r'(\s*File ")(.*)(", line \d+)(.*)')
"""A line of a Python traceback: the path, and what has to stay when the line is cut."""


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

    def in_words(self, what: str = "") -> str:
        """Return the counts in words: `5 of 8 finished, 2 running`; the others wait. what: what is counted."""
        others = [f"{self.counts[state]} {state.lower()}" for state, *_ in _STATES[1:4] if self.counts.get(state)]
        return ", ".join([f"{self.counts.get('Finished', 0)} of {self.total} {what}finished", *others])

    def elapsed(self, now: float) -> float | None:
        """Return the seconds since the task started, until its end; None before the start."""
        if not self.started:
            return None
        return max(0, (self.ended if self.ended and self.state in ENDED else now) - self.started)

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


def view(job: Job, rows: Sequence[Row], tail: Tail | None, now: float, width: int, utf: bool, height: int) -> Group:
    """Draw the job for a terminal of `width` cells and `height` lines. utf: the terminal can show more than ASCII.

    What runs comes first, then what failed, then what waits; rows that do not fit are counted.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    cut: OverflowMethod = "ellipsis" if utf else "crop"
    head = Text.assemble((plain(job.JobName), "bold"), "  ", _state(job.State), no_wrap=True, overflow=cut)
    started = seconds(job.StartTime)
    if started:
        head.append(f"  {_in_short((seconds(job.EndTime) if job.State in ENDED else now) - started)}")
    head.append(f"  {job.JobId}", style="bright_black")
    parts: list[RenderableType] = [head]
    if len(rows) > 1 and height > 2:
        parts.append(Text(totals(rows), no_wrap=True, overflow=cut))
    said = _fitting_tail(tail, height - len(parts))
    shown, hidden = _fitting_rows(rows, height - len(parts) - len(said))
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
    if shown:
        parts.append(table)
    if hidden and height > len(parts):
        parts.append(Text(f"and {_count_tasks(hidden)}", style="bright_black", no_wrap=True, overflow=cut))
    if tail and said:
        parts.append(Text(said[0], style="red", no_wrap=True, overflow=cut))
        parts += [Text(f"  {cut_line(line, width - 2, utf)}", no_wrap=True, overflow=cut) for line in said[1:]]
    return Group(*parts)


def totals(rows: Sequence[Row]) -> str:
    """Return the sums of all tasks: `1 of 4 tasks finished; 75 of 136 instances finished, 10 running`."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row.counts)
    finished = sum(row.state == "Finished" for row in rows)
    return f"{finished} of {len(rows)} tasks finished; {Row('', '', counts).in_words('instances ')}"


def cut_line(line: str, cells: int, utf: bool) -> str:
    """Cut a line of a log to `cells`. File and line of a traceback stay: of the path the end, of another line both ends."""
    if width_of(line) <= cells:
        return line
    frame = _FRAME.fullmatch(line)
    if frame:
        left = cells - width_of(frame[1] + frame[3])
        path = clip(frame[2], max(left - width_of(frame[4]), min(left, width_of(frame[2]), left // 2)), True, utf)
        return clip(frame[1] + path + frame[3] + frame[4], cells, utf=utf)
    end = clip(line, cells * 2 // 3, True, utf)
    return clip(line, cells - width_of(end) + 1, utf=utf)[:-1] + end


def _fitting_tail(tail: Tail | None, height: int) -> list[str]:
    """Return the title and the last lines of the tail; at most half of the height."""
    if tail is None or height < 4:
        return []
    return [_title(tail), *tail.lines[-(height // 2 - 1) :]]


def _fitting_rows(rows: Sequence[Row], height: int) -> tuple[list[Row], list[Row]]:
    """Return the rows that are shown, what runs first, and those for which one line says how many they are."""
    ranked = sorted(rows, key=lambda row: _RANK.get(row.state, len(_RANK)))
    most = len(ranked) if len(ranked) <= height else max(0, height - 1)
    return ranked[:most], ranked[most:]


def _count_tasks(rows: Sequence[Row]) -> str:
    states = Counter(row.state for row in rows)
    words = ", ".join(f"{states[state]} {state.lower()}" for state, *_ in _STATES if states[state])
    return f"{len(rows)} more task{'s' if len(rows) > 1 else ''}: {words}"


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
    return _in_short(elapsed) + (f", about {_in_short(round(remaining))} left" if remaining is not None else "")


def _in_short(length: float) -> str:
    return duration(max(0, length))
