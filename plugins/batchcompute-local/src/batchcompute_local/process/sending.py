"""Logs for buckets elsewhere: a program writes a file of this machine, which is sent when its attempt has ended.

The files lie in one folder by bucket and key, so that after a crash nothing else is needed to send them. What cannot be sent
stays there, is the object for everybody who reads it here, and is sent again. A file is removed only after it was sent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from batchcompute_local.files import open_regular
from batchcompute_local.objects.backing import Backing
from batchcompute_local.paths import Layout
from batchcompute_local.process.attempt_logs import EARLIER, keep_log
from batchcompute_local.process.patience import NoAnswerError, Workers, access, on_no_answer
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_THREADS = 4
_NOTES = ".running"
"""The folder with a file for each attempt that writes logs, which names them. No bucket has this name."""
AGAIN_SECONDS = 30.0
"""After this, what could not be sent is sent again."""


class Sending:
    """The unsent logs of one data folder. Thread-safe."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        self._root = layout.unsent
        self._backings = {name: Backing(each, layout.unsent) for name, each in settings.buckets.items()}
        self._workers = Workers("send", _THREADS, settings.file_seconds, layout.oss)
        self._lock = threading.Lock()
        self._busy: set[Path] = set()
        self._owners: dict[Path, str] = {}
        self._notes = self._root / _NOTES
        self._failures: dict[str, tuple[float, str]] = {}
        self._closing = threading.Event()

    def open(self, live: Collection[str]) -> None:
        """Send what is left of earlier services, and from time to time what could not be sent. `live`: attempts that still run.

        Call it before any attempt is begun.
        """
        if not self._backings:
            return
        for folder, _, _ in os.walk(self._root, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
        for note in self._notes.iterdir() if self._notes.is_dir() else ():
            if note.name in live:
                self._owners |= {Path(line): note.name for line in note.read_text().splitlines()}
            else:
                note.unlink()
        threading.Thread(target=self._repeat, name="unsent logs", daemon=True).start()

    def close(self) -> None:
        """Begin nothing more."""
        self._closing.set()
        self._workers.close()

    def troubles(self) -> list[str]:
        """Return why logs cannot be sent, in words."""
        with self._lock:
            found = [(name, reason) for name, (_, reason) in self._failures.items()]
        return [f"{reason}; logs for it are in {self._root / name} and are sent again" for name, reason in found]

    def choose(self, paths: Iterable[Path]) -> list[Path]:
        """Return those of the logs that have to be sent."""
        return [path for path in paths if self._root in path.parents] if self._backings else []

    def begin(self, attempt: str, paths: Iterable[Path]) -> None:
        """Note which logs an attempt is about to write, also for a later service. Raises OSError."""
        own = self.choose(paths)
        if not own:
            return
        with self._lock:
            self._owners.update(dict.fromkeys(own, attempt))
        self._notes.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._notes / attempt).write_text("\n".join(map(str, own)))

    def forget(self, attempt: str) -> None:
        """Note that an attempt writes no more. What it has written is sent later."""
        with self._lock:
            gone = [path for path, owner in self._owners.items() if owner == attempt]
            for path in gone:
                del self._owners[path]
        if gone:
            with suppress(OSError):
                (self._notes / attempt).unlink()

    def end(self, attempt: str, done: Callable[[], None], paths: Iterable[Path] = ()) -> None:
        """Send the logs of an attempt and these, then call `done`, also if that fails or takes too long: they are sent again."""
        with self._lock:
            own = [path for path, owner in self._owners.items() if owner == attempt]
        own += self.choose(paths)
        if not own:
            done()
            return

        def finish() -> None:
            self.forget(attempt)
            done()

        self._submit(own, attempt, finish)

    def _submit(self, paths: Collection[Path], attempt: str, done: Callable[[], None]) -> None:
        with self._lock:
            self._busy.update(paths)
        try:
            self._workers.submit(partial(self._send_all, _Batch(paths, attempt, done)))
        except RuntimeError as error:  # no thread can be started
            _log.warning("the logs of %s are sent later: %s", attempt or "earlier attempts", error)
            with self._lock:
                self._busy.difference_update(paths)
            done()

    def keep(self, path: Path, attempt: int, kept: int) -> None:
        """Rename the log of an earlier attempt, sent or not, as `keep_log` does. Raises OSError."""
        with self._lock:  # nobody removes what is renamed
            if path.exists():
                keep_log(str(path), attempt, kept)
                return
        backing, key = self._target(path)
        place = _place(backing, key)
        if kept:
            with access(place), suppress(FileNotFoundError):
                backing.move(key, f"{key}{EARLIER}{attempt}")
        with access(place):
            earlier = [each.removeprefix(key + EARLIER) for each, _ in backing.walk(key + EARLIER)]
        numbers = sorted((int(each) for each in earlier if each.isascii() and each.isdigit()), reverse=True)
        for number in numbers[kept:]:
            with access(place):
                backing.delete(f"{key}{EARLIER}{number}")

    # -- in the threads

    def _send_all(self, batch: _Batch) -> None:
        """Send what no thread has begun."""
        for path in batch.take():
            on_no_answer(partial(self._give_up, path, batch))
            try:
                self._send(path, batch.attempt)
            except NoAnswerError as error:
                if error.is_late:
                    raise
                self._fail(path, str(error))
            except Exception as error:
                _log.exception("%s cannot be sent", path)
                self._fail(path, f"{type(error).__name__}")
            self._finish(path, batch)

    def _send(self, path: Path, attempt: str) -> None:
        """Send a log and remove it, unless another attempt writes it by now."""
        backing, key = self._target(path)
        if self._owners.get(path, attempt) != attempt:
            return
        failed = self._failures.get(backing.bucket.name)
        if failed is not None and time.monotonic() - failed[0] < AGAIN_SECONDS / 2:
            return  # who ends now does not wait for a store that is away
        try:
            handle = open_regular(path, os.O_RDONLY)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                _log.warning("%s cannot be sent: %s", path, error.strerror)
            return
        with os.fdopen(handle, "rb") as file:
            size = os.fstat(handle).st_size
            try:
                with _Paced(file, _place(backing, key)) as paced:
                    backing.put(key, paced, size)  # type: ignore[arg-type]  # all that is called of it is read
            except OSError as error:
                self._fail(path, str(error))
                return
            with self._lock:
                self._failures.pop(backing.bucket.name, None)
                with suppress(OSError):
                    is_same = os.path.samestat(os.lstat(path), os.fstat(handle)) and os.fstat(handle).st_size == size
                    if is_same and self._owners.get(path, attempt) == attempt:
                        os.unlink(path)

    def _give_up(self, path: Path, batch: _Batch, reason: str) -> None:
        self._fail(path, reason)
        self._finish(path, batch)

    def _finish(self, path: Path, batch: _Batch) -> None:
        with self._lock:
            self._busy.discard(path)
        batch.finish()

    def _fail(self, path: Path, reason: str) -> None:
        backing, _ = self._target(path)
        name = backing.bucket.name
        with self._lock:
            is_new = name not in self._failures
            self._failures[name] = time.monotonic(), reason
        if is_new:
            _log.warning("%s; logs for it are in %s and are sent again", reason, self._root / name)

    def _target(self, path: Path) -> tuple[Backing, str]:
        bucket, _, key = str(path.relative_to(self._root)).partition("/")
        return self._backings[bucket], key

    # -- what is left

    def _repeat(self) -> None:
        while True:
            try:
                for path in list(self._unsent()):
                    with self._lock:
                        is_free = path not in self._busy and path not in self._owners
                    if is_free:
                        self._submit([path], "", _nothing)
            except Exception:
                _log.warning("unsent logs cannot be read", exc_info=True)
            if self._closing.wait(AGAIN_SECONDS):
                return

    def _unsent(self) -> Iterator[Path]:
        for name in self._backings:
            for folder, _, names in os.walk(self._root / name):
                yield from (Path(folder, each) for each in names)


class _Batch:
    """Logs that are sent together, of one attempt or of none that runs; `done` is called after the last. Thread-safe."""

    def __init__(self, paths: Collection[Path], attempt: str, done: Callable[[], None]) -> None:
        self.attempt = attempt
        self._left = deque(paths)
        self._open = len(paths)
        self._done = done
        self._lock = threading.Lock()

    def take(self) -> Iterator[Path]:
        """Yield what no thread has begun."""
        while True:
            try:
                yield self._left.popleft()
            except IndexError:
                return

    def finish(self) -> None:
        """Note that one is sent, or given up."""
        with self._lock:
            self._open -= 1
            is_last = not self._open
        if is_last:
            self._done()


class _Paced:
    """A file that is being sent: between two reads this thread waits for `place`, each time anew."""

    def __init__(self, file: BinaryIO, place: str) -> None:
        self._file = file
        self._place = place
        self._waiting = ExitStack()

    def __enter__(self) -> _Paced:
        self._waiting.enter_context(access(self._place))
        return self

    def __exit__(self, *of_error: object) -> None:
        self._waiting.close()

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raises NoAnswerError if what was read before took too long."""
        self._waiting.close()
        data = self._file.read(size)
        self._waiting.enter_context(access(self._place))
        return data


def _place(backing: Backing, key: str) -> str:
    return f"oss://{backing.bucket.name}/{key}"


def _nothing() -> None:
    """Nobody waits for it."""
