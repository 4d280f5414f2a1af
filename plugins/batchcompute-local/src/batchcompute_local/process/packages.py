"""Packages: tar.gz objects, unpacked once per version. A package is user input: nothing in it is trusted.

The content of a small package is kept in memory too, so that an instance reads no file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from batchcompute_local.process.archives import extract
from batchcompute_local.process.sources import OneAtATime, Source
from batchcompute_local.procs import boot_id
from batchcompute_local.removal import Remover, log_rest, remove_tree
from batchcompute_local.settings import Settings

_SMALL_FILES = 16
_SMALL_BYTES = 64 << 10
_KEPT = 64


class PackageError(Exception):
    """The package is not usable; the message says why."""


@dataclass(frozen=True)
class Package:
    """One version of a package: its folder, and its files (name, mode, content) if they are few and small."""

    folder: Path
    files: tuple[tuple[str, int, bytes], ...] | None = field(repr=False)

    def copy_to(self, target: str) -> None:
        """Copy the content to the new folder `target`. Raises OSError, also if it exists."""
        if self.files is None:
            copy_tree(self.folder, target)
            return
        os.mkdir(target, 0o700)
        for name, mode, content in self.files:
            handle = os.open(f"{target}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                if os.write(handle, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
                if mode != 0o600:
                    os.fchmod(handle, mode)
            finally:
                os.close(handle)


class Packages:
    """Unpacked packages under `root`. Thread-safe."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._settings = settings
        self._lock = threading.Lock()
        self._one_at_a_time = OneAtATime()
        self._recent: OrderedDict[str, tuple[Source, str, Package]] = OrderedDict()
        # folder names include the boot: after a power failure a folder may exist without its content
        self._boot = boot_id().partition("-")[0]
        self._empty = Package(root / "empty", ())  # the folder never exists, and nothing needs it

    def is_known(self, uri: str) -> bool:
        """Return whether the package `uri` is small, near and was used before, without a look at its file."""
        recent = self._recent.get(uri)
        return not uri or (recent is not None and recent[0].is_near)

    def at_hand(self, uri: str) -> Package | None:
        """Return the package `uri` if it is small, was used before and is unchanged, else None. Cheap, if `is_known`.

        The package of a task without a PackageUri, "", is empty.
        """
        if not uri:
            return self._empty
        recent = self._recent.get(uri)
        if recent is None:
            return None
        source, version, package = recent
        try:
            return package if source.version() == version and os.path.isdir(package.folder) else None
        except OSError:
            return None

    def get(self, source: Source, uri: str) -> Package:
        """Return the package `uri`; unpack it if necessary. Raises PackageError."""
        version, folder = self._unpacked(source, uri)
        package = Package(folder, _small_files(folder))
        if package.files is not None:
            with self._lock:
                self._recent[uri] = source, version, package
                if len(self._recent) > _KEPT:
                    self._recent.popitem(last=False)
        return package

    def unpacked(self, source: Source, uri: str) -> Path:
        """Return the folder with the content of the package `uri`. Raises PackageError."""
        return self._unpacked(source, uri)[1]

    def _unpacked(self, source: Source, uri: str) -> tuple[str, Path]:
        try:
            version = source.version()
        except OSError as error:
            raise PackageError(f"the package {uri} cannot be read: {error.strerror}") from None
        name = hashlib.sha256(f"{uri}\0{version}".encode("utf-8", "surrogatepass")).hexdigest()[:40]
        folder = self._root / f"{self._boot}-{name}"
        if not folder.is_dir():
            with self._one_at_a_time(name, source.place):
                if not folder.is_dir():
                    self._unpack(source, uri, folder)
        return version, folder

    def tidy(self, remover: Remover) -> None:
        """Have packages of earlier boots removed, and those that were not unpacked to the end."""
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if not folder.name.startswith(self._boot) or folder.name.startswith(f"{self._boot}-part-"):
                    remover.remove(folder)

    def _unpack(self, source: Source, uri: str, folder: Path) -> None:
        self._root.mkdir(mode=0o700, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{self._boot}-part-", dir=self._root))
        try:
            with source.file(part.parent) as package:
                extract(package, part, self._settings)
            log_rest(remove_tree(folder))  # what is no folder
            part.rename(folder)
        except Exception as error:  # a hostile archive can cause any error
            raise PackageError(f"the package {uri} cannot be unpacked: {error or type(error).__name__}") from None
        finally:
            log_rest(remove_tree(part))


def _small_files(folder: Path) -> tuple[tuple[str, int, bytes], ...] | None:
    """Return the files of a folder; None if they are many or large, or if it holds folders or links."""
    files: list[tuple[str, int, bytes]] = []
    size = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            facts = entry.stat(follow_symlinks=False)
            size += facts.st_size
            if not entry.is_file(follow_symlinks=False) or len(files) >= _SMALL_FILES or size > _SMALL_BYTES:
                return None
            files.append((entry.name, facts.st_mode & 0o777 | 0o600, Path(entry.path).read_bytes()))
    return tuple(files)


def copy_tree(source: str | os.PathLike[str], target: str) -> None:
    """Copy an unpacked package to the new folder `target`: files with their modes, links as links."""
    os.mkdir(target, 0o700)
    with os.scandir(source) as entries:
        for entry in entries:
            to = os.path.join(target, entry.name)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), to)
            elif entry.is_dir():
                copy_tree(entry.path, to)
            else:
                shutil.copyfile(entry.path, to)
                mode = entry.stat().st_mode & 0o777
                if mode != 0o600:
                    os.chmod(to, mode | 0o600)
