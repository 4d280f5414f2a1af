"""The watched job as a picture of text: bars, counts, times, at any width. No job runs here."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from batchcompute import Job, Task
from batchcompute.cli.output import plain, width
from batchcompute.cli.progress import Row, Tail, cells, cut_line, lines, view

NOW = 1_790_000_000
STATES = ("Finished", "Running", "Failed", "Stopped", "Waiting")
counts = st.dictionaries(st.sampled_from(STATES), st.integers(0, 200_000))


def drawn(
    rows: list[Row], width: int, tail: Tail | None = None, utf: bool = True, name: str = "test", height: int = 1000
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    job = Job({"JobId": "job-1", "JobName": name, "State": "Running", "StartTime": NOW - 75})
    console.print(view(job, rows, tail, NOW, width, utf, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(counts, st.integers(6, 40))
def test_a_bar_has_its_length_and_every_state(counts: dict[str, int], width: int) -> None:
    found = dict(cells(counts, width))
    total = sum(counts.values())
    assert set(found) == {state for state, count in counts.items() if count}
    assert sum(found.values()) == min(total, width)
    assert all(share >= 1 for share in found.values())


@given(counts, st.integers(20, 140), st.sampled_from(STATES), st.text(max_size=80))
def test_nothing_is_wider_than_the_terminal(counts: dict[str, int], width: int, state: str, name: str) -> None:
    rows = [Row(name, state, counts, NOW - 3700), Row("Other", "Waiting", {"Waiting": 1})]
    shown = drawn(rows, width, Tail(name, 3, ("x" * 200,)), name=name)
    console = Console(width=1000)
    assert all(console.measure(line).maximum <= width for line in shown)


def test_ascii() -> None:
    row = Row("Find", "Failed", {"Finished": 2, "Running": 1, "Failed": 1, "Stopped": 1, "Waiting": 1}, NOW - 5, NOW)
    shown = drawn([row], 120, utf=False)
    assert "##>x-." in shown[1]
    assert "".join(shown).isascii()
    assert "██▒✗■·" in drawn([row], 120)[1]


@pytest.mark.parametrize(
    ("row", "elapsed", "remaining"),
    [
        (Row("A", "Waiting", {"Waiting": 4}), None, None),
        (Row("A", "Running", {"Running": 4}, NOW - 30), 30, None),
        (Row("A", "Running", {"Finished": 1, "Running": 2, "Waiting": 1}, NOW - 30), 30, 90),
        (Row("A", "Finished", {"Finished": 4}, NOW - 30, NOW - 10), 20, None),
        (Row("A", "Running", {"Finished": 1, "Running": 1}, NOW + 5), 0, 0),  # our clock is behind
    ],
)
def test_times(row: Row, elapsed: float | None, remaining: float | None) -> None:
    assert row.elapsed(NOW) == elapsed
    assert row.remaining(NOW) == remaining


def test_what_runs_is_shown_first_and_the_rest_is_counted() -> None:
    rows = [Row(f"T{n}", "Finished", {"Finished": 1}, NOW - 9, NOW) for n in range(200)]
    rows[100] = Row("Later", "Waiting", {"Waiting": 1})
    rows[150] = Row("Bad", "Failed", {"Failed": 1}, NOW - 9, NOW)
    rows[199] = Row("Busy", "Running", {"Finished": 3, "Running": 1}, NOW - 9)
    shown = drawn(rows, 100, height=24)
    assert len(shown) == 24
    assert shown[1].strip() == "197 of 200 tasks finished; 200 of 203 instances finished, 1 running, 1 failed"
    assert [line.split()[0] for line in shown[2:6]] == ["Busy", "Bad", "Later", "T0"]
    assert shown[-1].strip() == "and 179 more tasks: 179 finished"
    assert "more" not in drawn(rows, 100, height=202)[-1], "all fit"


@given(
    st.lists(st.sampled_from(STATES), max_size=50),
    st.integers(1, 60),
    st.lists(st.text(alphabet="ab ", max_size=300), max_size=8),
)
def test_there_are_never_more_lines_than_the_screen_has(states: list[str], height: int, said: list[str]) -> None:
    rows = [Row(f"T{n}", state, {state: 1}) for n, state in enumerate(states)]
    shown = drawn(rows, 60, Tail("T0", 0, tuple(said)) if said else None, height=height)
    assert len(shown) <= height
    if "Running" in states and height > 8:
        assert any(line.split()[:1] == [f"T{states.index('Running')}"] for line in shown)


FRAME = (
    '  File "/home/ann/projects/a-long-name/of-a-folder/and-another-one/render/scene.py", line 1234, in load_the_scene'
)


def test_a_traceback_keeps_file_and_line_on_80_columns() -> None:
    rows = [Row("Render", "Failed", {"Failed": 1}, NOW - 9, NOW)]
    message = "FileNotFoundError: no such file: " + "x" * 100 + " at line 7"
    shown = drawn(rows, 80, Tail("Render", 3, (FRAME, message)))
    assert shown[-2].rstrip().endswith('/and-another-one/render/scene.py", line 1234, in load_the_scene')
    assert shown[-2].strip().startswith('File "…')
    assert shown[-1].strip().startswith("FileNotFoundError: no")
    assert shown[-1].rstrip().endswith(" at line 7")
    narrow = drawn(rows, 40, Tail("Render", 3, (FRAME,)), utf=False)[-1]
    assert 'scene.py", line 1234' in narrow


@given(st.text(max_size=200), st.integers(10, 100))
def test_a_cut_line_is_not_wider(line: str, cells: int) -> None:
    assert width(cut_line(plain(line), cells, True)) <= cells
    assert width(cut_line(plain(f'  File "{line}", line 3, in {line}'), cells, True)) <= cells


def test_lines_have_no_times() -> None:
    task = Task(
        {
            "TaskName": "Find",
            "State": "Running",
            "StartTime": NOW,
            "InstanceList": [{"InstanceId": n, "State": state} for n, state in enumerate(STATES)],
        }
    )
    assert lines([Row.of(task)], Tail("Find", 2, ("no input",))) == [
        "Find  Running   1 of 5 finished, 1 running, 1 failed, 1 stopped",
        "Find, instance 2, failed; its stderr ends:",
        "    no input",
    ]


def test_names_cannot_steer_the_terminal() -> None:
    shown = drawn([Row("\x1b[2JFind", "Running", {"Running": 1})], 100, name="\x1b]0;title\x07")
    assert "\x1b" not in "".join(shown)
