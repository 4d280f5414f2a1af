"""What the pages show is true: every code block runs, every link leads somewhere.

The blocks of Chinese pages are those of their English twins: test_translations.py.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_dask.clusters.starting import end_cluster
from batchcompute_local.client import control
from batchcompute_local.paths import Layout
from dask_cluster import sweep

import batchcompute
from batchcompute.hooks import specs
from tests.support.pages import LINK, PAGES, ROOT, blocks_of, prose_of, text_of

# What newcomers copy must also work again, with the same folder and data.
REPEATED = re.compile(r"(README|docs/quickstart|docs/migrating)\.md")


@pytest.fixture
def surroundings(tmp_path: Path, isolated_environment: None) -> Iterator[dict[str, str]]:
    """The environment of a page's code: an empty HOME, a data folder of its own; its services are stopped afterwards."""
    (tmp_path / "cwd").mkdir()
    yield {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BATCHCOMPUTE_DATA_DIR": str(tmp_path / "data"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for lock in tmp_path.rglob("daemon.lock"):
        control.stop(lock.parent)
    for lock in tmp_path.rglob("dask/cluster.lock"):
        end_cluster(Layout.at(lock.parents[1]))
        sweep(lock.parent / "nodes")


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith(".zh.md")])
def test_code(page: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2 if REPEATED.fullmatch(page) else 1):
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("run_page.py"))],
            input=json.dumps(blocks_of(page)),
            cwd=tmp_path / "cwd",
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", ["docs/quickstart.md", "docs/quickstart.zh.md"])
def test_the_quick_start_begins_with_a_venv(page: str) -> None:
    """What it installs must reach no other Python of the reader, and many systems refuse it outside of a venv."""
    first = blocks_of(page)[0]
    commands = [line.split()[1:] for line in first["text"].splitlines()]
    assert [command[:3] for command in commands] == [
        ["python3", "-m", "venv"],
        ["source", f"{commands[0][-1]}/bin/activate"],
        ["pip", "install", "./"],
    ]


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    """Links into the repository, and to sections; others are left alone, since tests need no network."""
    targets = [one for one in LINK.findall(text_of(page)) if "://" not in one]
    assert [one for one in targets if not _leads_somewhere(ROOT / page, one)] == []


def _leads_somewhere(page: Path, target: str) -> bool:
    name, _, section = target.partition("#")
    path = page.parent / name if name else page
    return path.exists() and (not section or path.suffix != ".md" or section in _sections(path))


def _sections(page: Path) -> set[str]:
    """The names under which links find the headings: in small letters, hyphens for spaces, no other marks."""
    headings = re.findall(r"^#+ (.*)$", prose_of(str(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("target", "right"),
    [
        ("page.md", True),
        ("#two-words-here", True),
        ("page.md#two-words-here", True),
        ("pages.md", False),
        ("#in-a-block", False),
        ("page.md#two", False),
    ],
)
def test_a_wrong_link_is_noticed(target: str, right: bool, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# First\n\n```sh\n# in a block\n```\n\n## Two: `words` here\n")
    assert _leads_somewhere(page, target) == right


def test_commands_that_are_run_elsewhere() -> None:
    """The list has only what a page still shows."""
    source = Path(__file__).with_name("run_page.py").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^ELSEWHERE = (\{.*?^\})", source, flags=re.DOTALL | re.MULTILINE)
    shown = {line.strip() for page in PAGES for block in blocks_of(page) for line in block["text"].splitlines()}
    assert set(ast.literal_eval(listed)) <= shown


def test_architecture_names_what_exists() -> None:
    """docs/architecture.md names every hook, each by its right name, and no file that is not there."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    there = {path.name for folder in ("batchcompute", "plugins") for path in (ROOT / folder).rglob("*")}
    named = set(re.findall(r"`([a-z_./]+(?:\.py|/))`", page))
    assert {Path(name).name for name in named} <= there
    hooks = {name for name, spec in vars(specs).items() if hasattr(spec, "batchcompute_spec")}
    (table,) = re.findall(r"^\| kind \|.*?\n\n", page, flags=re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"`([a-z_]+)`", table)) == hooks


def test_everything_of_the_client_is_reported() -> None:
    """docs/client.md has every public error and warning, every method and every argument of Client."""
    text = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    kinds = [name for name in batchcompute.__all__ if name.endswith(("Error", "Warning"))]
    methods = [name for name in vars(batchcompute.Client) if not name.startswith("_")]
    arguments = [name for name in inspect.signature(batchcompute.Client).parameters if name != "unknown"]
    missing = [name for name in (*kinds, *methods, *arguments) if not re.search(rf"\b{name}\b", text)]
    assert missing == []


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```python\nx = 1\n```\n```python\nassert x == 2\n```\n", "AssertionError"),
        ("```python\nprint(1 + 1)  # 3\n```\n", "prints '2', not '3'"),
        ("```sh\nfalse\ntrue\n```\n", "CalledProcessError"),
        ("```sh\nread answer\n```\n", "CalledProcessError"),
        ('```sh\nmkdir a; cd a; export B=c\n```\n```console\n$ echo "${PWD##*/} $B" >&2; false\n```\n', "a c\n"),
        ("```console\n$ false\n```\n", "CalledProcessError"),
        ("```console\nfalse\n```\n", "without a command"),
        ("```toml\na = \n```\n", "TOMLDecodeError"),
        ("```json\n{\n```\n", "JSONDecodeError"),
        ("```\nanything\n```\n", "are not known"),
        ("```perl\n1\n```\n", "are not known"),
    ],
)
def test_a_wrong_block_is_noticed(block: str, words: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(block)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_page.py"))],
        input=json.dumps(blocks_of(str(page))),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize(("shown", "right"), [("one ... three", True), ("one two", False), ("two", False), ("", False)])
def test_a_transcript_is_compared(shown: str, right: bool, tmp_path: Path) -> None:
    page = tmp_path / "quickstart.md"
    page.write_text(f"```console\n$ true\n$ echo one two three\n{shown}\n```\n")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_page.py"))],
        input=json.dumps(blocks_of(str(page))),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) == right, done.stderr
