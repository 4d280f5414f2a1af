"""Trees that a program made are removed, whatever is in them, and nothing outside is touched."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import batchcompute_local
import pytest
from batchcompute_local.process.packages import Package
from batchcompute_local.process.pool import FolderPool
from batchcompute_local.removal import Remover, remove_tree

from tests.support.unprivileged import as_ordinary_user
from tests.support.waits import wait_for


def _make_odd_tree(root: Path, outside: Path) -> None:
    inner = root / "mod" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    with open(os.fsencode(root) + b"/\xff\n", "w"):
        pass
    os.mkdir(os.fsencode(root) + b"/\xfe")
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (root / "link").symlink_to(outside)
    (inner / "link").symlink_to(outside / "kept")
    (root / "dangling").symlink_to("none")
    os.mkfifo(root / "fifo", 0)
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(root)  # the path of a socket is short
        try:
            sock.bind("socket")
        finally:
            os.chdir(here)
    (root / "closed").mkdir()
    (root / "closed" / "file").write_text("x")
    inner.chmod(0o555)
    (root / "mod").chmod(0o555)
    (root / "closed").chmod(0)
    root.chmod(0o500)


@as_ordinary_user
def test_an_odd_tree(tmp_path: Path) -> None:
    _make_odd_tree(tmp_path / "tree", tmp_path / "outside")
    assert remove_tree(tmp_path / "tree") == []
    assert not (tmp_path / "tree").exists()
    assert (tmp_path / "outside" / "kept").read_text() == "kept"


@as_ordinary_user
def test_a_name_is_free_at_once(tmp_path: Path) -> None:
    _make_odd_tree(tmp_path / "tree", tmp_path / "outside")
    remover = Remover(tmp_path / "trash")
    remover.move_away(tmp_path / "tree")
    (tmp_path / "tree").mkdir()
    wait_for(lambda: not os.listdir(tmp_path / "trash"), "an empty trash")
    assert (tmp_path / "outside" / "kept").exists()
    remover.move_away(tmp_path / "none")


@as_ordinary_user
def test_a_link_or_a_closed_folder_in_the_place_of_the_trash(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    trash = tmp_path / "trash"

    def move_tree(remover: Remover) -> None:
        remover.move_away(tmp_path / "tree")

    for use in (Remover.tidy, move_tree):
        (tmp_path / "tree").mkdir(exist_ok=True)
        trash.symlink_to(tmp_path / "outside")
        use(Remover(trash))
        assert not trash.is_symlink()
        wait_for(lambda: not os.listdir(trash), "an empty trash")
        (tmp_path / "tree").mkdir(exist_ok=True)
        trash.chmod(0)
        use(Remover(trash))
        trash.chmod(0o700)
        wait_for(lambda: not os.listdir(trash), "an empty trash")
        trash.rmdir()
    assert not (tmp_path / "tree").exists()
    assert os.listdir(tmp_path / "outside") == ["kept"]


@as_ordinary_user
def test_a_folder_of_another_user_is_left_and_named(tmp_path: Path, caplog: Any) -> None:
    foreign = tmp_path / "tree" / "foreign"
    foreign.mkdir(parents=True)
    (foreign / "file").touch()
    (tmp_path / "tree" / "ours").touch()
    try:
        os.chown(foreign, 12345, 12345)
    except PermissionError:
        pytest.skip("this user cannot give a folder away")
    with caplog.at_level(logging.WARNING):
        Remover(tmp_path / "trash").remove(tmp_path / "tree")
        wait_for(lambda: caplog.records, "a warning")
    assert len(caplog.records) == 1
    assert "foreign/file': Permission denied" in caplog.text
    (rest,) = (tmp_path / "trash").iterdir()
    assert os.listdir(rest) == ["foreign"]
    assert len(remove_tree(rest)) == 1
    os.chown(foreign if foreign.exists() else rest / "foreign", os.getuid(), os.getgid())


def test_a_tree_deeper_than_paths_and_descriptors_allow(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("folder", dir_fd=place)
        inner = os.open("folder", os.O_RDONLY | os.O_DIRECTORY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    assert remove_tree(tmp_path / "folder") == []
    assert os.listdir(tmp_path) == []


def test_a_mount_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "tree" / "mount").mkdir(parents=True)
    (tmp_path / "tree" / "file").touch()
    code = "import sys; from batchcompute_local.removal import remove_tree; print(*remove_tree(sys.argv[1]))"
    script = 'mount --bind "$1/outside" "$1/tree/mount" || exit 9; "$2" -c "$3" "$1/tree"'
    words = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", script]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    for prefix in (words, [word for word in words if word not in ("--user", "--map-root-user")]):
        done = subprocess.run(
            [*prefix, "sh", tmp_path, sys.executable, code], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            break
    else:
        pytest.skip(f"no mount is allowed: {done.stderr}")
    assert done.stdout.strip() == f"'{tmp_path}/tree/mount': is a mount point"
    assert os.listdir(tmp_path / "tree") == ["mount"]
    assert (tmp_path / "outside" / "kept").exists()
    assert remove_tree(tmp_path / "tree") == []


def test_files_that_come_meanwhile(tmp_path: Path) -> None:
    tree, over = tmp_path / "tree", threading.Event()
    tree.mkdir()

    def add() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                (tree / str(number % 50)).mkdir(parents=True, exist_ok=True)
                (tree / str(number % 50) / str(number)).touch()
            except OSError:
                continue

    thread = threading.Thread(target=add)
    thread.start()
    for _ in range(20):
        remove_tree(tree)  # returns, whatever the other one does
    over.set()
    thread.join()
    assert remove_tree(tree) == []
    assert os.listdir(tmp_path) == []


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    for name in ("file", "link", "none", "none/none"):
        assert remove_tree(tmp_path / name) == []
    assert os.listdir(tmp_path) == ["kept"]


def test_what_is_left_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / "tree" / f"{number}\n").mkdir(parents=True)
    (tmp_path / "tree" / "0\n" / "file").touch()
    real = os.rmdir

    def refuse(name: str, **more: Any) -> None:
        if name != "0\n":
            raise PermissionError(1, "Operation not permitted")
        real(name, **more)

    monkeypatch.setattr(os, "rmdir", refuse)
    rest = remove_tree(tmp_path / "tree")
    assert len(rest) == 21
    assert rest[-1] == "and 9 more"
    assert all("\n" not in each and each.endswith(": Operation not permitted") for each in rest[:-1])


def test_a_folder_of_the_pool_with_a_fifo_is_not_used(tmp_path: Path) -> None:
    """A leftover put it there after the folder was kept."""
    package = Package(tmp_path, (("main.py", 0o700, b"text"),))
    pool = FolderPool(tmp_path / "pool", Remover(tmp_path / "trash"))
    package.copy_to(str(tmp_path / "one"))
    assert pool.keep(package, str(tmp_path / "one"))
    (kept,) = (tmp_path / "pool").iterdir()
    (kept / "main.py").unlink()
    os.mkfifo(kept / "main.py")
    assert not pool.use(package, str(tmp_path / "two"))
    assert not (tmp_path / "two").exists()


def test_nothing_else_removes_trees() -> None:
    root = Path(batchcompute_local.__file__).parent
    assert [file for file in root.rglob("*.py") if "rmtree" in file.read_text()] == []
