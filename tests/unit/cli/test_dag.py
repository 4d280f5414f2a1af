"""The drawing of tasks."""

from __future__ import annotations

import pytest

from batchcompute.cli.dag import Node, dot, draw, mermaid, order


def drawn(dependencies: dict[str, list[str]], utf: bool = True, state: str = "Finished") -> list[str]:
    names = dict.fromkeys([*dependencies, *(name for names in dependencies.values() for name in names)])
    lines = draw([Node(name, state) for name in names], dependencies, utf)
    return [f"{line.graph} {line.node.name}" if line.node else line.graph for line in lines]


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ({"A": []}, ["● A"]),
        ({"A": ["B"]}, ["● A", "│", "● B"]),
        ({"A": [], "B": []}, ["● A", "● B"]),
        ({"A": ["B", "C"], "B": ["D"], "C": ["D"]}, ["● A", "├─╮", "● │ B", "│ │", "│ ● C", "├─╯", "● D"]),
        ({"A": ["B", "B"]}, ["● A", "│", "● B"]),
        ({"A": ["B"], "C": ["D"]}, ["● A", "│", "● B", "● C", "│", "● D"]),
        (
            {"A": ["C", "D"], "B": ["C", "D", "E"]},
            ["● A", "├─╮", "│ │ ● B", "├─┼─┤", "● │ │ C", "  ● │ D", "    ● E"],
        ),
        (  # the lane of C is crossed, not touched
            {"A": ["B", "C", "D"], "B": ["E"], "D": ["E"]},
            ["● A", "├─┬─╮", "● │ │ B", "│ │ │", "│ ● │ C", "│   ● D", "├───╯", "● E"],
        ),
    ],
)
def test_lanes(dependencies: dict[str, list[str]], expected: list[str]) -> None:
    assert drawn(dependencies) == expected


def test_a_lane_that_is_only_crossed_goes_on() -> None:
    lines = drawn({"A": ["B", "C", "D"], "D": ["B"], "C": ["E"], "B": ["E"]})
    assert "├─│─╯" in lines


def test_ascii() -> None:
    dependencies = {"A": ["B", "C"], "B": ["D"], "C": ["D"]}
    assert drawn(dependencies, utf=False) == ["# A", "+-+", "# | B", "| |", "| # C", "+-+", "# D"]
    marks = [drawn({"A": []}, utf=False, state=state)[0][0] for state in ("Running", "Failed", "Stopped", "Waiting")]
    assert marks == [">", "x", "-", "o"]


def test_too_many_lanes_become_a_list() -> None:
    wide = [f"T{number}" for number in range(5000)]
    lines = draw([Node("A"), *map(Node, wide)], {"A": wide})
    assert len(lines) == 5001
    assert lines[0].after == ()
    assert {line.after for line in lines[1:]} == {("A",)}


def test_order() -> None:
    assert order(["D", "C", "B", "A"], {"A": ["B", "C"], "B": ["D"], "C": ["D"]}) == ["A", "B", "C", "D"]
    assert order(["A", "B", "X"], {"A": ["B"], "B": ["A"], "gone": ["X"]}) == ["X", "A", "B"], "a cycle comes last"
    assert len(drawn({"A": ["B"], "B": ["A"]})) >= 2
    chain = [f"T{number}" for number in range(10_000)]
    assert order(chain[::-1], dict(zip(chain, ([name] for name in chain[1:]), strict=False))) == chain


def test_mermaid() -> None:
    text = mermaid([Node('a"<#>', "Finished", "3 of 4"), Node("b")], {'a"<#>': ["b"], "b": ["gone"]})
    assert text.splitlines() == [
        "---",
        "title: An arrow leads from a task to a task that starts after it.",
        "---",
        "flowchart TD",
        '    t0["a#quot;#lt;#35;#gt;<br/>Finished<br/>3 of 4"]',
        '    t1["b"]',
        "    t0 --> t1",
        "    classDef Finished fill:#c8e6c9,color:#000",
        "    class t0 Finished",
    ]


def test_dot() -> None:
    text = dot([Node('a"\\', "Failed", "1 of 4"), Node("b")], {'a"\\': ["b"]}, "my job")
    assert text.splitlines() == [
        'digraph "my job" {',
        '    label="An arrow leads from a task to a task that starts after it.";',
        '    node [shape=box, style="rounded,filled", fillcolor="#ffffff"];',
        '    "a\\"\\\\" [label="a\\"\\\\\\nFailed\\n1 of 4", fillcolor="#ffcdd2"];',
        '    "b" [label="b", fillcolor="#ffffff"];',
        '    "a\\"\\\\" -> "b";',
        "}",
    ]


def test_pictures_without_dependencies_need_no_words() -> None:
    assert mermaid([Node("a")], {}).startswith("flowchart TD")
    assert 'label="An' not in dot([Node("a")], {"a": ["gone"]})
