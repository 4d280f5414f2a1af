"""The daemon's connection to the runner: finds or starts it, sends requests, reads events, replaces one that is gone."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

from batchcompute_local import unixsocket
from batchcompute_local.containment import AUTO
from batchcompute_local.paths import Layout
from batchcompute_local.process.old_records import translate_request
from batchcompute_local.process.spawning import spawn_runner
from batchcompute_local.records import (
    VERSION,
    End,
    Greeting,
    Introduce,
    Request,
    RunnerEvent,
    encode,
    read_event,
    read_greeting,
)

_log = logging.getLogger(__name__)
_GREETING_SECONDS = 20.0
_JOIN_SECONDS = 0.05
_RETRY_SECONDS = 1.0


class RunnerConnection:
    """One per executor. `lock` is held while the runner is replaced: nothing is sent meanwhile.

    Whoever sends holds `lock` as well, together with what it notes of its attempts. `prefix`, `linger` and `containment`
    are for a runner that is started: what the ids of attempts begin with, the seconds that it stays without a daemon,
    and the setting of this name. `introduction` tells the runner how to start this daemon again; without one it does not.
    """

    def __init__(
        self,
        layout: Layout,
        prefix: str,
        linger: float,
        lock: threading.RLock,
        introduction: Introduce | None = None,
        containment: str = AUTO,
    ) -> None:
        self._layout = layout
        self._prefix = prefix
        self._linger = linger
        self._lock = lock
        self._introduction = introduction
        self._wanted = containment
        self.containment = ""
        """What keeps the processes of an attempt together, as the runner says it; empty if it is of an earlier version."""
        self._closing = False
        self._socket: socket.socket
        self._stream: BinaryIO
        self._version = VERSION
        self._runner = 0

    @property
    def is_old(self) -> bool:
        """True if the runner is of an earlier version than this daemon."""
        return self._version < VERSION

    def open(self) -> Greeting:
        """Connect to the runner, started if need be. Raises OSError."""
        deadline, tried = time.monotonic() + _GREETING_SECONDS, False
        while True:
            try:
                return self._greet(unixsocket.connect(self._layout.runner_socket, _GREETING_SECONDS))
            except (FileNotFoundError, ConnectionError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
            if self._runner:
                with suppress(ChildProcessError):
                    os.waitpid(self._runner, os.WNOHANG)
            self._runner = spawn_runner(self._layout, self._prefix, self._linger, self._wanted)
            time.sleep(_JOIN_SECONDS if tried else 0.0)
            tried = True

    def send(self, request: Request) -> None:
        """Send it. If the runner is gone, `listen` notices, and has its attempts sorted out."""
        line = encode(translate_request(request) if self.is_old else request)
        with suppress(OSError):
            self._socket.sendall(line)

    def listen(self, hear: Callable[[RunnerEvent], None], take_over: Callable[[Greeting], None]) -> None:
        """Call `hear` with each event until `close`; `take_over` with the greeting of each runner that replaces another.

        `take_over` is called with the lock held.
        """
        while True:
            try:
                for line in self._stream:
                    for event in _read_events(line):
                        hear(event)
            except (OSError, ValueError) as error:  # ValueError: the stream was closed
                if not self._closing:
                    _log.warning("the connection to the runner broke: %s", error)
            with self._lock:
                if self._closing:
                    return
                _log.warning("the runner is gone; another one takes over")
                take_over(self._reopen())

    def close(self) -> None:
        """Say that the daemon leaves, and hang up. A runner that has work keeps running."""
        with self._lock:
            self._closing = True
            self.send(End())
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    def _reopen(self) -> Greeting:
        self._stream.close()
        self._socket.close()
        while True:
            try:
                return self.open()
            except OSError:
                _log.exception("no runner could be started")
                time.sleep(_RETRY_SECONDS)

    def _greet(self, sock: socket.socket) -> Greeting:
        stream = sock.makefile("rb")
        try:
            line = stream.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("the runner ended")
            greeting = read_greeting(json.loads(line))
        except (ValueError, OSError) as error:
            stream.close()
            sock.close()
            if isinstance(error, OSError):
                raise
            raise ConnectionAbortedError(f"the runner's greeting is not whole: {error}") from error
        sock.settimeout(None)
        self._socket, self._stream, self._version = sock, stream, greeting.version
        self.containment = greeting.containment
        if self._introduction is not None and not self.is_old:
            self.send(self._introduction)
        return greeting


def _read_events(line: bytes) -> Iterator[RunnerEvent]:
    """The events of a line; what is not whole is logged and left out."""
    try:
        batch = json.loads(line)
    except ValueError as error:
        _log.error("the runner sent a line that is not JSON: %s", error)
        return
    for values in batch if isinstance(batch, list) else [batch]:
        try:
            yield read_event(values)
        except ValueError as error:
            _log.error("the runner sent a record that is not whole: %s", error)
