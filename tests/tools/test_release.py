"""What `make release` refuses before it builds anything; the rest of it needs the package index."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.release import check_tree, find_differences


def git(root: Path, *words: str) -> None:
    """Run git without anybody's settings."""
    who = (
        "-c",
        "user.name=Test",
        "-c",
        "user.email=test@localhost",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    )
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit, which is version 3.9.0."""
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "One")
    git(tmp_path, "tag", "-a", "v3.9.0", "-m", "Version 3.9.0")
    return tmp_path


def test_a_clean_tree_with_its_tag_is_taken(tree: Path) -> None:
    check_tree("3.9.0", tree)


@pytest.mark.parametrize("name", ["file", "unknown"])
def test_a_tree_that_is_not_clean_is_refused(tree: Path, name: str) -> None:
    (tree / name).write_text("two")
    with pytest.raises(SystemExit, match=rf"the tree is not clean.*\n.*{name}"):
        check_tree("3.9.0", tree)


def test_a_commit_without_the_tag_is_refused(tree: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no tag v3\.9\.1; make it: git tag -a v3\.9\.1"):
        check_tree("3.9.1", tree)
    git(tree, "commit", "--allow-empty", "-m", "Two")
    with pytest.raises(SystemExit, match=r"has no tag v3\.9\.0"):
        check_tree("3.9.0", tree)


def test_differences_name_what_is_missing_added_or_changed() -> None:
    one, other = {"a": b"1", "b": b"2", "c": b"3"}, {"a": b"1", "b": b"9", "d": b"4"}
    assert find_differences(one, other) == ["b", "c", "d"]
    assert find_differences(one, dict(one)) == []
