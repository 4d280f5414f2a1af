"""Objects: find, put, delete. Whoever reads sees the old object or the new one, with its own metadata, also after a crash."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from batchcompute_local.files import NotRegularError, fsync_folder, open_regular
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.database import Database
from batchcompute_local.objects.names import OWN_FOLDER, OWN_PART, has_file
from batchcompute_local.objects.parts import Part, Stamp, new_name, open_part
from batchcompute_local.objects.records import (
    SYMLINK,
    TARGET,
    Object,
    Record,
    derived_etag,
    forget,
    forget_one,
    rows_of,
    save,
)

_LOCKS = 64
_TRIES = 20


class TakenError(Exception):
    """There is an object under the key already, and it must not be replaced."""


class Store:
    """The objects below `root`, as `oss/` in the data folder. Thread-safe. Raises OSError and sqlite3.Error.

    A bucket is a folder of `root`. It has to be there for a change; `ensure` creates its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = root / OWN_FOLDER
        self.database = Database(self.own / "objects.sqlite3")
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self.elsewhere: dict[str, Store] = {}
        """The stores of the buckets that are elsewhere, by name; see `remote`."""

    def of(self, bucket: str) -> Store:
        """Return the store that has a bucket: this one, unless it is elsewhere."""
        return self.elsewhere.get(bucket, self)

    @property
    def odd(self) -> Path:
        """The folder with the objects under odd keys."""
        return self.own / "odd"

    @contextmanager
    def locked(self, bucket: str, key: str) -> Iterator[None]:
        """Keep other threads from changing the object."""
        with self._locks[hash((bucket, key)) % _LOCKS]:
            yield

    def find(self, bucket: str, key: str) -> Object | None:
        """Return the object; None if absent. A symlink is returned as such; a link that a program made is followed."""
        path = self._path(bucket, key)
        facts = _look(path)
        while True:
            with self.database.read() as db:
                rows = rows_of(db, bucket, key)
            found = self._plain(bucket, key, path, facts, rows) if path and facts else None
            if found is not None and found.is_bare:  # or was it replaced, and its row removed, between our two looks?
                before, facts = facts, _look(path)
                if facts is None or before is None or Stamp.of(facts) != Stamp.of(before):
                    continue
            if found is not None:
                return found
            return next(
                (
                    Object.of(record, bucket, key, str(self.odd / file), stamp, file)
                    for file, stamp, record in rows
                    if file
                ),
                None,
            )

    def follow(self, found: Object | None) -> Object | None:
        """Return the object itself, or the one that a symlink names; None if that is absent or a symlink too."""
        if found is None or found.kind != SYMLINK:
            return found
        target = self.find(found.bucket, found.target)
        return None if target is None or target.kind == SYMLINK else target

    def open(self, found: Object) -> Content | None:
        """Open an object for reading. None if it was replaced or removed meanwhile."""
        try:
            handle = open_regular(os.path.realpath(found.path), os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotRegularError):
            return None
        if Stamp.of(os.fstat(handle)) != found.stamp:
            os.close(handle)
            return None
        return Content(handle)

    def find_open(self, bucket: str, key: str) -> tuple[Object, Content] | None:
        """Return the object, behind a symlink if it is one, and its open content; None if absent."""
        for _ in range(_TRIES):
            found = self.follow(self.find(bucket, key))
            if found is None:
                return None
            content = self.open(found)
            if content is not None:
                return found, content
        raise BlockingIOError(f"oss://{bucket}/{key} changes all the time")

    def ensure(self, bucket: str) -> None:
        """Create the folder of a bucket if it is absent."""
        os.makedirs(self.root / bucket, mode=0o700, exist_ok=True)

    def new_part(self, bucket: str) -> Part:
        """Create an unfinished file for an object of the bucket."""
        return open_part(str(self.root / bucket), OWN_PART, lambda: self.ensure(bucket))

    def check_put(self, key: str, headers: Mapping[str, str], tags: Mapping[str, str], forbid: bool) -> None:
        """Check, before its body is read, that an object with these can be put. This store takes all."""

    def check_append(self) -> None:
        """Check that an append is possible. Here it is."""

    def put(self, bucket: str, key: str, part: Part, record: Record, forbid: bool = False) -> Object:
        """Make a part the object. forbid: raise TakenError if there is one already. The caller holds the lock of the key."""
        stamp = part.finish()

        def take(path: str) -> None:
            if forbid:
                os.link(part.path, path)
                os.unlink(part.path)
            else:
                os.replace(part.path, path)

        return self._place(bucket, key, stamp, record, take, forbid)

    def put_symlink(self, bucket: str, key: str, target: str, record: Record, forbid: bool = False) -> Object:
        """Create a symlink to the object under `target`; a link of the file system where both keys have a file."""
        record = replace(record, kind=SYMLINK, headers={**record.headers, TARGET: target})
        name = str(self.root / bucket / f"{OWN_PART}{new_name()}")
        self.ensure(bucket)
        text = os.path.relpath(target, os.path.dirname(key)) if has_file(key) and has_file(target) else "-"
        os.symlink(text, name)
        stamp = Stamp.of(os.lstat(name))

        def take(path: str) -> None:
            if forbid:
                os.link(name, path, follow_symlinks=False)
                os.unlink(name)
            else:
                os.replace(name, path)

        try:
            return self._place(bucket, key, stamp, record, take, forbid, odd=text == "-")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    def update(self, found: Object, record: Record) -> None:
        """Replace the metadata of an object. The caller holds the lock of the key."""
        with self.database.change() as db:
            save(db, found.bucket, found.key, found.file, found.stamp, record)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Remove objects, and folders that are empty then; the bucket stays. No error if one is absent."""
        folders: set[str] = set()
        for key in sorted(set(keys)):
            with self.locked(bucket, key):
                self._delete(bucket, key, folders)
        for folder in folders:
            with suppress(FileNotFoundError):
                fsync_folder(Path(folder))

    def _delete(self, bucket: str, key: str, folders: set[str]) -> None:
        with self.database.read() as db:
            rows = rows_of(db, bucket, key)
        if any(file for file, _, _ in rows):  # before the file: they must not come to light behind it
            with self.database.change() as db:
                files = forget(db, bucket, key, [(file, stamp) for file, stamp, _ in rows if not file])
            self._unlink_odd(files)
        path = self._path(bucket, key)
        if path is not None:
            self._delete_file(bucket, path, folders)
        if any(not file for file, _, _ in rows):  # after the file: it is whole as long as it is there
            with self.database.change() as db:
                forget(db, bucket, key)

    def _delete_file(self, bucket: str, path: str, folders: set[str]) -> None:
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        base, folder = str(self.root / bucket), os.path.dirname(path)
        while folder != base:
            try:
                os.rmdir(folder)
            except OSError:
                break
            folder = os.path.dirname(folder)
        folders.add(folder)

    def _place(
        self,
        bucket: str,
        key: str,
        stamp: Stamp,
        record: Record,
        take: Callable[[str], None],
        forbid: bool,
        odd: bool = False,
    ) -> Object:
        """Give a finished file its name: `take(path)` renames it. First comes its row, which is nobody's until then."""
        if forbid and self.find(bucket, key) is not None:
            raise TakenError
        path = self._path(bucket, key)
        if path is None or odd:
            return self._place_odd(bucket, key, stamp, record, take, path)
        with self.database.change() as db:
            save(db, bucket, key, "", stamp, record)
        made = False
        try:
            made = self._rename(path, take)
        finally:
            with self.database.change() as db:
                gone = forget(db, bucket, key, [("", stamp)]) if made else forget_one(db, bucket, key, "", stamp)
        self._unlink_odd(gone)
        return (
            Object.of(record, bucket, key, path, stamp)
            if made
            else self._place_odd(bucket, key, stamp, record, take, None)
        )

    def _place_odd(
        self, bucket: str, key: str, stamp: Stamp, record: Record, take: Callable[[str], None], path: str | None
    ) -> Object:
        """Give a finished file a name of its own; its row makes it the object. At `path` there may be an earlier one."""
        os.makedirs(self.odd, mode=0o700, exist_ok=True)
        file = new_name()
        take(str(self.odd / file))
        fsync_folder(self.odd)
        with self.database.change() as db:
            save(db, bucket, key, file, stamp, record)
        if path is not None:
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                os.unlink(path)
        with self.database.change() as db:
            gone = forget(db, bucket, key, [(file, stamp)])
        self._unlink_odd(gone)
        return Object.of(record, bucket, key, str(self.odd / file), stamp, file)

    def _rename(self, path: str, take: Callable[[str], None]) -> bool:
        """Let `take` rename, with the folders of the path. False if a folder has to be where an object is, or the reverse."""
        folder = os.path.dirname(path)
        while True:
            try:
                made = _make_folders(folder)
                try:
                    take(path)
                except IsADirectoryError:
                    os.rmdir(path)  # it may be empty
                    take(path)
            except FileExistsError:
                if not os.path.isdir(path) and os.path.isdir(folder) and os.path.lexists(path):
                    raise TakenError from None
                return False
            except FileNotFoundError:
                continue  # the last object of that folder was removed meanwhile, and the folder with it
            except (NotADirectoryError, IsADirectoryError):
                return False
            except OSError as error:
                if os.path.isdir(path):  # with other objects in it
                    return False
                raise error from None
            for each in (*made, folder):
                fsync_folder(Path(each))
            return True

    def _unlink_odd(self, files: Iterable[str]) -> None:
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(self.odd / file)

    def _path(self, bucket: str, key: str) -> str | None:
        """Return the path of a plain key; None for an odd one, and where a link leads out of the objects."""
        if not has_file(key):
            return None
        path = f"{self.root}/{bucket}/{key}"
        return path if self._is_inside(os.path.dirname(path)) else None

    def _is_inside(self, path: str) -> bool:
        return f"{os.path.realpath(path)}/".startswith(os.path.realpath(self.root) + os.sep)

    def _plain(
        self, bucket: str, key: str, path: str, facts: os.stat_result, rows: list[tuple[str, Stamp, Record]]
    ) -> Object | None:
        stamp = Stamp.of(facts)
        is_link = stat.S_ISLNK(facts.st_mode)
        if not is_link and not stat.S_ISREG(facts.st_mode):
            return None
        for file, of, record in rows:
            if not file and of == stamp and (record.kind == SYMLINK) == is_link:
                return Object.of(record, bucket, key, path, stamp)
        if is_link:  # made by a program
            try:
                facts = os.stat(path)
            except OSError:
                return None
            if not stat.S_ISREG(facts.st_mode) or not self._is_inside(path):
                return None
            stamp = Stamp.of(facts)
            for file, of, record in rows:  # what was set for it, with the stamp of the file behind it
                if not file and of == stamp and record.kind != SYMLINK:
                    return Object.of(record, bucket, key, path, stamp)
        record = Record(derived_etag(stamp), None, int(facts.st_mtime))
        return replace(Object.of(record, bucket, key, path, stamp), is_bare=True)


def _look(path: str | None) -> os.stat_result | None:
    """Return the facts of what is at `path`, a link itself; None if nothing is there or can be."""
    if path is None:
        return None
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


def now() -> int:
    """Return the time in whole seconds since the epoch."""
    return int(time.time())


def _make_folders(folder: str) -> list[str]:
    """Create the missing folders of a path; return the folders in which something was created."""
    if os.path.isdir(folder):
        return []
    parent = os.path.dirname(folder)
    made = _make_folders(parent)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if not os.path.isdir(folder):
        raise NotADirectoryError(folder)
    return [*made, parent]
