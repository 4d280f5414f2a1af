"""The folder pool: working folders for reuse. Creating and removing files is most of the cost of a short instance.

A folder is kept only if its instance succeeded, its package is small, and it holds nothing but the package's files.
Changed files are restored before the next use.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path

from batchcompute_local.files import open_regular
from batchcompute_local.process.packages import Package
from batchcompute_local.removal import Remover

_MOST = 64


class FolderPool:
    """Up to 64 working folders under `root`, all of one package. Thread-safe."""

    def __init__(self, root: Path, remover: Remover) -> None:
        self._root = root
        self._remover = remover
        self._names = count()
        self._package: Package | None = None
        self._folders: deque[str] = deque()
        self._lock = threading.Lock()

    def tidy(self) -> None:
        """Remove the folders of an earlier daemon. Call before anything else."""
        for left in self._root.parent.glob(f"{self._root.name}*"):
            self._remover.remove(left)

    def keep(self, package: Package, folder: str) -> bool:
        """Add `folder`, in which an instance of `package` ran. False if it was not added."""
        if package is not self._package:
            self._switch_to(package)
        if len(self._folders) >= _MOST:
            return False
        try:
            if not _is_clean(package, folder):
                return False
            with self._lock:
                if package is not self._package:
                    return False
                kept = f"{self._root}/{next(self._names)}"
                os.rename(folder, kept)
                self._folders.append(kept)
        except OSError:
            return False
        return True

    def use(self, package: Package, target: str) -> bool:
        """Move a folder of the pool to `target`, with the content of `package`. False if not."""
        with self._lock:
            if package is not self._package or not self._folders:
                return False
            kept = self._folders.popleft()
            try:
                os.rename(kept, target)
            except OSError:
                self._folders.append(kept)  # the target exists already, or its parent does not
                return False
        try:
            for name, mode, content in package.files or ():
                _restore(f"{target}/{name}", mode, content)
        except OSError:
            self._remover.move_away(target)
            return False
        return True

    def _switch_to(self, package: Package) -> None:
        with self._lock:
            if package is self._package:
                return
            self._folders.clear()
            self._package = package
            with suppress(OSError):  # then no folder can be kept
                self._remover.move_away(self._root)
                self._root.mkdir(mode=0o700, parents=True)


def _restore(path: str, mode: int, content: bytes) -> None:
    """Restore content and mode of a file. Raises OSError."""
    handle = open_regular(path, os.O_RDWR)
    try:
        # compared first: some file systems write a truncated file to the disk when it is closed
        if os.read(handle, len(content) + 1) != content:
            os.ftruncate(handle, 0)
            if os.pwrite(handle, content, 0) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if os.fstat(handle).st_mode & 0o7777 != mode:
            os.fchmod(handle, mode)
    finally:
        os.close(handle)


def _is_clean(package: Package, folder: str) -> bool:
    """Check if the folder holds exactly the package's files."""
    if package.files is None or os.stat(folder).st_mode & 0o777 != 0o700:
        return False
    wanted = {name for name, _, _ in package.files}
    with os.scandir(folder) as entries:
        for entry in entries:
            plain = entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_nlink == 1
            if entry.name not in wanted or not plain:
                return False
            wanted.discard(entry.name)
    return not wanted
