"""Draw tasks and their dependencies: as lines for a terminal, as Mermaid, as DOT. No I/O.

On a terminal each task is a mark on a lane, and a lane leads down to the tasks that wait for it:

    ●    Split
    ├─╮
    ● │  Left
    │ │
    │ ●  Right
    ├─╯
    ●    Join
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

Dependencies = Mapping[str, Sequence[str]]
"""A task by name, and the names of the tasks that start after it."""
LINES = "A line leads down from a task to the tasks that start after it."
ARROWS = "An arrow leads from a task to a task that starts after it."

_MARKS = {"Finished": "●#", "Running": "◐>", "Failed": "✗x", "Stopped": "■-"}
_OTHER = "○o"
_MOST_LANES = 12
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    _UP | _DOWN: "│",
    _LEFT | _RIGHT: "─",
    _DOWN | _LEFT: "╮",
    _DOWN | _RIGHT: "╭",
    _UP | _LEFT: "╯",
    _UP | _RIGHT: "╰",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT: "┤",
    _DOWN | _LEFT | _RIGHT: "┬",
    _UP | _LEFT | _RIGHT: "┴",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}
_COLOURS = {
    "Finished": "#c8e6c9",
    "Running": "#b3e5fc",
    "Failed": "#ffcdd2",
    "Stopped": "#fff9c4",
    "Waiting": "#eeeeee",
}
_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "})


class Node(NamedTuple):
    """A task with its state ('' if none yet) and a text."""

    name: str
    state: str = ""
    text: str = ""


class Line(NamedTuple):
    """One line of a drawing: `graph`, and the task beside it, None on a connecting line. `after`: see `draw`."""

    graph: str
    node: Node | None = None
    after: tuple[str, ...] = ()


def draw(nodes: Sequence[Node], dependencies: Dependencies, utf: bool = True) -> list[Line]:
    """Draw the lines. If there are too many lanes, draw marks only; then `after` has the predecessors of each task."""
    by_name = {node.name: node for node in nodes}
    names = order(list(by_name), dependencies)
    lines = []
    for row in _lanes(names, dependencies):
        if len(row[0]) > _MOST_LANES:
            before = predecessors(dependencies)
            return [Line(_mark(by_name[name].state, utf), by_name[name], tuple(before.get(name, ()))) for name in names]
        lines.append(_line(*row, by_name, utf))
    return lines


def order(names: Sequence[str], dependencies: Dependencies) -> list[str]:
    """Sort the names: each after its predecessors, and near them. Names in a cycle come last."""
    waits = dict.fromkeys(names, 0)
    for name, successors in dependencies.items():
        for successor in set(successors) if name in waits else ():
            if successor in waits:
                waits[successor] += 1
    stack = [name for name in reversed(names) if not waits[name]]
    found: dict[str, None] = {}
    while stack:
        name = stack.pop()
        found[name] = None
        for successor in reversed(dict.fromkeys(dependencies.get(name, ()))):
            if successor in waits:
                waits[successor] -= 1
                if not waits[successor]:
                    stack.append(successor)
    return [*found, *(name for name in names if name not in found)]


def _lanes(names: Sequence[str], dependencies: Dependencies) -> Iterator[tuple[list[int], int, str]]:
    """Yield lines: (the directions of each lane, the lane of the task or -1, the task or '')."""
    lanes: list[str | None] = []
    present, done = set(names), set()
    for name in names:
        here = lanes.index(name) if name in lanes else _free(lanes)
        lanes[here] = name
        yield [_UP | _DOWN if lane else 0 for lane in lanes], here, name
        done.add(name)
        lanes[here] = None
        before = [_UP | _DOWN if lane else 0 for lane in lanes]
        targets = []
        for successor in dict.fromkeys(dependencies.get(name, ())):
            if successor in present and successor not in done:
                if successor not in lanes:
                    lanes[here if lanes[here] is None else _free(lanes)] = successor
                targets.append(lanes.index(successor))
        if targets:
            yield _connection(before, here, targets, len(lanes)), -1, ""
        while lanes and lanes[-1] is None:
            lanes.pop()


def _free(lanes: list[str | None]) -> int:
    if None not in lanes:
        lanes.append(None)
    return lanes.index(None)


def _connection(before: Sequence[int], here: int, targets: Sequence[int], count: int) -> list[int]:
    """Connect lane `here` with all `targets` below. A lane that is only crossed stays unbroken."""
    lines = [*before, *[0] * (count - len(before))]
    lines[here] |= _UP
    for target in targets:
        lines[target] |= _DOWN
    first, last = min(here, *targets), max(here, *targets)
    for lane in range(first, last + 1):
        if lane == here or lane in targets or not lines[lane]:
            lines[lane] |= (_LEFT if lane > first else 0) | (_RIGHT if lane < last else 0)
    return lines


def _line(lines: Sequence[int], here: int, name: str, nodes: Mapping[str, Node], utf: bool) -> Line:
    spans = [number for number, bits in enumerate(lines) if bits & (_LEFT | _RIGHT)]
    text = ""
    for number, bits in enumerate(lines):
        if number == here:
            text += _mark(nodes[name].state, utf)
        else:
            shape = _LINES.get(bits, " ")
            text += shape if utf else {"│": "|", "─": "-", " ": " "}.get(shape, "+")
        text += ("─" if utf else "-") if spans and spans[0] <= number < spans[-1] else " "
    return Line(text.rstrip(), nodes.get(name))


def _mark(state: str, utf: bool) -> str:
    return _MARKS.get(state, _OTHER)[0 if utf else 1]


def predecessors(dependencies: Dependencies) -> dict[str, list[str]]:
    """Return the predecessors of each task."""
    found: dict[str, list[str]] = {}
    for name, successors in dependencies.items():
        for successor in dict.fromkeys(successors):
            found.setdefault(successor, []).append(name)
    return found


def mermaid(nodes: Sequence[Node], dependencies: Dependencies) -> str:
    """Return a Mermaid flowchart, as GitHub and GitLab show it."""
    ids = {node.name: f"t{number}" for number, node in enumerate(nodes)}
    edges = list(_edges(ids, dependencies))
    lines = [*(["---", f"title: {ARROWS}", "---"] if edges else ()), "flowchart TD"]
    for node in nodes:
        words = "<br/>".join(word.translate(_ENTITIES) for word in _words(node))
        lines.append(f'    {ids[node.name]}["{words}"]')
    lines += [f"    {ids[one]} --> {ids[other]}" for one, other in edges]
    for state, colour in _COLOURS.items():
        members = ",".join(ids[node.name] for node in nodes if node.state == state)
        if members:
            lines += [f"    classDef {state} fill:{colour},color:#000", f"    class {members} {state}"]
    return "\n".join(lines)


def dot(nodes: Sequence[Node], dependencies: Dependencies, title: str = "job") -> str:
    """Return a DOT graph for Graphviz."""
    lines = [f"digraph {_quoted(title)} {{", '    node [shape=box, style="rounded,filled", fillcolor="#ffffff"];']
    for node in nodes:
        label = "\\n".join(_quoted(word)[1:-1] for word in _words(node))
        lines.append(f'    {_quoted(node.name)} [label="{label}", fillcolor="{_COLOURS.get(node.state, "#ffffff")}"];')
    edges = list(_edges({node.name: "" for node in nodes}, dependencies))
    if edges:
        lines.insert(1, f"    label={_quoted(ARROWS)};")
    lines += [f"    {_quoted(one)} -> {_quoted(other)};" for one, other in edges]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _words(node: Node) -> list[str]:
    return [word for word in (node.name, node.state, node.text) if word]


def _edges(names: Mapping[str, object], dependencies: Dependencies) -> Iterator[tuple[str, str]]:
    for name, successors in dependencies.items():
        for successor in dict.fromkeys(successors):
            if name in names and successor in names:
                yield name, successor
