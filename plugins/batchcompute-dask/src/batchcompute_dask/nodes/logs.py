"""Logs of programs on a node that does not see the service's folders: sent in pieces while programs run, whole before their end.

What is where is in a small file for each attempt, so that a node whose worker was killed goes on with it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from batchcompute_local.executors.base import Launch
from batchcompute_local.files import open_regular
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.attempt_logs import EARLIER
from batchcompute_local.process.workspace import log_path
from batchcompute_local.storage import UriError

from batchcompute_dask.messages import LogName, LogPiece

_log = logging.getLogger(__name__)
_MOST_BYTES = 1 << 20
"""In one answer."""


@dataclass
class _Log:
    name: LogName
    path: str
    sent: int = 0
    """What the service has, as far as it said so."""
    read: int = 0
    """What was sent, whether or not it arrived."""


class Logs:
    """The logs of the attempts of a node, for one thread."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder = layout.root / "logs"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._logs: dict[str, list[_Log]] = {}
        for file in self._folder.iterdir():
            with suppress(OSError, ValueError, TypeError):
                self._logs[file.name] = [_Log(LogName(**name), path) for name, path in json.loads(file.read_text())]

    def add(self, launch: Launch, here: TaskSpec) -> None:
        """An attempt begins here, as one of the task `here`. Raises OSError."""
        found = []
        task = launch.task
        for stream, redirect, own in (("stdout", task.stdout, here.stdout), ("stderr", task.stderr, here.stderr)):
            name = LogName(launch.attempt, launch.job, launch.task.name, launch.number, stream, redirect)
            with suppress(UriError):  # then the attempt fails before it begins
                path = log_path(self._layout, own, stream, launch.job, launch.task.name, launch.number)
                self._put_aside(str(path))
                found.append(_Log(name, str(path)))
        self._logs[launch.attempt] = found
        self._write(launch.attempt)

    def _put_aside(self, path: str) -> None:
        """Let nobody take the log of an earlier attempt for that of the next one, which has the same path. Raises OSError."""
        before = [(attempt, log) for attempt, logs in self._logs.items() for log in logs if log.path == path]
        if not before:
            with suppress(FileNotFoundError):  # of an attempt whose end the service has
                os.unlink(path)
        for attempt, log in before:
            log.path = f"{path}{EARLIER}{attempt.rpartition('.')[2]}"
            with suppress(FileNotFoundError):
                os.rename(path, log.path)
            self._write(attempt)

    def _write(self, attempt: str) -> None:
        path = self._folder / attempt
        part = path.with_name(f".{attempt}.part")
        part.write_text(json.dumps([(asdict(log.name), log.path) for log in self._logs[attempt]]))
        part.replace(path)

    def take(self, ended: Iterable[str], live: Iterable[str]) -> tuple[list[LogPiece], list[str]]:
        """Return what there is to send of these attempts, and those of `ended` that the service has whole: they may end."""
        pieces: list[LogPiece] = []
        whole = []
        room = _MOST_BYTES
        for attempt in ended:
            logs = self._logs.get(attempt, ())
            for log in logs:
                room -= self._read(log, room, pieces)
            if room <= 0:
                break
            if all(log.sent == log.read for log in logs):
                whole.append(attempt)
        for attempt in live:
            for log in self._logs.get(attempt, ()) if room > 0 else ():
                room -= self._read(log, room, pieces)
        return pieces, whole

    @staticmethod
    def _read(log: _Log, room: int, pieces: list[LogPiece]) -> int:
        if room <= 0:
            return 0
        try:
            handle = open_regular(log.path, os.O_RDONLY)
        except OSError:  # not begun; or the program put something else there
            return 0
        try:
            data = os.pread(handle, room, log.read)
        except OSError as error:
            _log.warning("%s cannot be read: %s", log.path, error)
            return 0
        finally:
            os.close(handle)
        if data:
            pieces.append(LogPiece(log.name, log.read, data))
            log.read += len(data)
        return len(data)

    def note_received(self) -> None:
        """The service has all that was sent."""
        for attempt, logs in self._logs.items():
            if any(log.sent != log.read for log in logs):
                is_first = not any(log.sent or log.name.is_known for log in logs)
                for log in logs:
                    log.sent = log.read
                    log.name = replace(log.name, is_known=True)
                if is_first:
                    with suppress(OSError):  # then an earlier log may be renamed once more
                        self._write(attempt)

    def note_lost(self) -> None:
        """Nobody knows whether the service has what was sent last."""
        for logs in self._logs.values():
            for log in logs:
                log.read = log.sent

    def remove(self, attempt: str) -> None:
        """The service has the end of an attempt, and so its logs."""
        for log in self._logs.pop(attempt, ()):
            with suppress(OSError):
                os.unlink(log.path)
        with suppress(OSError):
            os.unlink(self._folder / attempt)
