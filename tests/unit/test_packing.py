"""`pack`: what is in a package, and what no package may contain."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from batchcompute import PackingError, pack
from batchcompute.packing import EXCLUDED


def names(package: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        return archive.getnames()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    (folder / "main.py").write_text("print(1)\n")
    (folder / "lib" / "part.py").write_text("x = 1\n")
    return folder


def test_what_no_program_needs_is_left_out_by_itself(folder: Path) -> None:
    for name in EXCLUDED:
        (folder / "lib" / name).mkdir()
        (folder / "lib" / name / "file").write_text("x")
    os.symlink("/usr/bin/python3", folder / "lib" / ".venv" / "python3")
    assert names(pack(folder)) == ["lib", "lib/part.py", "main.py"]


def test_exclude_takes_the_place_of_the_defaults(folder: Path) -> None:
    (folder / ".git").mkdir()
    assert names(pack(folder, exclude=())) == [".git", "lib", "lib/part.py", "main.py"]
    assert names(pack(folder, exclude=["part.py"])) == [".git", "lib", "main.py"]
    with pytest.raises(TypeError, match=r"exclude must be a list of names, such as \['lib'\], not a str"):
        pack(folder, exclude="lib")


def test_links_and_modes_stay(folder: Path) -> None:
    os.chmod(folder / "main.py", 0o755)
    os.symlink("../main.py", folder / "lib" / "again.py")
    os.symlink("nowhere", folder / "dangling")
    os.symlink(".venv/bin/python", folder / "python")
    with tarfile.open(fileobj=io.BytesIO(pack(folder))) as archive:
        assert archive.getmember("lib/again.py").linkname == "../main.py"
        assert stat.S_IMODE(archive.getmember("main.py").mode) == 0o755
        assert {"dangling", "python"} <= {*archive.getnames()}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/usr/bin/python3", "'lib/bad' is a link to the absolute path '/usr/bin/python3'"),
        ("../../other", "'lib/bad' is a link to '../../other', out of the folder"),
        ("out/file", "'lib/bad' is a link to 'out/file', out of the folder"),
    ],
)
def test_links_that_a_service_refuses(folder: Path, target: str, why: str) -> None:
    os.symlink(folder.parent, folder / "lib" / "out")
    os.symlink(target, folder / "lib" / "bad")
    with pytest.raises(PackingError) as caught:
        pack(folder)
    assert str(caught.value).startswith(f"{folder} cannot be packed: {why}")
    assert "leave it out: pack(..., exclude=[...])" in str(caught.value)
    assert names(pack(folder, exclude=["bad", "out"])) == ["lib", "lib/part.py", "main.py"]


def test_what_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(PackingError, match="'pipe' is a FIFO"):
        pack(folder)
    os.remove(folder / "pipe")
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert "socket" not in names(pack(folder))


def test_a_path_that_is_too_long(folder: Path) -> None:
    deep = folder.joinpath(*["n" * 200] * 5)
    deep.mkdir(parents=True)
    with pytest.raises(PackingError, match="has a path of more than 1000 bytes"):
        pack(folder)


def test_all_faults_are_counted(folder: Path) -> None:
    for number in range(7):
        os.symlink("/etc/passwd", folder / f"link{number}")
    with pytest.raises(PackingError, match=r"'link4' is a link to the absolute path '/etc/passwd', and 2 more;"):
        pack(folder)


def test_the_same_content_gives_the_same_bytes(folder: Path) -> None:
    first = pack(folder)
    os.utime(folder / "main.py", (1, 1))
    assert pack(folder) == first


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        pack(tmp_path / "nothing")
