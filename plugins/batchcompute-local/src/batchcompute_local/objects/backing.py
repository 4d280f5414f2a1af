"""What a bucket elsewhere consists of, by fsspec. The library is imported at the first use, never at the service's start."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from batchcompute.errors import CredentialsError
from batchcompute.installing import advise
from batchcompute_local.files import fsync_folder, open_regular
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.elsewhere import S3, BucketElsewhere
from batchcompute_local.objects.facts import Facts, read_facts
from batchcompute_local.objects.filesystem import FileSystem
from batchcompute_local.objects.names import OWN_PART, has_file
from batchcompute_local.objects.parts import new_name

P = ParamSpec("P")
R = TypeVar("R")
_BLOCK = 8 << 20
_MOST_BLOCKS = 9000
"""A put of S3 has at most 10,000 parts."""
_RENAMING = ("file", "local", "sftp", "ssh", "smb", "hdfs", "arrow_hdfs", "memory")
"""File systems where a reader would see half a file, and a rename is one step; a put to an object store is."""


class ElsewhereError(OSError):
    """A bucket elsewhere cannot be used; the message names it and has no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.strerror = message


class _RenewedError(ElsewhereError):
    """The store has refused the credentials before it did anything, and their provider has others now."""


class MissingLibraryError(ElsewhereError):
    """The library for a bucket is not installed; the message has the command."""


def find_missing(bucket: BucketElsewhere) -> str:
    """Say which library a bucket needs that is not installed; an empty text if none. Imports nothing."""
    needed = "s3fs" if bucket.scheme in S3 else "fsspec"
    if importlib.util.find_spec("fsspec") and importlib.util.find_spec(needed):
        return ""
    return f"the bucket {bucket.name} is at {bucket.place} and needs {needed}; {advise('buckets')}"


def _again(call: Callable[P, R]) -> Callable[P, R]:
    """Repeat a call once if there are other credentials."""

    @wraps(call)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except _RenewedError:
            return call(*args, **kwargs)

    return run


class Backing:
    """One bucket elsewhere. Thread-safe. All calls wait for its store. Raises ElsewhereError, FileNotFoundError.

    `unsent` is the folder with the files that are still to be sent, by bucket and key: they are the objects until then.
    """

    def __init__(self, bucket: BucketElsewhere, unsent: Path) -> None:
        self.bucket = bucket
        self._unsent = unsent / bucket.name
        self._system = FileSystem(bucket)

    @_again
    def find(self, key: str) -> Facts | None:
        """Return the facts of an object; None if absent."""
        unsent = self._open_unsent(key)
        if unsent is not None:
            try:
                facts = os.fstat(unsent.handle)
            finally:
                unsent.close()
            return read_facts({"size": facts.st_size, "mtime": facts.st_mtime, "ino": facts.st_ino})
        with self._asked():
            try:
                system, path = self._at(key)
                info = system.info(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
            return read_facts(info) if info["type"] == "file" else None

    @_again
    def open(self, key: str) -> Content:
        """Open an object for reading. Raises FileNotFoundError."""
        unsent = self._open_unsent(key)
        if unsent is not None:
            return unsent
        with self._asked():
            system, path = self._at(key)
            return _RemoteContent(self, system.open(path, "rb", block_size=_BLOCK))

    def _open_unsent(self, key: str) -> Content | None:
        try:
            return Content(open_regular(self._unsent / key, os.O_RDONLY))
        except OSError:
            return None

    def put(self, key: str, file: BinaryIO, size: int) -> None:
        """Make the `size` bytes of a file the object. Readers see the old one or the new one.

        It is not repeated with other credentials: of the file only `read` is called.
        """
        with self._asked():
            system, path = self._at(key)
            if not self._renames:
                self._write(system, path, file, size)
                return
            if self.bucket.is_folder:
                self._check_folder()
            folder = path.rpartition("/")[0]
            system.makedirs(folder, exist_ok=True)
            part = f"{folder}/{OWN_PART}{new_name()}"
            try:
                self._write(system, part, file, size)
                self._rename(system, part, path)
            except BaseException:
                with suppress(Exception):
                    system.rm_file(part)
                raise

    @_again
    def move(self, key: str, other: str) -> None:
        """Give an object another key. Raises FileNotFoundError."""
        with self._asked():
            (system, path), (_, target) = self._at(key), self._at(other)
            if self._renames:
                self._rename(system, path, target)
            else:
                system.cp_file(path, target)
                system.rm_file(path)

    @_again
    def delete(self, key: str) -> None:
        """Remove an object. No error if absent."""
        with self._asked():
            system, path = self._at(key)
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                system.rm_file(path)
            if self.bucket.is_folder:
                _, base = self._open()
                while (path := os.path.dirname(path)) != base and path.startswith(base):
                    try:
                        os.rmdir(path)
                    except OSError:
                        break

    def walk(self, prefix: str = "", after: str = "") -> Iterator[tuple[str, Facts]]:
        """Yield the keys that begin with `prefix` and are above `after`, in the order of their bytes, with the facts.

        Reads one folder at a time.
        """
        yield from self._walk(prefix.rpartition("/")[0], prefix, after)

    @_again
    def check(self) -> None:
        """Ask whether the bucket is there. Raises ElsewhereError."""
        with self._asked():
            system, base = self._open()
            if self.bucket.is_folder:
                self._check_folder()
                return
            system.info(base.partition("/")[0] or base)  # of a bucket of S3, whose prefix need not be there

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[tuple[str, Facts]]:
        for key, facts in self._level(folder):
            if facts is not None:
                if key > after and key.startswith(prefix):
                    yield key, facts
            elif (key.startswith(prefix) or prefix.startswith(key)) and (key > after or after.startswith(key)):
                yield from self._walk(key[:-1], prefix, after)

    @_again
    def _level(self, folder: str) -> list[tuple[str, Facts | None]]:
        """Return the keys in a folder in order; those of folders end in '/', and have no facts."""
        found: list[tuple[str, Facts | None]] = []
        if folder and not has_file(folder):  # such as `..`, which leads out unless the file system normalises it
            return found
        with self._asked():
            try:
                system, path = self._at(folder) if folder else self._open()
                system.invalidate_cache()
                entries = system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
            base = f"{folder}/" if folder else ""
            for info in entries:
                full = info["name"].rstrip("/")
                name = full.rpartition("/")[2]
                if full.rpartition("/")[0] != path.rstrip("/") or not (_is_text(name) and has_file(name)):
                    continue  # the folder itself, an unfinished file, or what no file can have as its name
                if info["type"] == "directory":
                    found.append((f"{base}{name}/", None))
                elif info["type"] == "file":
                    found.append((base + name, read_facts(info)))
        return sorted(found, key=lambda each: each[0])

    # -- the file system

    @property
    def _renames(self) -> bool:
        return self.bucket.scheme in _RENAMING

    def _open(self) -> tuple[Any, str]:
        """Return the file system, and the path of the bucket in it. Raises CredentialsError."""
        if not self._system.is_open and (missing := find_missing(self.bucket)):
            raise MissingLibraryError(missing)
        return self._system.open()

    def _at(self, key: str) -> tuple[Any, str]:
        system, base = self._open()
        path = f"{base}/{key}"
        if self.bucket.is_folder and not _is_inside(base, path):
            raise FileNotFoundError(f"oss://{self.bucket.name}/{key} leads out of {base}")
        return system, path

    @staticmethod
    def _write(system: Any, path: str, file: BinaryIO, size: int) -> None:
        block = max(_BLOCK, size // _MOST_BLOCKS)
        target = system.open(path, "wb", block_size=block)
        try:
            while data := file.read(1 << 20):
                target.write(data)
            target.flush()
            if hasattr(target, "fileno"):
                with suppress(OSError, AttributeError):  # on the disk, where that can be said
                    os.fsync(target.fileno())
        except BaseException:
            with suppress(Exception):
                target.discard() if hasattr(target, "discard") else target.close()
            raise
        target.close()  # an object store makes it an object now

    def _rename(self, system: Any, path: str, target: str) -> None:
        if not self.bucket.is_folder:
            system.mv(path, target)
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(path, target)
        fsync_folder(Path(os.path.dirname(target)))

    def _check_folder(self) -> None:
        base = self._open()[1]
        if not os.path.isdir(base):  # never made here: a folder that is not mounted would be one of this disk
            raise ElsewhereError(f"the bucket {self.bucket.name}: there is no folder {base}; is it mounted?")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn what a library raises into an ElsewhereError without secrets."""
        try:
            yield
        except (ElsewhereError, FileNotFoundError):
            raise
        except ImportError as error:
            raise MissingLibraryError(
                f"the bucket {self.bucket.name} is at {self.bucket.place}, for which a library is missing: {error}"
            ) from None
        except CredentialsError as error:
            raise ElsewhereError(
                f"the bucket {self.bucket.name} at {self.bucket.place} cannot be used: {error}"
            ) from None
        except Exception as error:
            own = self._system.credentials
            text = self.bucket.hide(" ".join(str(error).split()), own.secrets if own else ())[:500]
            what = f"{type(error).__name__}: {text}" if text else type(error).__name__
            kind = _RenewedError if own and own.renew(error) else ElsewhereError
            raise kind(f"the bucket {self.bucket.name} at {self.bucket.place} cannot be used: {what}") from None


class _RemoteContent(Content):
    """An open object elsewhere."""

    def __init__(self, backing: Backing, file: Any) -> None:
        super().__init__(-1)
        self._backing, self._file = backing, file

    def read(self, size: int, offset: int) -> bytes:
        with self._backing._asked():
            if self._file.tell() != offset:
                self._file.seek(offset)
            return bytes(self._file.read(size))

    def close(self) -> None:
        with suppress(Exception):
            self._file.close()


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= each <= "\udfff" for each in name)


def _is_inside(base: str, path: str) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(base) + os.sep)
