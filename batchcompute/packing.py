"""Packs a program into the tar.gz that a PackageUri names (protocol 2.7)."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile


def pack(folder: str | os.PathLike[str], *, exclude: Collection[str] = ("__pycache__",)) -> bytes:
    """A tar.gz of a folder's content, with paths relative to the folder, so that ProgramName is found at the top.

    The same content gives the same bytes. exclude: names of files and folders that are left out, at any depth. Raises
    NotADirectoryError.
    """
    import gzip  # both here: a program that packs nothing need not wait for them
    import tarfile

    root = Path(folder)
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder")
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            if not any(part in exclude for part in inside.parts):
                archive.add(path, arcname=str(inside), recursive=False, filter=_anonymous)
    return packed.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owners and times are nobody's business on another machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
