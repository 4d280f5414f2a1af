"""Logs that nodes send, written where the service has the logs of programs of this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.files import create_log, open_regular
from batchcompute_local.paths import Layout
from batchcompute_local.process.attempt_logs import keep_log
from batchcompute_local.process.workspace import log_path
from batchcompute_local.storage import UriError

from batchcompute_dask.folder import folder_of
from batchcompute_dask.messages import LogName, LogPiece

_log = logging.getLogger(__name__)


class LogWriter:
    """`kept` is the setting kept_attempts. Does I/O, for one thread at a time of each attempt."""

    def __init__(self, layout: Layout, kept: int) -> None:
        self._layout = layout
        self._kept = kept
        self._begun = folder_of(layout) / "logs"
        """Has an empty file for each log of a second or later attempt that was begun, and not acknowledged."""
        self._begun.mkdir(mode=0o700, exist_ok=True)

    def forget(self, attempts: Iterable[str]) -> None:
        """The ends of these are acknowledged: nothing more of their logs comes."""
        for attempt in attempts:
            if not attempt.endswith(".1"):
                self._forget(attempt)

    def write(self, pieces: Iterable[LogPiece]) -> None:
        """Write these. Raises OSError if the disk is full; what cannot be written for another reason is left out, and logged."""
        for piece in pieces:
            name = piece.name
            try:
                path = log_path(self._layout, name.redirect, name.stream, name.job, name.task, name.number)
                self._write(path, piece)
            except (OSError, UriError) as error:
                if isinstance(error, OSError) and is_exhausted(error):
                    raise
                _log.warning("%s: a part of its %s is not kept: %s", name.attempt, name.stream, error)

    def _write(self, path: Path, piece: LogPiece) -> None:
        if piece.offset == 0 and not piece.name.is_known:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin(path, piece.name)
        handle = open_regular(path, os.O_WRONLY | os.O_CREAT)
        try:
            data, offset = piece.data, piece.offset
            while data:
                written = os.pwrite(handle, data, offset)
                data, offset = data[written:], offset + written
        finally:
            os.close(handle)

    def _begin(self, path: Path, name: LogName) -> None:
        """Make room for the log of an attempt. Its first piece may come again, and must not put its own log aside."""
        instance, _, number = name.attempt.rpartition(".")
        earlier = int(number) - 1
        if earlier:
            begun = self._begun / f"{name.attempt}.{name.stream}"
            if begun.exists():
                return
            keep_log(str(path), earlier, self._kept)
            begun.touch(0o600)
            self._forget(f"{instance}.{earlier}")
        os.close(create_log(path))

    def _forget(self, attempt: str) -> None:
        for stream in ("stdout", "stderr"):
            with suppress(OSError):
                os.unlink(self._begun / f"{attempt}.{stream}")
