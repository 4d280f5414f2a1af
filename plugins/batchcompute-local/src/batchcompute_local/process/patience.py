"""Threads for work on files that may never answer, such as those of a network folder whose server is gone.

No system call on a file can be cancelled. So a thread says what it waits for (`access`). One that waits for a moment already is
replaced, so that others go on. One that waits for too long is abandoned: its work is given up with a reason that names
the path, and should the call ever return, the thread ends there.
"""

from __future__ import annotations

import io
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
SLOW_SECONDS = 1.0
"""After this a waiting thread is replaced."""
_LOOK_SECONDS = 0.25
_END_SECONDS = 5.0
_ELSEWHERE = "oss://"
_local = threading.local()

Work = Callable[[], None]
GiveUp = Callable[[str], None]


class NoAnswerError(BaseException):
    """A path gives no answer; the message names it. No Exception, so that nobody takes it for an error of the file.

    `is_late`: the work was given up already, and nothing may be done any more.
    """

    def __init__(self, message: str, is_late: bool = False) -> None:
        super().__init__(message)
        self.is_late = is_late


class _Watch:
    """One thread: its work, and the path for which it waits since `since`; an empty path if it does not wait."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.thread: threading.Thread
        self.work: Work | None = None
        self.give_up: GiveUp = _ignore
        self.path = ""
        self.since = 0.0
        self.is_replaced = False
        self.is_abandoned = False


@contextmanager
def access(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say that this thread waits for `path` until the end of the block. Not to be nested. Has no effect outside of `Workers`.

    For a bucket elsewhere it is the URI of the object.

    Raises NoAnswerError: at once if another thread was abandoned at this path, at the end if this one was.
    """
    watch: _Watch | None = getattr(_local, "watch", None)
    if watch is None:
        yield
        return
    watch.workers.begin(watch, os.fspath(path))
    try:
        yield
    finally:
        watch.workers.end(watch)


def on_no_answer(give_up: GiveUp) -> None:
    """Have `give_up` called with a reason, in another thread, if this one is abandoned. It must not wait for files."""
    watch: _Watch | None = getattr(_local, "watch", None)
    if watch is not None:
        watch.give_up = give_up


def gives_answer(path: str | os.PathLike[str], seconds: float) -> bool:
    """Return whether a look at `path` ends within `seconds`, whatever is there. For a process without `Workers` yet."""
    looker = threading.Thread(target=os.path.exists, args=(path,), daemon=True)
    looker.start()
    looker.join(seconds)
    return not looker.is_alive()


class PatientFile(io.FileIO):
    """A file that is open for reading; each read is an `access` of `path`."""

    def __init__(self, handle: int, path: str | os.PathLike[str]) -> None:
        super().__init__(handle, "rb")
        self._path = path

    def readinto(self, buffer: Any, /) -> int:
        """See io.RawIOBase."""
        with access(self._path):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        """See io.RawIOBase."""
        return b"".join(iter(lambda: self.read(1 << 20), b""))

    def read(self, size: int | None = -1, /) -> bytes:
        """See io.RawIOBase."""
        if size is None or size < 0:
            return self.readall()
        with access(self._path):
            return super().read(size)


class Workers:
    """`count` threads that do work in order. Thread-safe. `seconds`: how long one waits for a path.

    If one path below `root` gives no answer, all below the same folder of `root` count as giving none.
    """

    def __init__(self, name: str, count: int, seconds: float, root: Path) -> None:
        self._name = name
        self._most = count
        self._seconds = seconds
        self._root = f"{root}{os.sep}"
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._watches: list[_Watch] = []
        self._hung: Counter[str] = Counter()
        self._waiting = 0
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    def submit(self, work: Work) -> None:
        """Have `work` done. If its thread waits for a path, another one calls `work` too, for what else there is of it.

        Raises RuntimeError if there is no thread, and none can be started.
        """
        with self._lock:
            if self._closing.is_set():
                return
            if self._watcher is None:
                watcher = threading.Thread(target=self._look, name=f"{self._name} watch", daemon=True)
                watcher.start()
                self._watcher = watcher
            self._waiting += 1
            idle = sum(watch.work is None for watch in self._watches)
            if self._waiting > idle and sum(not watch.is_replaced for watch in self._watches) < self._most:
                try:
                    self._start()
                except RuntimeError:
                    if not self._watches:
                        self._waiting -= 1
                        raise
        self._queue.put(work)

    def close(self) -> None:
        """Begin nothing more, and wait a moment for what is being done. What waits for a path is left alone."""
        self._closing.set()
        deadline = time.monotonic() + _END_SECONDS
        with self._lock:
            watches = [*self._watches]
        for _ in watches:
            self._queue.put(None)
        for watch in watches:
            while watch.thread.is_alive() and time.monotonic() < deadline and not self._is_slow(watch):
                watch.thread.join(_LOOK_SECONDS)

    # -- what the threads say

    def begin(self, watch: _Watch, path: str) -> None:
        """See `access`."""
        if self._hung and self.is_hung(path):
            raise NoAnswerError(self._describe(path))
        watch.since = time.monotonic()
        watch.path = path

    def end(self, watch: _Watch) -> None:
        """See `access`."""
        path, watch.path = watch.path, ""
        if watch.is_abandoned or self._is_slow_since(watch.since):
            with self._lock:  # the watcher may be about to abandon it
                if not watch.is_abandoned:
                    return
                place = self._place(path)
                self._hung[place] -= 1
                if not self._hung[place]:
                    del self._hung[place]
                    _log.warning("%s answers again", place)
            raise NoAnswerError(self._describe(path), is_late=True)

    def is_hung(self, path: str) -> bool:
        """Return whether a thread was abandoned at this path, or beside it."""
        return self._place(path) in self._hung

    def _place(self, path: str) -> str:
        if path.startswith(_ELSEWHERE):  # a bucket elsewhere
            return _ELSEWHERE + path[len(_ELSEWHERE) :].partition("/")[0]
        if path.startswith(self._root):
            return self._root + path[len(self._root) :].partition(os.sep)[0]
        return os.path.dirname(path)

    def _describe(self, path: str) -> str:
        why = "its store may be away" if path.startswith(_ELSEWHERE) else "it may be on a network folder that hangs"
        return f"{path} gives no answer within {self._seconds:g} seconds; {why}"

    # -- threads

    def _start(self, work: Work | None = None) -> None:
        watch = _Watch(self)
        watch.work = work
        watch.thread = threading.Thread(target=self._run, args=(watch,), name=self._name, daemon=True)
        self._watches.append(watch)
        try:
            watch.thread.start()
        except RuntimeError:  # the machine has no room for another thread
            self._watches.remove(watch)
            raise

    def _run(self, watch: _Watch) -> None:
        _local.watch = watch
        try:
            if watch.work is not None:
                self._do(watch, watch.work)
            while not watch.is_replaced:
                watch.work = None
                work = self._queue.get()
                if work is None or self._closing.is_set():
                    return
                with self._lock:
                    watch.work = work
                    self._waiting -= 1
                self._do(watch, work)
        finally:
            with self._lock:
                self._watches.remove(watch)

    def _do(self, watch: _Watch, work: Work) -> None:
        try:
            work()
        except NoAnswerError as error:
            if not error.is_late:
                _log.warning("%s", error)
        except Exception:
            _log.exception("work of %s failed", self._name)
        watch.give_up = _ignore

    # -- the watcher

    def _is_slow_since(self, since: float) -> bool:
        return time.monotonic() - since >= min(SLOW_SECONDS, self._seconds)

    def _is_slow(self, watch: _Watch) -> bool:
        return bool(watch.path) and self._is_slow_since(watch.since)

    def _look(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            with self._lock:
                slow = [watch for watch in self._watches if self._is_slow(watch) and not watch.is_abandoned]
            for watch in slow:
                try:
                    self._relieve(watch)
                except RuntimeError as error:  # no other thread can be started; it is tried again
                    _log.warning("%s waits for %s, and is not replaced: %s", self._name, watch.path, error)

    def _relieve(self, watch: _Watch) -> None:
        with self._lock:
            path, since = watch.path, watch.since
            if not self._is_slow(watch):
                return
            if not watch.is_replaced:
                self._start(watch.work)
                watch.is_replaced = True
            if time.monotonic() - since < self._seconds:
                return
            watch.is_abandoned = True
            self._hung[self._place(path)] += 1
        reason = self._describe(path)
        _log.error("%s", reason)
        watch.give_up(reason)


def _ignore(reason: str) -> None:
    """Nobody waits for it."""
