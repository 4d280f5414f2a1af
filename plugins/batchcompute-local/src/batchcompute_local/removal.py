"""Remove trees that somebody else's program made. Standard library only.

Such a tree has read-only folders, names that are no text, thousands of levels, links, FIFOs, mount points, and files that
come and go meanwhile. No link is followed, no file is opened, and no mount is entered.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_log = logging.getLogger(__name__)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # needs no rights on the folder itself
_ROUNDS = 8
_MOST_NAMED = 20
_LONGEST_SHOWN = 300


@dataclass
class _Folder:
    """A folder on the way down. `pending` has its inner folders, each with the number of earlier rounds."""

    name: str
    identity: tuple[int, int]
    round: int = 0
    pending: list[tuple[str, int]] = field(default_factory=list)
    has_rest: bool = False


def remove_tree(path: str | os.PathLike[str]) -> list[str]:
    """Remove what is at `path`, a tree, a file or a link. Return what could not be removed, each with its reason.

    Nothing at `path` is no error. At most 20 entries are named, the others are counted. Never raises OSError.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        place = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        return [_describe(os.fspath(path), error)]
    removal = _Removal(place, parent)
    try:
        removal.run(name)
    finally:
        removal.close()
    return removal.rest()


class _Removal:
    """One removal. It holds one descriptor, however deep the tree is, and goes up by `..`."""

    def __init__(self, place: int, parent: str) -> None:
        self._here = place
        self._mount = _mount_of(place)
        self._way = [_Folder(parent, _identity(place))]
        self._named: list[str] = []
        self._more = 0

    def close(self) -> None:
        os.close(self._here)

    def rest(self) -> list[str]:
        return [*self._named, f"and {self._more} more"] if self._more else self._named

    def run(self, name: str) -> None:
        self._way[0].pending.append((name, 0))
        while True:
            folder = self._way[-1]
            if folder.pending:
                self._go_down(*folder.pending.pop())
            elif len(self._way) == 1 or not self._go_up():
                return

    def _go_down(self, name: str, rounds: int) -> None:
        try:
            inner = self._enter(name)
            if inner is None:
                os.unlink(name, dir_fd=self._here)
                return
        except FileNotFoundError:
            return
        except OSError as error:
            self._note(name, error)
            return
        os.close(self._here)
        self._here = inner
        self._way.append(_Folder(name, _identity(inner), rounds))
        self._remove_files()

    def _enter(self, name: str) -> int | None:
        """Open an inner folder; None if it is not a folder. Raises OSError."""
        try:
            place = os.open(name, _PLACE, dir_fd=self._here)
        except NotADirectoryError:  # a link too
            return None
        try:
            if _mount_of(place) != self._mount:
                raise OSError(errno.EBUSY, "is a mount point")
            _give_rights(place)
            return os.open(".", _FOLDER, dir_fd=place)
        finally:
            os.close(place)

    def _remove_files(self) -> None:
        """Remove all entries of this folder but its folders, and note those."""
        folder = self._way[-1]
        try:
            with os.scandir(self._here) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            folder.pending.append((entry.name, 0))
                        else:
                            os.unlink(entry.name, dir_fd=self._here)
                    except FileNotFoundError:
                        continue
                    except OSError as error:
                        self._note(entry.name, error)
        except OSError as error:
            self._note("", error)

    def _go_up(self) -> bool:
        """Return to the parent and remove the folder. False if the parent is not there any more."""
        folder, parent = self._way[-1], self._way[-2]
        try:
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._here)
        except OSError as error:
            self._note("", error)
            return False
        os.close(self._here)
        self._here = above
        if _identity(above) != parent.identity:
            self._note("", OSError(errno.ESTALE, "was moved while it was removed"))
            return False
        self._way.pop()
        if folder.has_rest:
            parent.has_rest = True
            return True
        try:
            os.rmdir(folder.name, dir_fd=above)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and folder.round < _ROUNDS:
                parent.pending.append((folder.name, folder.round + 1))  # somebody added files meanwhile
            else:
                self._note(folder.name, error)
        return True

    def _note(self, name: str, error: OSError) -> None:
        self._way[-1].has_rest = True
        if len(self._named) >= _MOST_NAMED:
            self._more += 1
            return
        names = [folder.name for folder in self._way]
        self._named.append(_describe("/".join([*names, name] if name else names), error))


def _describe(path: str, error: OSError) -> str:
    # repr, since a name may have line ends and bytes that are no text
    shown = path if len(path) <= _LONGEST_SHOWN else f"{path[: _LONGEST_SHOWN // 2]}...{path[-_LONGEST_SHOWN // 2 :]}"
    return f"{shown!r}: {error.strerror or error}"


def _identity(handle: int) -> tuple[int, int]:
    facts = os.fstat(handle)
    return facts.st_dev, facts.st_ino


def _mount_of(handle: int) -> tuple[int, bytes]:
    """Return what tells two mounts apart: the device, and the number of the mount if /proc tells it."""
    number = b""
    with suppress(OSError), open(f"/proc/self/fdinfo/{handle}", "rb") as file:
        number = next((line for line in file if line.startswith(b"mnt_id:")), b"")
    return os.fstat(handle).st_dev, number


def _give_rights(place: int) -> None:
    """Let us list and change the folder. If that is refused, what follows says why."""
    if stat.S_IMODE(os.fstat(place).st_mode) & 0o700 != 0o700:
        with suppress(OSError):  # by /proc, since a descriptor of O_PATH has no fchmod, and a name may be a link by now
            os.chmod(f"/proc/self/fd/{place}", 0o700)


@contextmanager
def _folder_at(path: str) -> Iterator[int]:
    place = os.open(path, _PLACE)
    try:
        yield place
    finally:
        os.close(place)


class Remover:
    """Frees names at once, and removes what had them in a thread of its own. Thread-safe.

    What is to be removed is moved to the folder `trash`, which must be on the same file system.
    """

    def __init__(self, trash: Path) -> None:
        self._trash = trash
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def tidy(self) -> None:
        """Remove what an earlier daemon left in the trash. Call before anything else."""
        try:
            self._make_trash()
            with _folder_at(str(self._trash)) as place:
                _give_rights(place)
                names = os.listdir(f"/proc/self/fd/{place}")
        except OSError as error:  # a full disk, for example
            _log.warning("%s cannot be emptied: %s", self._trash, error)
            return
        for name in names:
            self._remove_later(f"{self._trash}/{name}")

    def move_away(self, path: str | os.PathLike[str]) -> None:
        """Free the name `path` now, and remove what has it later. No error if absent. Raises OSError if it keeps its name."""
        target = f"{self._trash}/{os.urandom(8).hex()}"
        try:
            self._rename(os.fspath(path), target)
        except FileNotFoundError:
            return
        self._remove_later(target)

    def remove(self, path: str | os.PathLike[str]) -> None:
        """Remove `path` later. Nobody may want its name again, since it may be removed in its place."""
        try:
            self.move_away(path)
        except OSError:
            self._remove_later(os.fspath(path))

    def _rename(self, path: str, target: str) -> None:
        self._make_trash()
        try:
            os.rename(path, target)
        except PermissionError:  # a folder gets another parent only if it may be written
            for each in (str(self._trash), path):
                with _folder_at(each) as place:
                    _give_rights(place)
            os.rename(path, target)

    def _make_trash(self) -> None:
        # a program can put a link there, and what the link names is not ours to remove
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(self._trash).st_mode):
                os.unlink(self._trash)
        self._trash.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _remove_later(self, path: str) -> None:
        self._queue.put(path)
        with self._lock:
            if self._thread is None:
                # a daemon thread: a large tree does not delay the end of the service, and is removed after its next start
                self._thread = threading.Thread(target=self._work, name="remove", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            path = self._queue.get()
            try:
                log_rest(remove_tree(path))
            except Exception:
                _log.exception("%r could not be removed", path)


def log_rest(rest: list[str]) -> None:
    """Log what `remove_tree` could not remove."""
    for each in rest:
        _log.warning("cannot be removed: %s", each)
