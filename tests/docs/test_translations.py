"""Each Chinese page says what its English twin says: the same blocks, outline, names and links, so that neither drifts.

So the blocks of the English pages are the ones that test_docs.py runs: a Chinese one differs in its Chinese comments only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import LINK, PAGES, blocks_of, prose_of, text_of

CHINESE = [page for page in PAGES if page.endswith(".zh.md")]
_CODE = re.compile(r"`([^`]+)`")
_COMMENT = re.compile(r"(?:^|\s+)# .*")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_KINDS = re.compile(r"(#+|-|\||!|\*\*\d+\.\*\*)")


def english(page: str) -> str:
    """The page that a Chinese one translates."""
    return page.removesuffix(".zh.md") + ".md"


def differences(page: str) -> Iterator[str]:
    """Yield what a Chinese page has in another way than its English twin."""
    twin = english(page)
    ours, theirs = (
        [(block["language"], _without_comments(block["text"])) for block in blocks_of(one)] for one in (page, twin)
    )
    yield from (f"block: {text}" for _, text in _other(ours, theirs))
    if ours == theirs:
        comments = zip_longest(_comments(page), _comments(twin), fillvalue="")
        yield from (f"comment: {one}" for one, other in comments if one != other and not _HAN.search(one))
    yield from (f"outline: {part}" for part in _other(list(_outline(page)), list(_outline(twin))))
    yield from (f"name: {name}" for name in _names(page) ^ _names(twin))
    yield from (f"link: {target}" for target in _links(page) ^ _links(twin))


def _other(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Return the first part that differs, of the list that has one."""
    index = next((at for at, (one, two) in enumerate(zip(ours, theirs, strict=False)) if one != two), None)
    if index is None:
        index = min(len(ours), len(theirs))
    return (ours[index:] or theirs[index:])[:1]


def _without_comments(code: str) -> str:
    return _COMMENT.sub("", code)


def _comments(page: str) -> list[str]:
    return [match[0].strip() for block in blocks_of(page) for match in _COMMENT.finditer(block["text"])]


def _outline(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the kind of each heading, item, row, image and paragraph; for a row with the names in it."""
    before = ""
    for line in prose_of(page).splitlines():
        match = _KINDS.match(line)
        if match:
            yield match[1], sorted(_CODE.findall(line)) if match[1] == "|" else []
        elif line.strip() and not before.strip():
            yield "paragraph", []
        before = line


def _names(page: str) -> set[str]:
    return set(_CODE.findall(prose_of(page)))


def _links(page: str) -> set[str]:
    """Return what the page leads to, in whichever language."""
    return {target.replace(".zh.md", ".md") for target in LINK.findall(text_of(page))}


def test_the_pages_of_newcomers_are_there_in_chinese() -> None:
    assert CHINESE == ["README.zh.md", "docs/migrating.zh.md", "docs/quickstart.zh.md"]


@pytest.mark.parametrize("page", CHINESE)
def test_a_page_says_what_its_twin_says(page: str) -> None:
    assert list(differences(page)) == []


@pytest.mark.parametrize("page", CHINESE)
def test_twins_name_each_other(page: str) -> None:
    """In their first paragraphs, and Chinese pages lead to Chinese pages."""
    for one, other in ((page, english(page)), (english(page), page)):
        assert f"]({Path(other).name})" in prose_of(one).partition("\n## ")[0]
    skipped = {english(page)}
    folder = Path(page).parent
    leads = {str(folder / target) for target in LINK.findall(text_of(page))}
    assert {english(one) for one in CHINESE} & leads - skipped == set()


@pytest.mark.parametrize("page", CHINESE)
def test_all_is_in_chinese(page: str) -> None:
    """No line of words is left in English."""
    words = re.sub(r"`[^`]*`|\]\([^)]*\)|\[English\]", "", prose_of(page))
    english_lines = [line for line in words.splitlines() if len(re.findall(r"[A-Za-z]+", line)) > 3]
    assert [line for line in english_lines if not _HAN.search(line)] == []


_PAGE = "# A\n\nSee [b](b.md), `name`.\n\n```sh\ntrue  # comment\n```\n\n| `x` |\n"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("comment", "注释", []),
        ("comment", "1229 primes", ["comment"]),
        ("See", "见", []),
        ("b.md", "b.zh.md", []),
        ("true", "false", ["block"]),
        ("true", "true  # one\ntrue", ["block"]),
        ("```sh", "```console", ["block"]),
        ("# A", "## A", ["outline"]),
        ("# A", "# A\n\nMore.", ["outline"]),
        ("\n| `x` |", "", ["outline", "name"]),
        ("`x`", "x", ["outline", "name"]),
        ("`name`", "name", ["name"]),
        ("b.md", "c.md", ["link", "link"]),
    ],
)
def test_what_differs_is_found(old: str, new: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(_PAGE)
    chinese = tmp_path / "page.zh.md"
    chinese.write_text(_PAGE.replace(old, new))
    assert [one.partition(":")[0] for one in differences(str(chinese))] == found
