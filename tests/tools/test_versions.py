"""One version number in all packages, and in every place that shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.versions import find_problems, read_projects

ROOT = Path(__file__).parents[2]
VERSION = read_projects(ROOT)[0].version
MINOR = VERSION.rpartition(".")[0]
LOCAL = "plugins/batchcompute-local"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that `find_problems` reads, in a folder of their own, with the version released."""
    projects = read_projects(ROOT)
    files = [ROOT / name for name in ("README.md", "README.zh.md", "CHANGELOG.md")]
    for project in projects:
        files += [project.folder / "pyproject.toml", project.folder / "LICENSE", project.module / "__init__.py"]
    for file in files:
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{VERSION}] - 2026-12-01\n\n## [1.0.0] - 2026-11-24\n")
    return tmp_path


def test_all_places_agree() -> None:
    assert find_problems(ROOT, released=False) == []


def test_all_packages_are_found() -> None:
    assert [project.name for project in read_projects(ROOT)] == [
        "batchcompute",
        "batchcompute-alibabacloud",
        "batchcompute-dask",
        "batchcompute-local",
        "batchcompute-oss",
    ]


def test_a_released_version_has_no_problem(copy: Path) -> None:
    assert find_problems(copy, released=True) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        (
            f"{LOCAL}/pyproject.toml",
            f'version = "{VERSION}"',
            'version = "9.0.0"',
            f"{LOCAL}/pyproject.toml: version is 9.0.0, that of batchcompute is {VERSION}",
        ),
        (
            "batchcompute/__init__.py",
            f'__version__ = "{VERSION}"',
            '__version__ = "9.0.0"',
            f"batchcompute: __version__ is 9.0.0, expected {VERSION}",
        ),
        (
            f"{LOCAL}/pyproject.toml",
            f'"batchcompute>={MINOR},<',
            '"batchcompute>=3.0,<',
            f"expected batchcompute>={MINOR},<",
        ),
        (
            "pyproject.toml",
            f'"batchcompute-local>={MINOR},<',
            '"batchcompute-local>=3.0,<',
            f"expected batchcompute-local>={MINOR},<",
        ),
        (f"{LOCAL}/LICENSE", "Apache", "apache", f"{LOCAL}/LICENSE is not the LICENSE of the repository"),
        ("README.md", VERSION, "9.0.0", f"README.md: does not name version {VERSION}"),
        ("README.zh.md", VERSION, "9.0.0", f"README.zh.md: does not name version {VERSION}"),
        ("CHANGELOG.md", " - 2026-12-01", "", f"CHANGELOG.md: [{VERSION}] has no date"),
        ("CHANGELOG.md", f"[{VERSION}]", "[Unreleased]", "the first section is [Unreleased], expected"),
    ],
)
def test_one_wrong_place_is_named(copy: Path, file: str, old: str, new: str, problem: str) -> None:
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    problems = find_problems(copy, released=True)
    assert any(problem in each for each in problems), problems
    assert all(each.startswith(file.removesuffix("/__init__.py")) or "9.0.0" in each for each in problems), problems


@pytest.mark.parametrize(
    ("sections", "problems"),
    [
        (["[Unreleased]", "[1.0.0] - 2026-11-24"], []),
        ([f"[{VERSION}] - 2026-12-01"], []),
        (["[1.0.0] - 2026-11-24"], [f"the first section is [1.0.0], expected [{VERSION}] or [Unreleased]"]),
        (["[Unreleased]", f"[{VERSION}] - 2026-12-01"], ["what is [Unreleased] needs a new version number"]),
        ([], ["has no section"]),
    ],
)
def test_the_changelog_between_releases(copy: Path, sections: list[str], problems: list[str]) -> None:
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n" + "".join(f"## {each}\n\n" for each in sections))
    found = find_problems(copy, released=False)
    assert len(found) == len(problems)
    assert all(expected in each for expected, each in zip(problems, found, strict=True)), found
