"""Packs a program into the tar.gz that a PackageUri names (protocol 2.7)."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .plain_errors import PackingError

if TYPE_CHECKING:
    import tarfile

EXCLUDED = (
    "__pycache__",
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "node_modules",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
)
"""Names of files and folders that `pack` and `job run --pack` leave out."""
_LONGEST_PATH = 1000
_MOST_NAMED = 5


def pack(folder: str | os.PathLike[str], *, exclude: Collection[str] = EXCLUDED) -> bytes:
    """A tar.gz of a folder's content, with paths relative to the folder, so that ProgramName is found at the top.

    The same content gives the same bytes: modes stay, owners and times do not. Links stay links, sockets are left out.
    exclude: names of files and folders that are left out, at any depth, instead of EXCLUDED.
    Raises NotADirectoryError; PackingError for what region local would refuse: a link to an absolute path or out of the folder,
    a FIFO or a device, a path of more than 1,000 bytes; OSError for what cannot be read.
    """
    import gzip  # both here: a program that packs nothing need not wait for them
    import tarfile

    if isinstance(exclude, str):
        raise TypeError(f"exclude must be a list of names, such as [{exclude!r}], not a str")
    root = Path(folder)
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder")
    paths = sorted(_find_paths(root, exclude))
    _check(root, paths, exclude)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in paths:
            archive.add(root / path, arcname=str(path), recursive=False, filter=_anonymous)
    return packed.getvalue()


def _find_paths(root: Path, exclude: Collection[str]) -> Iterator[Path]:
    """Yield the paths below the folder, relative to it. What is excluded is not looked into."""
    for at, folders, files in os.walk(root, onerror=_raise):
        folders[:] = [name for name in folders if name not in exclude]
        for name in (*folders, *files):
            if name not in exclude:
                yield Path(at, name).relative_to(root)


def _raise(error: OSError) -> None:
    raise error


def _check(root: Path, paths: Collection[Path], exclude: Collection[str]) -> None:
    """Raises PackingError with the first entries that a service would refuse when it unpacks them."""
    real = os.path.realpath(root)
    wrong = [f"{str(path)!r} {why}" for path in paths if (why := _find_fault(root, real, path, exclude))]
    if wrong:
        more = f", and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        raise PackingError(
            f"{root} cannot be packed: {', '.join(wrong[:_MOST_NAMED])}{more}; "
            "replace each by a file, or leave it out: pack(..., exclude=[...])"
        )


def _find_fault(root: Path, real: str, path: Path, exclude: Collection[str]) -> str:
    mode = os.lstat(root / path).st_mode
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"has a path of more than {_LONGEST_PATH} bytes"
    if stat.S_ISLNK(mode):
        target = os.readlink(root / path)
        if os.path.isabs(target):
            return f"is a link to the absolute path {target!r}"
        if any(name in exclude for name in os.path.normpath(path.parent / target).split(os.sep)):
            return ""  # a link to nothing in the package
        if not Path(os.path.realpath(os.path.join(real, path.parent, target))).is_relative_to(real):
            return f"is a link to {target!r}, out of the folder"
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISSOCK(mode):
        return ""
    return f"is {'a FIFO' if stat.S_ISFIFO(mode) else 'a device'}"


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owners and times are nobody's business on another machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
