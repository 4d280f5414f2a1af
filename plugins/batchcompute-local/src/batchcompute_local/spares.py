"""Working folders that are used once more: creating and removing files is most of what a short instance costs.

Only the folder of an instance that succeeded is kept, of a small package, and only if nothing but the package's files
is in it. They are written anew before they are used.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path

from batchcompute_local.packages import Package

_MOST = 64


class Spares:
    """A few folders under `root`, all of one package. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names = count()
        self._package: Package | None = None
        self._folders: deque[str] = deque()

    def keep(self, package: Package, folder: str) -> bool:
        """Take `folder`, in which an instance of `package` ran, for another one. False: it was not taken."""
        if package is not self._package:
            self._begin_with(package)
        if len(self._folders) >= _MOST:
            return False
        spare = f"{self._root}/{next(self._names)}"
        try:
            if not _is_clean(package, folder):
                return False
            os.rename(folder, spare)
        except OSError:
            return False
        self._folders.append(spare)
        return True

    def use(self, package: Package, target: str) -> bool:
        """Make a spare folder the folder `target` with the content of `package`. False: there is no folder `target`."""
        if package is not self._package:
            return False
        try:
            spare = self._folders.popleft()
        except IndexError:
            return False
        try:
            os.rename(spare, target)
        except OSError:
            shutil.rmtree(spare, ignore_errors=True)
            return False
        try:
            for name, mode, content in package.files or ():
                handle = os.open(f"{target}/{name}", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
                with open(handle, "wb") as file:
                    file.write(content)
                    os.fchmod(handle, mode)
        except OSError:
            shutil.rmtree(target)
            return False
        return True

    def _begin_with(self, package: Package) -> None:
        self._folders.clear()
        self._package = package
        shutil.rmtree(self._root, ignore_errors=True)
        with suppress(OSError):  # then nothing can be kept
            self._root.mkdir(mode=0o700, parents=True)


def _is_clean(package: Package, folder: str) -> bool:
    """Whether the folder holds the package's files, all of them and nothing else."""
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
