"""The pages that users read, and their fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("README*.md", "CONTRIBUTING.md", "docs/*.md", "plugins/*/README.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*(\S*)")


def text_of(page: str) -> str:
    """The text of a page, named by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[dict[str, Any]]:
    """The fenced blocks of a page: language, text, and the line of the fence."""
    found: list[dict[str, Any]] = []
    fence, inside = "", 0
    block: dict[str, Any] | None = None
    for number, line in enumerate(text_of(page).splitlines(), start=1):
        match = _FENCE.match(line)
        if block is None and match:
            inside, fence = len(match[1]), match[2]
            block = {"page": page, "language": match[3], "line": number, "lines": []}
        elif block is not None and line.strip() == fence:
            found.append(block | {"text": "\n".join(block.pop("lines")) + "\n"})
            block = None
        elif block is not None:
            block["lines"].append(line[min(inside, len(line) - len(line.lstrip())) :])
    assert block is None, f"{page}: the block of line {block and block['line']} does not end"
    return found


def prose_of(page: str) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^( *)(`{3,}|~{3,}).*?^\1\2$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
