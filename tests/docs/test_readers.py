"""Each page says in its first paragraph for whom it is and what it has, as the README's list groups the pages."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.pages import LINK, PAGES, prose_of

GROUPS = {"users": "用户", "embedders": "平台开发者", "maintainers": "维护者"}
_OTHER_LISTS = re.compile(r"README(\.zh)?\.md|plugins/.*")  # the lists themselves; what their own packages show
_ENGLISH = re.compile(rf"For ({'|'.join(GROUPS)})\b[^.:]*[:.] \S")
_COLON = "\N{FULLWIDTH COLON}"
_CHINESE = re.compile(rf"面向[^。{_COLON}]*({'|'.join(GROUPS.values())})[^。{_COLON}]*{_COLON}\S")


def first_paragraph(text: str) -> str:
    """The first text below the title, without comments and targets of links, which are not shown."""
    below = re.sub(r"<!--.*?-->|(?<=\])\([^)]*\)", "", text, flags=re.DOTALL).partition("\n")[2]
    return " ".join(below.strip().partition("\n\n")[0].split())


def reader_of(text: str) -> str | None:
    """The group that the first paragraph names. None if it does not, or says nothing more."""
    if match := _ENGLISH.match(first_paragraph(text)):
        return match[1]
    if match := _CHINESE.match(first_paragraph(text)):
        return next(group for group, name in GROUPS.items() if name == match[1])
    return None


def listed(readme: str) -> dict[str, list[str]]:
    """The pages that the last section of a README lists, by group."""
    section = prose_of(readme).rpartition("\n## ")[2]
    found: dict[str, list[str]] = {}
    group = ""
    for line in section.splitlines():
        named = [each for each, name in GROUPS.items() if re.match(rf"(For {each}|面向.*{name})\b", line)]
        group = named[0] if named else group
        found.setdefault(group, []).extend(LINK.findall(line))
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("README")])
def test_a_page_begins_with_its_readers(page: str) -> None:
    assert reader_of(prose_of(page)) in GROUPS, first_paragraph(prose_of(page))


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_list_has_every_page_once_in_the_group_of_its_readers(readme: str) -> None:
    groups = listed(readme)
    counts = Counter(page.replace(".zh.md", ".md") for pages in groups.values() for page in pages)
    expected = {page for page in PAGES if not _OTHER_LISTS.fullmatch(page) and ".zh." not in page} | {"CHANGELOG.md"}
    assert counts == Counter(expected)
    wrong = [
        (group, page)
        for group, pages in groups.items()
        for page in pages
        if page != "CHANGELOG.md" and reader_of(prose_of(page)) != group
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "reader"),
    [
        ("# A\n\nFor users: what it does.\n", "users"),
        ("# A\n\n<!-- made\nby a program -->\n\nFor embedders. What it does.\n", "embedders"),
        (f"# 一\n\n面向初次使用的用户{_COLON}内容。\n", "users"),
        (f"# 一\n\n面向本仓库的维护者{_COLON}内容。\n", "maintainers"),
        ("# A\n\nWhat it does. For users: more.\n", None),
        ("# A\n\nFor users.\n\nWhat it does.\n", None),
        ("# A\n\nFor usersX: what it does.\n", None),
        ("# 一\n\n内容。\n", None),
    ],
)
def test_a_page_without_its_readers_is_noticed(text: str, reader: str | None) -> None:
    assert reader_of(text) == reader
