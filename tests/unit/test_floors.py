"""Imports point down: the rooms of a package and their floors stand in docs/architecture.md, the arrows in the files.

A room is a folder or a module beside the folders. Lazy imports and imports for types count like all others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"

# Where a package is, and the heading of docs/architecture.md whose table has its floors, the highest first.
PACKAGES = {
    "batchcompute": (ROOT / "batchcompute", "The SDK: floors"),
    "batchcompute_alibabacloud": (
        ROOT / "plugins/batchcompute-alibabacloud/src/batchcompute_alibabacloud",
        "The credential plugin: floors",
    ),
    "batchcompute_oss": (ROOT / "plugins/batchcompute-oss/src/batchcompute_oss", "The plugin for objects: floors"),
    "batchcompute_dask": (
        ROOT / "plugins/batchcompute-dask/src/batchcompute_dask",
        "The executor on a Dask cluster: floors",
    ),
    "batchcompute_local": (ROOT / "plugins/batchcompute-local/src/batchcompute_local", "The service: floors"),
}
packages = pytest.mark.parametrize("package", PACKAGES)


@dataclass(frozen=True)
class Arrow:
    """An import: the module that has it, its file and line, and the module that is imported."""

    source: str
    file: Path
    line: int
    target: str

    def __str__(self) -> str:
        file = self.file.relative_to(ROOT) if self.file.is_relative_to(ROOT) else self.file
        return f"{file}:{self.line} imports {self.target}"


def modules_of(folder: Path) -> dict[str, Path]:
    """The files of a package by the names of their modules."""
    found = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported_names(node: ast.AST, module: str, file: Path) -> list[str]:
    """The full names that an import statement asks for; `from a import b` asks for a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
        kept = package[: len(package) - node.level + 1]
        base = ".".join([*kept, base] if base else kept)
    return [f"{base}.{alias.name}" for alias in node.names]


def arrows_of(folder: Path) -> list[Arrow]:
    """Every import of one module of the package by another, by file and line."""
    modules = modules_of(folder)
    found = []
    for module, file in modules.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in imported_names(node, module, file):
                target = name if name in modules else name.rpartition(".")[0]  # a name that a module defines
                if target in modules and target != module:
                    assert isinstance(node, ast.stmt)
                    found.append(Arrow(module, file, node.lineno, target))
    return sorted(found, key=lambda arrow: (str(arrow.file), arrow.line))


def room_of(module: str, folder: Path) -> str:
    """The room of a module as the table writes it: `hooks/`, `wire.py`, or `__init__.py`."""
    parts = module.split(".")
    if len(parts) == 1:
        return "__init__.py"
    return f"{parts[1]}/" if (folder / parts[1]).is_dir() else f"{parts[1]}.py"


def floors_under(heading: str, page: str) -> dict[str, int]:
    """The rooms of the table under a heading with the numbers of their floors; a higher number is a higher floor."""
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, f"docs/architecture.md has no section {heading!r}"
    rows = [line.split("|") for line in section[1].splitlines() if line.startswith("|")]
    assert rows, f"the section {heading!r} has no table"
    assert [cell.strip() for cell in rows[0][1:3]] == ["floor", "rooms"]
    floors: dict[str, int] = {}
    for number, row in enumerate(reversed(rows[2:])):
        for room in re.findall(r"`([^`]+)`", row[2]):
            assert room not in floors, f"{room} is on two floors"
            floors[room] = number
    return floors


def upward(folder: Path, floors: Mapping[str, int]) -> Iterator[str]:
    """Arrows between rooms that do not point down."""
    for arrow in arrows_of(folder):
        source, target = room_of(arrow.source, folder), room_of(arrow.target, folder)
        if source != target and floors[source] <= floors[target]:
            way = "up" if floors[source] < floors[target] else "to its own floor"
            yield f"{arrow}: an arrow {way}, from {source} to {target}"


def find_circle(folder: Path) -> list[str]:
    """The arrows of a circle of modules; empty if there is none."""
    arrows = arrows_of(folder)
    graph: dict[str, set[str]] = {}
    for arrow in arrows:
        graph.setdefault(arrow.source, set()).add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]  # each is imported by the next
        pairs = set(zip(names[1:], names, strict=False))
        return [str(arrow) for arrow in arrows if (arrow.source, arrow.target) in pairs]
    return []


@packages
def test_every_room_has_a_floor(package: str) -> None:
    folder, heading = PACKAGES[package]
    rooms = {room_of(module, folder) for module in modules_of(folder)}
    assert rooms == set(floors_under(heading, PAGE.read_text(encoding="utf-8")))


@packages
def test_no_import_points_up(package: str) -> None:
    folder, heading = PACKAGES[package]
    first = next(upward(folder, floors_under(heading, PAGE.read_text(encoding="utf-8"))), None)
    assert first is None, first


@packages
def test_no_circle(package: str) -> None:
    circle = find_circle(PACKAGES[package][0])
    assert not circle, "\n".join(circle)


def test_the_sdk_imports_no_plugin_package() -> None:
    others = [name for name in PACKAGES if name != "batchcompute"]
    for module, file in modules_of(PACKAGES["batchcompute"][0]).items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in imported_names(node, module, file):
                assert name.split(".")[0] not in others, f"{file.relative_to(ROOT)}:{node.lineno} imports {name}"  # type: ignore[attr-defined]  # an import statement has it


HOUSE = """
# The packages

## Floors

| floor | rooms | what |
|---|---|---|
| top | `top/` | |
| | `middle.py` | |
| low | `low.py`, `lower.py` | |
| | `__init__.py` | |

## Other
"""


def build(folder: Path, **files: str) -> Path:
    """A package `sample` whose files have these texts; `top__a` is top/a.py."""
    sample = folder / "sample"
    texts = {"__init__": "", "top____init__": "", "middle": "from . import low", "low": "", "lower": ""} | files
    for name, text in texts.items():
        path = sample / f"{name.replace('__', '/', 1) if name.startswith('top__') else name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sample


def test_floors_are_read_from_the_table() -> None:
    assert floors_under("Floors", HOUSE) == {"top/": 3, "middle.py": 2, "low.py": 1, "lower.py": 1, "__init__.py": 0}


@pytest.mark.parametrize(
    ("text", "line", "target", "way"),
    [
        ("from .middle import x", 1, "sample.middle", "up"),
        ("import sample.top.a", 1, "sample.top.a", "up"),
        ("def run():\n    from .top import a", 2, "sample.top.a", "up"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sample.middle import X",
            3,
            "sample.middle",
            "up",
        ),
        ("from . import lower", 1, "sample.lower", "to its own floor"),
    ],
)
def test_an_arrow_up_is_found(tmp_path: Path, text: str, line: int, target: str, way: str) -> None:
    sample = build(tmp_path, low=text, top__a="from ..middle import x")
    (found,) = upward(sample, floors_under("Floors", HOUSE))
    assert f"low.py:{line} imports {target}: an arrow {way}, from low.py to" in found


def test_arrows_down_are_not(tmp_path: Path) -> None:
    sample = build(
        tmp_path, top__a="from .. import lower, middle\nfrom ..low import x\nfrom . import b", top__b="import ast"
    )
    assert list(upward(sample, floors_under("Floors", HOUSE))) == []
    assert find_circle(sample) == []


def test_a_circle_inside_a_room_is_found(tmp_path: Path) -> None:
    sample = build(tmp_path, top__a="from . import b", top__b="def run():\n    from .a import x")
    circle = find_circle(sample)
    assert len(circle) == 2
    assert circle[0].endswith("a.py:1 imports sample.top.b")
    assert circle[1].endswith("b.py:2 imports sample.top.a")
