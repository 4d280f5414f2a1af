"""Packages: tar.gz objects, unpacked once per version. A package is somebody's input: nothing in it is trusted."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import threading
import zlib
from pathlib import Path

from batchcompute_local.procs import boot_id
from batchcompute_local.settings import Settings


class PackageError(Exception):
    """The package cannot be used; the message says why."""


class Packages:
    """Unpacked packages under `root`. Thread-safe."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._settings = settings
        self._lock = threading.Lock()
        # names carry the boot: after a power failure a folder may be there without its content
        self._boot = boot_id().partition("-")[0]

    def unpacked(self, package: Path, uri: str) -> Path:
        """The folder with the content of the object `uri`, which is the file `package`. Raises PackageError."""
        try:
            facts = package.stat()
        except OSError as error:
            raise PackageError(f"the package {uri} cannot be read: {error.strerror}") from None
        version = f"{uri}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}"
        folder = (
            self._root / f"{self._boot}-{hashlib.sha256(version.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"
        )
        if not folder.is_dir():
            with self._lock:
                if not folder.is_dir():
                    self._unpack(package, uri, folder)
        return folder

    def tidy(self) -> None:
        """Remove what earlier boots left."""
        if self._root.is_dir():
            for folder in self._root.iterdir():
                if not folder.name.startswith(self._boot):
                    shutil.rmtree(folder, ignore_errors=True)

    def _unpack(self, package: Path, uri: str, folder: Path) -> None:
        self._root.mkdir(mode=0o700, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{self._boot}-part-", dir=self._root))
        try:
            self._extract(package, part)
            part.rename(folder)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, OSError) as error:
            raise PackageError(f"the package {uri} cannot be unpacked: {error or type(error).__name__}") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _extract(self, package: Path, folder: Path) -> None:
        size = count = 0
        with tarfile.open(package, "r:*", errorlevel=1) as tar:
            # a stream of members: a bomb is noticed before it is unpacked
            for member in tar:
                count += 1
                size += member.size
                if count > self._settings.max_package_files or size > self._settings.max_package_bytes:
                    raise ValueError("it is larger than the settings max_package_bytes and max_package_files allow")
                tar.extract(member, folder, set_attrs=True, filter="data")


def copy_tree(source: Path, target: Path) -> None:
    """Copy an unpacked package into `target`, which must not exist: files with their modes, links as links."""
    os.mkdir(target, 0o700)
    with os.scandir(source) as entries:
        for entry in entries:
            to = os.path.join(target, entry.name)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), to)
            elif entry.is_dir():
                copy_tree(Path(entry.path), Path(to))
            else:
                shutil.copyfile(entry.path, to)
                mode = entry.stat().st_mode & 0o777
                if mode != 0o600:
                    os.chmod(to, mode | 0o600)
