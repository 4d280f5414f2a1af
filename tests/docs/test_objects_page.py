"""docs/objects.md names each operation and each error code of the OSS endpoint, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from batchcompute_local.oss.errors import STATUS
from batchcompute_local.oss.operations import OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs/objects.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_operations() -> None:
    shown = {name: cells[1] for cells in rows("operation") for name in cells[0].split(", ")}
    there = {name: each.method for each in OPERATIONS for name in each.name.split(", ")}
    assert shown.keys() == there.keys()
    assert [name for name, method in there.items() if method not in shown[name].split(", ")] == []


def test_codes() -> None:
    shown = {name: int(cells[1]) for cells in rows("code") for name in cells[0].split(", ")}
    assert shown == STATUS


def test_every_code_is_answered() -> None:
    folder = Path(__file__).parents[2] / "plugins/batchcompute-local/src/batchcompute_local/oss"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "errors.py")
    text += "NotImplemented InvalidArgument"  # errors.py makes them
    assert [code for code in STATUS if not re.search(rf"\b{code}\b", text)] == []
