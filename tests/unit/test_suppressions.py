"""Each comment that makes a checker ignore something has its reason beside it, and nothing is left to do."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("batchcompute", "plugins", "tests", "benchmarks", "tools", "examples")
_MARK = re.compile(r"#\s*(?:type:\s*ignore|noqa|pragma|nosec)\b")
_EXPLAINED = re.compile(r"# (?:type: ignore\[[a-z,-]+\]|noqa: [A-Z]+\d+(?:, ?[A-Z]+\d+)*)  # \S.*")
_UNDONE = re.compile(r"\b(?:TODO|FIXME|XXX)\b")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_suppression_has_its_reason(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        if any(part.startswith(".") for part in path.relative_to(ROOT).parts):  # an environment of an example
            continue
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                if token.type == tokenize.COMMENT:
                    where = f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
                    assert not _MARK.search(token.string) or _EXPLAINED.fullmatch(token.string), where
                    assert not _UNDONE.search(token.string), where
