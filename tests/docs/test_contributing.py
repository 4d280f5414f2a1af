"""CONTRIBUTING.md leads somewhere: its files, names, tests, pages and commands exist."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_CODE = re.compile(r"`([^`]+)`")
_PYTHON = (".venv/bin/python", "-m")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass
class Change:
    """A section of "Usual changes": the files in order, each with the names to look for; what to run; the pages to edit."""

    title: str
    files: list[tuple[str, list[str]]] = field(default_factory=list)
    runs: list[list[str]] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)


def read_changes(page: str) -> list[Change]:
    """Read the sections of "Usual changes"."""
    text = page.partition("\n## Usual changes\n")[2].partition("\n## ")[0]
    changes = []
    for section in text.split("\n### ")[1:]:
        change = Change(section.partition("\n")[0])
        for line in section.splitlines():
            if re.match(r"\d+\. ", line):
                path, *names = _CODE.findall(line)
                change.files.append((path, names))
            elif line.startswith("Run: "):
                change.runs += [shlex.split(command) for command in _CODE.findall(line)]
            elif line.startswith("Page: "):
                change.pages += _LINK.findall(line)
        changes.append(change)
    return changes


def find_problems(page: str) -> list[str]:
    """Return a sentence for each file, name, page or benchmark that does not exist, and for each command of another kind."""
    problems = []
    for change in read_changes(page):
        empty = [part for part in ("files", "runs", "pages") if not getattr(change, part)]
        found = [f"has no {part}" for part in empty]
        for path, names in change.files:
            if not (ROOT / path).is_file():
                found.append(f"{path} does not exist")
            elif path.endswith(".py"):
                found += [f"{path} defines no {name}" for name in names if name not in defined_names(path)]
        found += [f"{name} does not exist" for name in change.pages if not (ROOT / name).is_file()]
        for command in change.runs:
            if command[:3] == [*_PYTHON, "benchmarks"]:
                found += [f"there is no benchmark {command[3]}"] if command[3] not in benchmark_names() else []
            elif command[:3] != [*_PYTHON, "pytest"]:
                found.append(f"{' '.join(command)} runs neither pytest nor benchmarks")
        problems += [f"{change.title}: {each}" for each in found]
    return problems


def read_test_ids(page: str) -> list[str]:
    """Read the ids of all tests that the page names."""
    return [each for change in read_changes(page) for run in change.runs if run[2] == "pytest" for each in run[3:]]


@cache
def defined_names(path: str) -> set[str]:
    """Return the names that a module defines, at its top and in its classes."""
    return set(_names_of(ast.parse((ROOT / path).read_text(encoding="utf-8")).body))


def _names_of(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from _names_of(node.body)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def benchmark_names() -> frozenset[str]:
    """Return the names that `python -m benchmarks` takes. In a process of its own: it is imported from the checkout."""
    script = "from benchmarks.registry import BENCHMARKS; print(*BENCHMARKS)"
    return frozenset(run(sys.executable, "-c", script).split())


def find_uncollected(ids: Sequence[str]) -> list[str]:
    """Return what pytest says of the ids that it does not find."""
    command = [sys.executable, "-m", "pytest", "-n0", "--collect-only", "-q", *ids]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    problems: list[str] = re.findall(r"^ERROR: (.*)$", said, re.MULTILINE)
    return problems or ([] if done.returncode == 0 else [said])


def environment() -> dict[str, str]:
    """Return ours without what pytest tells its own children."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}


def run(*command: str) -> str:
    """Run a command in the checkout and return what it prints. It must succeed."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_change_leads_somewhere() -> None:
    assert len(read_changes(PAGE)) >= 10
    assert find_problems(PAGE) == []


def test_every_test_is_found() -> None:
    ids = read_test_ids(PAGE)
    assert len(ids) >= 10
    assert find_uncollected(ids) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "1. `batchcompute/operations.py`",
            "1. `batchcompute/operation.py`",
            "batchcompute/operation.py does not exist",
        ),
        ("`OPERATIONS`", "`OPERATION_TABLE`", "batchcompute/operations.py defines no OPERATION_TABLE"),
        (
            "Page: [docs/executors.md](docs/executors.md)",
            "Page: [it](docs/executor.md)",
            "docs/executor.md does not exist",
        ),
        ("Page: [docs/executors.md](docs/executors.md)", "", "has no pages"),
        (
            "Run: `.venv/bin/python -m benchmarks help",
            "Run: `.venv/bin/python -m benchmarks helps",
            "no benchmark helps",
        ),
        ("Run: `.venv/bin/python -m benchmarks help", "Run: `make bench", "make bench --quick runs neither pytest nor"),
    ],
)
def test_what_leads_nowhere_is_named(old: str, new: str, problem: str) -> None:
    assert old in PAGE
    problems = find_problems(PAGE.replace(old, new, 1))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize("wrong", ["tests/unit/test_operation.py", "tests/unit/test_operations.py::test_nothing"])
def test_a_test_that_does_not_exist_is_named(wrong: str) -> None:
    page = PAGE.replace("tests/unit/test_operations.py", wrong)
    (named,) = {each for each in read_test_ids(page) if each not in read_test_ids(PAGE)}
    (problem,) = find_uncollected([named])
    assert wrong in problem


def shown_commands() -> list[str]:
    """Read the commands of "One test, one benchmark, one stress round"."""
    (block,) = re.findall(r"^```sh\n(\.venv/.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(block).splitlines()


@pytest.mark.parametrize("command", shown_commands())
def test_the_shown_commands_run(command: str) -> None:
    """With this Python, wherever its environment is."""
    python, *words = command.split()
    assert python == ".venv/bin/python"
    assert run(sys.executable, *words)


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = re.findall(r"^make (.*)$|`make ([^`.]*)`", PAGE, re.MULTILINE)
    named = {target for words in commands for target in " ".join(words).split()}
    assert {"lint", "test", "demo", "stress", "release", "release-check"} <= named
    assert named <= targets
