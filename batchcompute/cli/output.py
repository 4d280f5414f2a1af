"""The output of commands: tables for people, JSON for programs.

Tables are cut to the width of a terminal, and not cut if the output is not a terminal. Colours only repeat what a word says,
and only on a terminal without NO_COLOR. Text of a service or a file is shown without control characters.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .dag import Line

Row = Mapping[str, Any]
Column = str | tuple[str, Callable[[Row], Any]]
"""The title of a column; optionally with a function that makes its text from the row."""
Piece = tuple[str, str | None]
"""A text, and the state that gives its colour."""
COLOURS = {"Finished": "green", "Running": "cyan", "Failed": "red", "Stopped": "yellow", "Waiting": "white"}
_GAP = "  "
_NARROW, _SMALLEST = 14, 4
_BY_END = {"job_id", "uri"}
"""Columns whose texts are cut at the beginning: the end identifies them."""


def emit(rows: Iterable[Row], columns: Mapping[str, Column], fmt: str, empty: str = "") -> None:
    """Print rows: as JSON all fields; as a table `columns`, with their titles.

    empty: the text for stderr if there are no rows.
    """
    found = list(rows)
    if fmt == "json":
        emit_json(found)
    elif found:
        for line in table(found, columns):
            put(line)
    elif empty:
        say(empty)


def emit_value(row: Row, text: str, fmt: str) -> None:
    """Print one item: as JSON the row, for people the text."""
    if fmt == "json":
        emit_json(dict(row))
    else:
        put(plain(text))


def emit_json(value: Any) -> None:
    """Print one JSON value, in ASCII: readable in every locale."""
    put(json.dumps(value, indent=2))


def put(text: str = "") -> None:
    """Print a line of the output."""
    click.echo(text, file=sys.stdout)  # explicit, since click replaces an ASCII stream by another one


def say(text: str, colour: str | None = None) -> None:
    """Print a message for people on stderr; it is not part of the output."""
    click.echo(styled(text, colour, sys.stderr), file=sys.stderr)


def table(rows: Sequence[Row], columns: Mapping[str, Column]) -> list[str]:
    """Return the lines of a table: titles, then rows. Numbers are aligned right."""
    texts = [[column if isinstance(column, str) else column[0] for column in columns.values()]]
    values = [
        [row.get(key) if isinstance(column, str) else column[1](row) for key, column in columns.items()] for row in rows
    ]
    texts += [[shown(value) for value in row] for row in values]
    right = [all(isinstance(value, (int, float)) for value in column) for column in zip(*values, strict=True)]
    widths = _fitted([max(map(width, column)) for column in zip(*texts, strict=True)], terminal_width())
    return [_cells(row, columns, widths, right) for row in texts]


def _cells(texts: Sequence[str], keys: Iterable[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for text, key, cells, is_right in zip(
        texts, keys, widths, right, strict=False
    ):  # widths may have fewer columns: those that fit
        cut = clip(text, cells, by_end=key in _BY_END)
        space = " " * (cells - width(cut))
        coloured = styled(cut, COLOURS.get(text))
        parts.append(space + coloured if is_right else coloured + space)
    return _GAP.join(parts).rstrip()


def _fitted(widths: list[int], limit: int | None) -> list[int]:
    """Fit the widths into the limit: drop last columns if even narrow ones are too many, then shrink the widest."""
    if limit is None:
        return widths

    def excess(widths: Sequence[int]) -> int:
        return sum(widths) + len(_GAP) * (len(widths) - 1) - limit

    while len(widths) > 1 and excess([min(cells, _NARROW) for cells in widths]) > 0:
        widths = widths[:-1]
    while excess(widths) > 0 and max(widths) > _SMALLEST:
        widest = widths.index(max(widths))
        widths = [*widths[:widest], widths[widest] - 1, *widths[widest + 1 :]]
    return widths


def line(*pieces: Piece, cut: bool = True) -> None:
    """Print one line, cut to the terminal; with `cut` False the terminal wraps it."""
    left = (terminal_width() if cut else None) or sys.maxsize
    text = ""
    for piece, state in pieces:
        part = clip(plain(piece), left)
        left -= width(part)
        text += styled(part, COLOURS.get(state or ""))
    put(text.rstrip())


def graph(lines: Sequence[Line]) -> None:
    """Print a drawing of tasks, with their names, states and texts beside it, and what its lines mean."""
    nodes = [one.node for one in lines if one.node is not None]
    wide = max((width(one.graph) for one in lines), default=0)
    names = max((width(plain(node.name)) for node in nodes), default=0)
    states = max((len(node.state) for node in nodes), default=0)
    for one in lines:
        if one.node is None:
            line((one.graph, None))
            continue
        node = one.node
        name = plain(node.name)
        after = f"  after {', '.join(one.after)}" if one.after else ""
        line(
            (one.graph + " " * (wide - width(one.graph) + 2), None),
            (name + " " * (names - width(name) + 2), None),
            (f"{node.state:<{states}}" + ("  " if states else ""), node.state),
            (node.text + after, None),
        )
    if any(one.node is None for one in lines):
        from .dag import LINES

        put(f"\n{LINES}")


def shown(value: Any) -> str:
    """Return the text of a value."""
    if value is None or value == "":
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value)) or "-"
    return plain(str(value))


def plain(text: str) -> str:
    """Remove control characters: foreign text must not control the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char in "\n\t" else "\ufffd" for char in text)


def width(text: str) -> int:
    """Return the width of a text in cells of a terminal."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1


def clip(text: str, limit: int, by_end: bool = False, utf: bool | None = None) -> str:
    """Cut a text to `limit` cells. by_end: keep its end, not its beginning. utf: as `utf8` says by default."""
    if width(text) <= limit:
        return text
    if limit < 1:
        return ""
    mark = "…" if (utf8() if utf is None else utf) else "~"
    if text.isascii():
        count = limit - 1
    else:
        sizes = accumulate(map(_cells_of, reversed(text) if by_end else text))
        count = sum(1 for _ in takewhile(lambda size: size < limit, sizes))
    return mark + text[len(text) - count :] if by_end else text[:count] + mark


def terminal_width(stream: Any = None) -> int | None:
    """Return the columns of the terminal; None if the output is not a terminal."""
    return shutil.get_terminal_size().columns if _is_terminal(stream or sys.stdout) else None


def utf8(stream: Any = None) -> bool:
    """Check if the output can show more than ASCII."""
    return (getattr(stream or sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")


def styled(text: str, colour: str | None, stream: Any = None) -> str:
    """Colour the text, if the output has colours."""
    stream = stream or sys.stdout
    if colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not _is_terminal(stream):
        return text
    return click.style(text, fg=colour)


def _is_terminal(stream: Any) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)())


def when(seconds: int) -> str | None:
    """Return a time of the service as ISO 8601 in UTC; None for 0, not yet."""
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def since(begin: str | None, end: str | None = None) -> str:
    """Return the time span from one ISO time to another, or until now; '-' without a beginning."""
    import datetime

    if begin is None:
        return "-"
    started = datetime.datetime.fromisoformat(begin)
    if end:  # both are whole seconds
        return duration(max(0, int((datetime.datetime.fromisoformat(end) - started).total_seconds())))
    return duration(max(0.0, (datetime.datetime.now(datetime.UTC) - started).total_seconds()))


def duration(seconds: float) -> str:
    """Format a time span: 3.2s, 12s, 3m 04s, 2h 05m, 3d 04h. An int has no decimal, and 0 is <1s."""
    whole = int(seconds)
    for big, small, size, part in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size}{big} {whole % size // part:02}{small}"
    if whole >= 10:
        return f"{whole}s"
    if isinstance(seconds, int):
        return f"{seconds}s" if seconds else "<1s"
    return f"{int(seconds * 10) / 10}s"
