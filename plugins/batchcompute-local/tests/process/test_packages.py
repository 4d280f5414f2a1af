"""Packages: what is unpacked stays in its folder, small enough and with harmless rights."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from batchcompute_local.process.packages import PackageError, Packages
from batchcompute_local.process.sources import FileSource
from batchcompute_local.settings import Settings

from batchcompute import pack


def _archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    "member",
    [
        _member("../evil"),
        _member("a/../../evil"),
        _member("link", tarfile.SYMTYPE, "/etc/passwd"),
        _member("link", tarfile.SYMTYPE, "../../evil"),
        _member("hard", tarfile.LNKTYPE, "../evil"),
        _member("pipe", tarfile.FIFOTYPE),
        _member("disk", tarfile.BLKTYPE),
        _member("big", size=2000),
        _member("a/" * 600),
        _member("link", tarfile.SYMTYPE, "a/" * 600),
    ],
)
@pytest.mark.parametrize("helped", [True, False])
def test_hostile_packages(
    tmp_path: Path, member: tarfile.TarInfo, helped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not helped:  # as Python 3.11.2, which Debian 12 has
        _without_filters(monkeypatch)
    packages = Packages(tmp_path / "packages", Settings(max_package_bytes=1000))
    with pytest.raises(PackageError):
        packages.unpacked(FileSource(_archive(tmp_path / "p.tar.gz", member)), "oss://b/p")
    assert not (tmp_path / "evil").exists()
    assert list((tmp_path / "packages").iterdir()) == []


def _without_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(tarfile, "data_filter"):
        monkeypatch.delattr(tarfile, "data_filter")
        monkeypatch.setattr(tarfile.TarFile, "extraction_filter", staticmethod(lambda member, path: member))


def test_a_link_that_leads_out_once_another_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`here` is nothing yet when `up` goes through it; nothing may be written through them then."""
    _without_filters(monkeypatch)
    members = [
        _member("up", tarfile.SYMTYPE, "here/.."),
        _member("here", tarfile.SYMTYPE, "."),
        _member("up/evil", size=1),
    ]
    with pytest.raises(PackageError, match="'up/evil' leads out of it"):
        Packages(tmp_path / "packages", Settings()).unpacked(
            FileSource(_archive(tmp_path / "p", *members)), "oss://b/p"
        )
    assert not list(tmp_path.rglob("evil"))


def test_what_is_unpacked_has_harmless_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_filters(monkeypatch)
    members = [_member(name) for name in ("/abs", "tool", "text", "dir", "dir/closed", "ln")]
    for member, mode in zip(members, (0o644, 0o4777, 0o66, 0o000, 0o000, 0o777), strict=True):
        member.mode, member.uid, member.gid = mode, 12345, 12345
    members[3].type = tarfile.DIRTYPE
    members[5].type, members[5].linkname = tarfile.SYMTYPE, "dir/closed"
    folder = Packages(tmp_path / "packages", Settings()).unpacked(
        FileSource(_archive(tmp_path / "p", *members)), "oss://b/p"
    )
    found = {path.name: path.lstat() for path in folder.rglob("*")}
    assert {name: stat.S_IMODE(facts.st_mode) for name, facts in found.items()} == {
        "abs": 0o644, "tool": 0o755, "text": 0o644, "dir": 0o700, "closed": 0o600, "ln": 0o777,
    }  # fmt: skip
    assert {(facts.st_uid, facts.st_gid) for facts in found.values()} == {(os.getuid(), os.getgid())}


def test_bombs_in_headers(tmp_path: Path) -> None:
    long_name = _member("./././@LongLink", tarfile.GNUTYPE_LONGNAME, size=1 << 20)
    extended = _member("pax", tarfile.XHDTYPE, size=1 << 20)
    chain = [_member("pax", tarfile.XHDTYPE) for _ in range(600)]
    names = [f"pax{n}" for n in range(200)]
    for number, members in enumerate(([long_name], [extended], chain)):
        package = _archive(tmp_path / f"{number}.tar.gz", *members, _member("a"))
        with pytest.raises(PackageError, match="cannot be unpacked"):
            Packages(tmp_path / "packages", Settings()).unpacked(FileSource(package), f"oss://b/{number}")
    with tarfile.open(
        tmp_path / "g.tar.gz", "w:gz", format=tarfile.PAX_FORMAT, pax_headers=dict.fromkeys(names, "x")
    ) as tar:
        tar.addfile(_member("a"))
    with pytest.raises(PackageError, match="global headers"):
        Packages(tmp_path / "packages", Settings()).unpacked(FileSource(tmp_path / "g.tar.gz"), "oss://b/g")


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_archives_of_any_compression(tmp_path: Path, mode: str) -> None:
    with tarfile.open(tmp_path / "p", mode) as tar:  # type: ignore[call-overload]  # mode is a text
        for name, kind, link in (("a" * 200, tarfile.REGTYPE, ""), ("hard", tarfile.LNKTYPE, "a" * 200)):
            tar.addfile(_member(name, kind, link))
    folder = Packages(tmp_path / "packages", Settings()).unpacked(FileSource(tmp_path / "p"), "oss://b/p")
    assert sorted(path.name for path in folder.iterdir()) == ["a" * 200, "hard"]


def test_too_many_files(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "packages", Settings(max_package_files=3))
    with pytest.raises(PackageError, match="max_package_files"):
        packages.unpacked(FileSource(_archive(tmp_path / "p.tar.gz", *map(_member, "abcd"))), "oss://b/p")


def test_what_pack_takes_is_unpacked(tmp_path: Path) -> None:
    """A project with its venv, and links that stay inside."""
    project = tmp_path / "project"
    for folder in (".venv/bin", "lib"):
        (project / folder).mkdir(parents=True)
    os.symlink("/usr/bin/python3", project / ".venv" / "bin" / "python3")
    os.symlink(".venv/bin/python3", project / "python")
    os.symlink("../main.py", project / "lib" / "again.py")
    (project / "main.py").write_text("print(1)")
    (tmp_path / "p").write_bytes(pack(project))
    unpacked = Packages(tmp_path / "packages", Settings()).unpacked(FileSource(tmp_path / "p"), "oss://b/p")
    assert (unpacked / "lib" / "again.py").read_text() == "print(1)"
    assert sorted(path.name for path in unpacked.iterdir()) == ["lib", "main.py", "python"]


def test_unpacked_once_per_version(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "packages", Settings())
    archive = _archive(tmp_path / "p.tar.gz", _member("a"))
    first = packages.unpacked(FileSource(archive), "oss://b/p")
    assert packages.unpacked(FileSource(archive), "oss://b/p") == first
    archive.unlink()
    second = packages.unpacked(FileSource(_archive(archive, _member("b"), _member("c"))), "oss://b/p")
    assert second != first
    assert sorted(path.name for path in second.iterdir()) == ["b", "c"]
