"""The daemon's side of the bridge: starts the process, and has a channel to it. Nothing waits for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchcompute_local import known_state
from batchcompute_local.damage import clear_place
from batchcompute_local.process.outbox import Outbox

from batchcompute_dask import channel

_END_SECONDS = 5.0


class BridgeProcess:
    """A bridge, being started. Its output goes to the file `log`. Raises OSError."""

    def __init__(self, log: Path) -> None:
        ours, theirs = socket.socketpair()
        try:
            clear_place(log)
            with theirs, open(log, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as output:
                number = theirs.fileno()
                self._process = subprocess.Popen(  # noqa: S603  # this Python, and a module of ours
                    [sys.executable, "-P", "-m", "batchcompute_dask.bridge", str(number)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=known_state.environment(),
                    cwd="/",
                    pass_fds=(number,),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        self.pid = self._process.pid
        self._socket = ours
        self._outbox = Outbox(ours)

    def send(self, message: object, must: bool = True) -> bool:
        """Send it, or keep it until the bridge reads. False if too much waits already; with `must` it is kept all the same."""
        return self._outbox.put(channel.frame(message), must)

    def messages(self) -> Iterator[Any]:
        """Yield what it says until it is gone."""
        with self._socket.makefile("rb") as stream, suppress(OSError, EOFError, ValueError):
            while True:
                yield channel.receive(stream)

    @property
    def silent_seconds(self) -> float:
        """Seconds since it last read, if it does not read what was sent; else 0."""
        return self._outbox.silent_seconds

    def close(self) -> None:
        """Hang up, after a moment for what waits. It ends by itself."""
        self._outbox.close(1.0)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> int:
        """Have it end, if it has not; return its exit code."""
        self._outbox.close(0.0)
        self._socket.close()
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
