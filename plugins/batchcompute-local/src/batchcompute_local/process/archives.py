"""Tar archives from users: read member by member, with limits on everything.

tarfile reads extended headers, long names and maps of sparse files into memory whole, whatever their length, and a few
bytes of gzip can expand to gigabytes. So the stream counts what is read.
"""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from batchcompute_local.files import open_regular
from batchcompute_local.process.patience import PatientFile, access
from batchcompute_local.settings import Settings

_HEADER_BYTES = 256 << 10
_GLOBAL_HEADERS = 100
_BUFFER_BYTES = 64 << 10
_LONGEST_NAME = 1000
_LONGEST_PATH = 3000
_MAGIC: tuple[tuple[bytes, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)


def extract(package: Path, folder: Path, settings: Settings) -> None:
    """Unpack `package`, a tar of any compression, into `folder`.

    Raises ValueError if it is too large, and tarfile's errors if it is broken or leads out of `folder`.
    """
    size = count = 0
    root = os.path.realpath(folder)
    with _unpacked(package) as stream, tarfile.open(fileobj=stream, mode="r:", errorlevel=1) as tar:
        if hasattr(tarfile, "data_filter"):  # tarfile's own check, if it has one (3.11.4)
            tar.extraction_filter = tarfile.data_filter
        # a stream of members: a bomb is found before it is unpacked
        for member in _members(tar, stream):
            count += 1
            size += member.size
            # count skipped bytes too: the size in an entry's header can differ from its size in the file
            most = settings.max_package_bytes + count * _HEADER_BYTES
            if (
                member.size < 0
                or count > settings.max_package_files
                or size > settings.max_package_bytes
                or tar.offset > most
            ):
                raise ValueError("it exceeds the settings max_package_bytes or max_package_files")
            tar.extract(_checked(member, root), root)


def _checked(member: tarfile.TarInfo, root: str) -> tarfile.TarInfo:
    """Return a copy of `member` that stays in `root`, with our own owner and plain rights. Raises ValueError."""
    shown = repr(member.name[:100])
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise ValueError(f"its entry {shown} is not a file, a folder or a link")
    checked = copy.copy(member)
    checked.name = member.name.lstrip("/")
    _check_inside(root, checked.name, f"its entry {shown}")
    if member.issym() or member.islnk():
        target = os.path.join(os.path.dirname(checked.name), member.linkname) if member.issym() else member.linkname
        if os.path.isabs(member.linkname):
            raise ValueError(f"its entry {shown} is a link to an absolute path")
        _check_inside(root, target, f"its entry {shown} is a link that")
    checked.mode = 0o700 if member.isdir() else member.mode & 0o755 | 0o600
    if not checked.mode & 0o100:
        checked.mode &= 0o666
    checked.uid, checked.gid, checked.uname, checked.gname = os.getuid(), os.getgid(), "", ""
    return checked


def _check_inside(root: str, path: str, what: str) -> None:
    # paths stay short enough for the kernel, so that realpath can follow every link
    if len(os.fsencode(path)) > _LONGEST_NAME:
        raise ValueError(f"{what} has a path of more than {_LONGEST_NAME} bytes")
    real = os.path.realpath(os.path.join(root, path))
    if real != root and not real.startswith(root + os.sep):
        raise ValueError(f"{what} leads out of it")
    if len(os.fsencode(real)) > _LONGEST_PATH:
        raise ValueError(f"{what} is too deep")


def _members(tar: tarfile.TarFile, stream: _Counted) -> Iterator[tarfile.TarInfo]:
    while True:
        stream.allow(_HEADER_BYTES)
        member = tar.next()
        if member is None:
            return
        if len(tar.pax_headers) > _GLOBAL_HEADERS:
            raise ValueError(f"it has more than {_GLOBAL_HEADERS} global headers")
        stream.allow(None)
        yield member
        tar.members.clear()  # type: ignore[attr-defined]  # hard links find their target among the files


@contextmanager
def _unpacked(package: Path) -> Iterator[_Counted]:
    # an object: a program may have put anything there. A link to another object was checked, and is followed
    with access(package):
        raw = PatientFile(open_regular(os.path.realpath(package), os.O_RDONLY), package)
    with io.BufferedReader(raw, _BUFFER_BYTES) as file:
        start = file.read(6)
        file.seek(0)
        opener = next((each for magic, each in _MAGIC if start.startswith(magic)), None)
        if opener is None:
            yield _Counted(file)
            return
        with opener(file) as stream:
            yield _Counted(stream)


class _Counted(io.RawIOBase):
    """A stream with a limit on the bytes to read."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._left: int | None = _HEADER_BYTES

    def allow(self, left: int | None) -> None:
        """Allow to read `left` more bytes; None for any number."""
        self._left = left

    def read(self, size: int | None = -1) -> bytes:
        if self._left is not None:
            if size is None or size < 0 or size > self._left:
                raise ValueError("the headers of one of its entries are too large")
            self._left -= size
        return self._stream.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
