"""The daemon's connection to the runner: finds or starts it, sends requests, reads events, replaces one that is gone."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

from batchcompute_local import unixsocket
from batchcompute_local.clocks import uptime
from batchcompute_local.containment import AUTO
from batchcompute_local.errors import DaemonError
from batchcompute_local.filelocks import find_holder
from batchcompute_local.paths import Layout
from batchcompute_local.process.old_records import translate_request
from batchcompute_local.process.outbox import Outbox
from batchcompute_local.process.spawning import spawn_runner
from batchcompute_local.records import (
    VERSION,
    End,
    Greeting,
    Introduce,
    Ping,
    Pong,
    Renew,
    Request,
    RunnerEvent,
    Start,
    encode,
    read_event,
    read_greeting,
)

_log = logging.getLogger(__name__)
_GREETING_SECONDS = 20.0
_JOIN_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_GOODBYE_SECONDS = 1.0
_LEASE_SECONDS = 0.1


class RunnerConnection:
    """One per executor. It never waits for the runner: what a runner does not read is kept, within a limit.

    `lock` is held when another runner is taken over, not while it is looked for: meanwhile nothing is sent. Whoever sends
    holds `lock` as well, together with what it notes of its attempts. `prefix`, `linger` and `containment` are for a runner
    that is started: what the ids of attempts begin with, the seconds that it stays without a daemon, and the setting of this
    name. `introduction` tells the runner how to start this daemon again; without one it does not.
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
        self._outbox: Outbox | None = None
        self._pid = 0
        self._is_silent = False
        self._version = VERSION
        self._runner = 0
        self._lease: Renew | None = None

    @property
    def is_old(self) -> bool:
        """True if the runner is of an earlier version than this daemon."""
        return self._version < VERSION

    @property
    def trouble(self) -> str:
        """What is wrong with the runner, in words; empty if nothing is. Called often, it logs when that changes."""
        outbox = self._outbox
        if outbox is None:
            return "there is no runner, and another one is looked for: no program begins"
        seconds = outbox.silent_seconds
        if bool(seconds) is not self._is_silent:
            self._is_silent = bool(seconds)
            _log.warning("the runner (pid %d) %s", self._pid, "does not answer" if seconds else "answers again")
        if not seconds:
            return ""
        return (
            f"the runner (pid {self._pid}) does not answer for {seconds:.0f} seconds: its programs may go on, but none begins "
            "and no end is noted; it is not replaced while they may run"
        )

    def open(self) -> Greeting:
        """Connect to the runner, started if need be. Raises OSError, and DaemonError if it runs and does not answer."""
        with self._lock:
            return self._attach(*self._find())

    def _find(self) -> tuple[socket.socket, BinaryIO, Greeting]:
        deadline, pause = time.monotonic() + _GREETING_SECONDS, 0.0
        while True:
            try:
                sock = unixsocket.connect(self._layout.runner_socket, max(deadline - time.monotonic(), _JOIN_SECONDS))
                return self._greet(sock)
            except TimeoutError as error:
                raise DaemonError(self._describe_silence()) from error
            except (FileNotFoundError, ConnectionError):
                if time.monotonic() > deadline or self._closing:
                    raise
            if self._runner:
                with suppress(ChildProcessError):
                    os.waitpid(self._runner, os.WNOHANG)
            self._runner = spawn_runner(self._layout, self._prefix, self._linger, self._wanted)
            time.sleep(pause)  # one that is killed holds its lock for a moment; a process costs more than a look
            pause = min(max(_JOIN_SECONDS, 2 * pause), _RETRY_SECONDS)

    def send(self, request: Request) -> bool:
        """Send it. If the runner is gone, `listen` notices, and has its attempts sorted out.

        False for a Start that is not sent: there is no runner at the moment, or it has too much to read already.
        """
        is_start = isinstance(request, Start)
        if self._outbox is None:
            return not is_start
        line = encode(translate_request(request) if self.is_old else request)
        return self._outbox.put(line, must=not is_start)

    def renew(self, until: float) -> None:
        """Let the runner, and one that replaces it, have a lease until `until` (seconds of the boot clock)."""
        self._lease = Renew(until)
        self.send(self._lease)

    def listen(self, hear: Callable[[RunnerEvent], None], take_over: Callable[[Greeting], None]) -> None:
        """Call `hear` with each event until `close`; `take_over` with the greeting of each runner that replaces another.

        `take_over` is called with the lock held.
        """
        while True:
            try:
                for line in self._stream:
                    if self._outbox is not None:
                        self._outbox.note_heard()
                    for event in _read_events(line):
                        hear(event)
            except (OSError, ValueError) as error:  # ValueError: the stream was closed
                if not self._closing:
                    _log.warning("the connection to the runner broke: %s", error)
            with self._lock:
                if self._closing:
                    return
                self._detach()
            _log.warning("the runner is gone; another one takes over")
            found = self._find_again()
            with self._lock:
                if found is None:
                    return
                if self._closing:
                    found[1].close()
                    found[0].close()
                    return
                take_over(self._attach(*found))

    def close(self, says_goodbye: bool = True) -> None:
        """Say that the daemon leaves, and hang up. A runner that has work keeps running; without a goodbye it starts a daemon."""
        with self._lock:
            self._closing = True
            if self._outbox is None:
                return
            if says_goodbye:
                self.send(End())
            self._outbox.close(_GOODBYE_SECONDS)
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    def _find_again(self) -> tuple[socket.socket, BinaryIO, Greeting] | None:
        while not self._closing:
            if self._lease is not None and uptime() >= self._lease.until:
                time.sleep(_LEASE_SECONDS)  # nothing may begin, and another runner would end at once
                continue
            try:
                return self._find()
            except (OSError, DaemonError) as error:
                _log.error("no runner could be started: %s", error)
                time.sleep(_RETRY_SECONDS)
        return None

    def _greet(self, sock: socket.socket) -> tuple[socket.socket, BinaryIO, Greeting]:
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
        return sock, stream, greeting

    def _attach(self, sock: socket.socket, stream: BinaryIO, greeting: Greeting) -> Greeting:
        """Let it be the runner to which all is sent. Called with the lock held."""
        self._socket, self._stream, self._version = sock, stream, greeting.version
        self.containment = greeting.containment
        self._pid = _peer(sock)
        self._is_silent = False
        self._outbox = Outbox(sock, encode(Ping()) if greeting.pings else b"")
        if self._lease is not None:
            self.send(self._lease)
        if self._introduction is not None and not self.is_old:
            self.send(self._introduction)
        return greeting

    def _detach(self) -> None:
        if self._outbox is not None:
            self._outbox.close(0.0)
            self._outbox = None
        self._stream.close()
        self._socket.close()

    def _describe_silence(self) -> str:
        pid = find_holder(self._layout.runner_lock)
        who = f"the runner (pid {pid})" if pid else "the runner"
        return (
            f"{who} of {self._layout.root} does not answer: it is stopped or hangs. It is not replaced while its programs may "
            "run; when it has ended, another one takes over"
        )


def _peer(sock: socket.socket) -> int:
    """Return the pid of the process at the other end; 0 if it is not known."""
    try:
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    except OSError:
        return 0


def _read_events(line: bytes) -> Iterator[RunnerEvent]:
    """The events of a line; what is not whole is logged and left out."""
    try:
        batch = json.loads(line)
    except ValueError as error:
        _log.error("the runner sent a line that is not JSON: %s", error)
        return
    for values in batch if isinstance(batch, list) else [batch]:
        try:
            event = read_event(values)
        except ValueError as error:
            _log.error("the runner sent a record that is not whole: %s", error)
        else:
            if not isinstance(event, Pong):
                yield event
