"""Tables, cells, colours and times."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from batchcompute.cli import output
from batchcompute.cli.progress import cut_line

ROWS = [{"name": "a", "count": 5, "state": "Failed"}, {"name": "longer", "count": 10, "state": None}]
COLUMNS: dict[str, output.Column] = {"name": "NAME", "count": "COUNT", "state": "STATE"}


class Screen(io.StringIO):
    """A terminal that keeps what it is shown."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def screen(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Screen:
    """The output is a terminal from now on."""
    made = Screen()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    return made


def test_numbers_stand_right_and_nothing_trails() -> None:
    assert output.table(ROWS, COLUMNS) == ["NAME    COUNT  STATE", "a           5  Failed", "longer     10  -"]


def test_a_column_may_be_made_from_the_row() -> None:
    columns: dict[str, output.Column] = {"both": ("BOTH", lambda row: f"{row['name']}/{row['count']}")}
    assert output.table(ROWS, columns) == ["BOTH", "a/5", "longer/10"]


def test_a_table_is_cut_to_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "n" * 50, "count": 1, "state": "Finished"}]
    screen(monkeypatch, 40)
    monkeypatch.setenv("NO_COLOR", "1")
    assert [output.width(line) for line in output.table(rows, COLUMNS)] == [37, 40]
    monkeypatch.setenv("COLUMNS", "24")
    assert output.table(rows, COLUMNS) == ["NAME               COUNT", "nnnnnnnnnnnnnnnn…      1"], (
        "the last column went"
    )
    monkeypatch.setenv("COLUMNS", "5")
    assert output.table(rows, COLUMNS) == ["NAME", "nnnn…"]
    ids: dict[str, output.Column] = {"job_id": "JOB"}
    assert output.table([{"job_id": "job-1234"}], ids) == ["JOB", "…1234"], "an id is known by its end"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert "n" * 50 in output.table(rows, COLUMNS)[1]


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    screen(monkeypatch)
    assert output.styled("Failed", "red") == "\x1b[31mFailed\x1b[0m"
    assert "\x1b[31mFailed" in output.table(ROWS, COLUMNS)[1]
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert output.styled("Failed", "red") == "Failed"
    monkeypatch.setenv("NO_COLOR", "")
    assert output.styled("Failed", "red") != "Failed", "an empty NO_COLOR says nothing (no-color.org)"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert output.styled("Failed", "red") == "Failed"


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    assert output.shown("a\x1b[2Jb\nc\x07") == "a\ufffd[2Jb c\ufffd"
    assert output.shown("作业") == "作业"
    assert output.shown(["a", "b\r"]) == "a, b\ufffd"


def test_widths() -> None:
    assert [output.width(text) for text in ("abc", "作业", "e\u0301", "")] == [3, 4, 1, 0]
    assert output.clip("作业作业", 5) == "作业…"
    assert output.clip("abc", 3) == "abc"
    assert output.clip("abc", 0) == ""


@given(
    st.text(alphabet="ab作e\u0301\N{FULLWIDTH LATIN SMALL LETTER A}", max_size=30), st.integers(1, 30), st.booleans()
)
def test_as_much_as_fits_is_kept(text: str, limit: int, by_end: bool) -> None:
    cut = output.clip(text, limit, by_end, utf=True)
    assert output.width(cut) <= limit
    if cut == text:
        return
    kept = cut[1:] if by_end else cut[:-1]
    assert kept == (text[len(text) - len(kept) :] if by_end else text[: len(kept)])
    more = text[-len(kept) - 1 :] if by_end else text[: len(kept) + 1]
    assert output.width(more) > limit - 1, "not one character more"


@pytest.mark.parametrize("cut", [output.clip, lambda text, cells: cut_line(text, cells, True)])
def test_a_long_line_is_cut_in_one_pass(cut: Callable[[str, int], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A log may have lines of any length, and the view is drawn four times a second."""
    looks = []

    def look(char: str) -> str:
        looks.append(char)
        return unicodedata.east_asian_width(char)

    monkeypatch.setattr(output, "unicodedata", SimpleNamespace(combining=unicodedata.combining, east_asian_width=look))
    line = "作业" * 2000
    assert output.width(cut(line, 80)) <= 80
    assert len(looks) < 5 * len(line)


def test_a_line_is_cut_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 10)
    monkeypatch.setenv("NO_COLOR", "1")
    output.line(("12345", None), ("678901234", "Failed"), ("never", None))
    assert shown.getvalue() == "123456789…\n"


def test_json_is_ascii_and_the_empty_list_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit([{"name": "作业"}], COLUMNS, "json", "nothing")
    assert capsys.readouterr() == ('[\n  {\n    "name": "\\u4f5c\\u4e1a"\n  }\n]\n', "")
    output.emit([], COLUMNS, "json", "nothing")
    assert capsys.readouterr() == ("[]\n", "")
    output.emit([], COLUMNS, "table", "nothing")
    assert capsys.readouterr() == ("", "nothing\n")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "<1s"),
        (3, "3s"),
        (0.04, "0.0s"),
        (3.25, "3.2s"),
        (9.99, "9.9s"),
        (10.5, "10s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (3725, "1h 02m"),
        (90061, "1d 01h"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert output.duration(seconds) == expected


def test_times() -> None:
    assert output.when(0) is None
    assert output.when(1_435_651_200) == "2015-06-30T08:00:00Z"
    assert output.since(None) == "-"
    assert output.since("2015-06-30T08:00:00Z", "2015-06-30T08:01:05Z") == "1m 05s"
    assert output.since("2999-01-01T00:00:00Z") == "0.0s", "a clock that is off is no reason for a minus"
