"""Citations of the protocol, a number after the word, lead to a section of docs/protocol.md or of the pages beside it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/protocol*.md"))
SUFFIXES = (".py", ".md", ".toml", ".js", ".sh", ".yaml", ".yml", "Makefile")
WORD = "protocol"
OLD_WORDS = ("facts", "fact")  # of a collection that is not in the repository

_BREAK = r"\s+(?:(?:#|//|\*)\s*)?"  # a comment may go on in the next line
_NUMBERS = rf"\d+\.\d+(?:(?:,|{_BREAK}to|{_BREAK}and){_BREAK}\d+\.\d+)*"
_CITATION = re.compile(rf"\b{WORD}{_BREAK}({_NUMBERS})(?:,?{_BREAK}number{_BREAK}(\d+))?", re.IGNORECASE)
_OLD = re.compile(rf"\b(?:{'|'.join(OLD_WORDS)}){_BREAK}\d+\.\d+", re.IGNORECASE)
_HEADING = re.compile(r"^(#{2,3}) (\d+(?:\.\d+)?) .*$", re.MULTILINE)
_REFERENCE = re.compile(r"\((\d+\.\d+)(?:, number (\d+))?\)")  # within the pages


def files() -> list[Path]:
    """The files that are tracked, or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode()
    paths = {ROOT / name for name in listed.split("\0") if name.endswith(SUFFIXES)}
    return sorted(path for path in paths if path.is_file())


def headings() -> list[str]:
    """The numbers of all sections, in the order of the pages."""
    return [number for page in PAGES for _, number in _HEADING.findall(page.read_text(encoding="utf-8"))]


@cache
def sections() -> dict[str, str]:
    """The text of each section by its number."""
    found: dict[str, str] = {}
    for page in PAGES:
        _, *parts = _HEADING.split(page.read_text(encoding="utf-8"))
        found |= dict(zip(parts[1::3], parts[2::3], strict=True))
    return found


def numbers_in(cited: str) -> Iterator[str]:
    """The numbers of a list, with all that are in its ranges; what is not a range comes as it stands."""
    last, to = "", False
    for token in re.findall(r"\bto\b|\d+\.\d+", cited):
        if token == "to":
            to = True
            continue
        if to:
            (chapter, first), (other, end) = (map(int, number.split(".")) for number in (last, token))
            yield from (f"{chapter}.{one}" for one in range(first + 1, end))
            if chapter != other or first >= end:
                yield f"{last} to {token}"
        yield token
        last, to = token, False


def wrong_citations(text: str) -> list[str]:
    """The numbers that a text cites and no section has, and the items that a section does not number."""
    wrong = []
    for cited, item in _CITATION.findall(text):
        numbers = list(numbers_in(cited))
        wrong += [number for number in numbers if number not in sections()]
        wrong += _missing_item(numbers[-1], item)
    return wrong


def _missing_item(section: str, item: str) -> list[str]:
    rows = re.findall(r"^\| (\d+)\*? \|", sections().get(section, ""), flags=re.MULTILINE)
    return [f"{section} number {item}"] if item and item not in rows else []


def test_all_citations_lead_somewhere() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in files()}
    wrong = {str(path.relative_to(ROOT)): found for path, text in texts.items() if (found := wrong_citations(text))}
    assert wrong == {}
    citing = [path for path, text in texts.items() if _CITATION.search(text)]
    assert len(citing) > 30, "the search finds too little to be right"


def test_nothing_is_cited_by_the_old_word() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files()}
    assert {path: found for path, text in texts.items() if (found := _OLD.findall(text))} == {}


def test_each_number_is_given_once() -> None:
    found = headings()
    assert len(found) == len(set(found))
    assert {number.partition(".")[0] for number in found} == {number for number in found if "." not in number}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_refer_to_themselves_rightly(page: Path) -> None:
    references = _REFERENCE.findall(page.read_text(encoding="utf-8"))
    assert [number for number, _ in references if number not in sections()] == []
    assert [missing for number, item in references for missing in _missing_item(number, item)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"{WORD} 1.4", []),
        (f"See {WORD.title()} 1.2 to 1.5, 2.11 and 4.4.", []),
        (f"{WORD} 1.9, number 9; {WORD} 1.9 number 21", []),
        ("HTTP 9.9, section 7.7", []),
        (f"({WORD} 1.12)", ["1.12"]),
        (f"{WORD} 1.4, 2.99: what follows", ["2.99"]),
        (f"{WORD} 2.9 to 2.14", ["2.13", "2.14"]),
        (f"{WORD} 1.7 to 2.1", ["1.7 to 2.1"]),
        (f"{WORD} 1.5 to 1.4", ["1.5 to 1.4"]),
        (f"{WORD} 1.4 and 9.1", ["9.1"]),
        (f"# as {WORD}\n    # 5.1 says", ["5.1"]),
        (f"# {WORD} 1.4,\n# 5.2", ["5.2"]),
        (f"{WORD.title()} 0.1 (hosts)", ["0.1"]),
        (f"{WORD} 1.9, number 23", ["1.9 number 23"]),
    ],
)
def test_a_wrong_citation_is_found(text: str, wrong: list[str]) -> None:
    assert wrong_citations(text) == wrong


@pytest.mark.parametrize("word", [*OLD_WORDS, "Facts"])
def test_the_old_word_is_found(word: str) -> None:
    assert _OLD.findall(f"# See {word} 1.4")
    assert _OLD.findall(f"# See {word}\n# 1.4")
    assert not _OLD.findall(f"two {word} follow")
