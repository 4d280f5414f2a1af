"""One word for one concept: the glossary of docs/architecture.md, and words that it has replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LOCAL = ROOT / "plugins" / "batchcompute-local"
_DASK = ROOT / "plugins" / "batchcompute-dask" / "src"
_ROOTS = (ROOT, _LOCAL / "src" / "batchcompute_local", _LOCAL, _DASK)
_ROW = re.compile(r"^\| ([a-z -]+) \| (.+) \| `([a-z_/]+\.py)` \|$", flags=re.MULTILINE)
_SEARCHED = ("batchcompute", "benchmarks", "docs", "examples", "plugins", "tests")
RETIRED = {
    r"strays?": "orphan",
    r"survivors?": "leftover",
    r"spare": "folder pool",
    r"endings": "job waiter, or end",
    r"lastline": "exit message",
    r"Pace": "claim-ahead",
    r"house": "service harness, or part",
    r"told": "logged, reported, called with",
    "配置档案": "profile",
    "跟踪": "日志, 查看进度",
    "真正运行": "实际运行",
}
"""Retired words as patterns, with the word to use."""


def test_glossary_names_modules_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    glossary = page.partition("## Glossary")[2]
    rows = _ROW.findall(glossary)
    assert len(rows) == sum(line.startswith("|") for line in glossary.splitlines()) - 2
    terms = [term for term, _, _ in rows]
    assert terms == sorted(set(terms))
    assert [term for term, _, module in rows if not any((root / module).is_file() for root in _ROOTS)] == []


@pytest.mark.parametrize(("retired", "instead"), RETIRED.items(), ids=RETIRED.values())
def test_retired_words(retired: str, instead: str) -> None:
    pattern = re.compile(rf"(?<![A-Za-z0-9]){retired}(?![A-Za-z0-9])")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in _files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == [], f"use {instead}"


def test_retired_words_are_found() -> None:
    pattern = "|".join(RETIRED)
    assert all(re.fullmatch(pattern, word) for word in ("stray", "spare", "lastline", "told", "house", "配置档案"))


def _files() -> Iterator[Path]:
    for path in (*ROOT.glob("*.md"), *(path for name in _SEARCHED for path in (ROOT / name).rglob("*"))):
        is_text = path.suffix in (".py", ".md", ".toml") and path.name != "CHANGELOG.md"
        if is_text and path != Path(__file__) and not {".venv", "build", "__pycache__"}.intersection(path.parts):
            yield path
