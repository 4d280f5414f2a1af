"""Everything that commands print: tables for people, JSON for programs.

A table is cut to the width of a terminal, and never where the output is no terminal. Colour only says again what a word says,
and only on a terminal without NO_COLOR. What a service or a file says is shown without its control characters.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

Row = Mapping[str, Any]
COLOURS = {"Finished": "green", "Running": "cyan", "Failed": "red", "Stopped": "yellow", "Waiting": "white"}
_GAP = "  "
_SMALLEST = 6


def emit(rows: Iterable[Row], columns: Mapping[str, str], fmt: str, empty: str = "") -> None:
    """Print rows: as JSON all of them in full; as a table those `columns`, by their titles.

    empty: what to tell people on stderr when there is nothing to show.
    """
    found = list(rows)
    if fmt == "json":
        emit_json(found)
    elif found:
        for line in table(found, columns):
            click.echo(line)
    elif empty:
        say(empty)


def emit_json(value: Any) -> None:
    """Print one JSON value, in ASCII: it can be read whatever the locale."""
    click.echo(json.dumps(value, indent=2))


def say(text: str, colour: str | None = None) -> None:
    """Tell people something that is not the output: it goes to stderr."""
    click.echo(styled(text, colour, sys.stderr), err=True)


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> list[str]:
    """The lines of a table: titles, then rows; numbers stand right."""
    cells = [[shown(row.get(key)) for key in columns] for row in rows]
    right = [all(isinstance(row.get(key), (int, float)) for row in rows) for key in columns]
    titles = list(columns.values())
    widths = [max(width(text) for text in column) for column in zip(titles, *cells, strict=True)]
    widths = _fitted(widths, terminal_width())
    lines = [_line(titles, titles, widths, right)]
    lines += [_line(texts, texts, widths, right) for texts in cells]
    return lines


def _line(texts: Sequence[str], words: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for number, text in enumerate(texts):
        cut = clip(text, widths[number])
        space = " " * (widths[number] - width(cut))
        coloured = styled(cut, COLOURS.get(words[number]))
        parts.append(space + coloured if right[number] else coloured + space)
    return _GAP.join(parts).rstrip()


def _fitted(widths: list[int], limit: int | None) -> list[int]:
    """The widest columns give way until the line fits, as far as they can."""
    if limit is None:
        return widths
    widths = list(widths)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - limit
    while excess > 0 and max(widths) > _SMALLEST:
        widths[widths.index(max(widths))] -= 1
        excess -= 1
    return widths


def shown(value: Any) -> str:
    """A value in a cell."""
    if value is None or value == "":
        return "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value)) or "-"
    return plain(str(value))


def plain(text: str) -> str:
    """Without control characters: what others wrote must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char in "\n\t" else "\ufffd" for char in text)


def width(text: str) -> int:
    """How many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def clip(text: str, limit: int) -> str:
    """A text of at most `limit` cells."""
    if width(text) <= limit:
        return text
    mark = "…" if utf8() else "~"
    while width(text) > limit - 1:
        text = text[:-1]
    return text + mark


def terminal_width(stream: Any = None) -> int | None:
    """The columns of the terminal; None where the output is none."""
    return shutil.get_terminal_size().columns if _is_terminal(stream or sys.stdout) else None


def utf8(stream: Any = None) -> bool:
    """Whether the output can show more than ASCII."""
    return (getattr(stream or sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")


def styled(text: str, colour: str | None, stream: Any = None) -> str:
    """The text in a colour, where there are colours."""
    stream = stream or sys.stdout
    if colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not _is_terminal(stream):
        return text
    return click.style(text, fg=colour)


def _is_terminal(stream: Any) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)())


def when(seconds: int) -> str | None:
    """A time of the service as ISO 8601 in UTC; None for not yet."""
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


def duration(seconds: float) -> str:
    """A time span as people say it: 0.4s, 12s, 3m 04s, 2h 05m, 3d 04h."""
    if seconds < 10:
        return f"{seconds:.1f}s" if seconds != int(seconds) else f"{int(seconds)}s"
    whole = int(seconds)
    for big, small, per, sub in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= per:
            return f"{whole // per}{big} {whole % per // sub:02}{small}"
    return f"{whole}s"
