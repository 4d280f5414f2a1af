"""The process that is the parent of all running programs, and outlives the daemon.

Only a living parent learns how a child ended, so this one does nothing else: spawn, wait, keep an exit record on disk,
tell the daemon. It is single-threaded and needs the standard library only. On `runner.sock` it speaks lines of JSON, with
the records of `records.py`: a greeting, then lists of events, each line one list; each line of the daemon is one request.
A start is reported a moment later, and not at all where the end comes first.

Orders wait here until one of the slots is free, so that a slot is not empty while the daemon reads and writes down
what ended: many ends and many orders then share a commit there. An exit record is synced here only if the daemon does
not say soon that it has it.
Without a daemon nothing begins: the queue is forgotten with the connection. A daemon that is lost is started again.
A runner with a lease (`lease.py`) ends its programs and itself when nobody renews it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import math
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from batchcompute_local import known_state, unixsocket
from batchcompute_local.containment import OFF
from batchcompute_local.paths import Layout
from batchcompute_local.records import (
    VERSION,
    Acknowledge,
    End,
    ExitRecord,
    Greeting,
    Introduce,
    Lost,
    Ping,
    Pong,
    Refused,
    Renew,
    Request,
    Returned,
    RunnerEvent,
    Start,
    StartRecord,
    Stop,
    encode,
    read_request,
)
from batchcompute_local.runner.children import Children
from batchcompute_local.runner.groups import Groups
from batchcompute_local.runner.guard import start_guard
from batchcompute_local.runner.journal import Journal
from batchcompute_local.runner.lease import Lease
from batchcompute_local.runner.leftovers import Leftovers
from batchcompute_local.runner.restart import DaemonStarter
from batchcompute_local.runner.spawners import Spawners

_SUBREAPER = 36  # prctl(2) PR_SET_CHILD_SUBREAPER
_RETRY_SECONDS = 1.0
_COMPACT_BYTES = 4 << 20
_UNTOLD_SECONDS = 0.01
_SYNC_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_MOST_OUTPUT = 8 << 20
"""What may wait for a daemon that does not read, besides the greeting."""


class Runner:
    """One per data folder, for as long as `lock` is held."""

    def __init__(self, layout: Layout, prefix: str, linger: float, is_contained: bool) -> None:
        self._linger = linger
        self._groups = Groups(layout, is_contained)
        self._journal = Journal(layout.journal)
        for fault in self._journal.faults:
            _log(f"{layout.journal} has a record that is left out, {fault}")
        if self._journal.kept is not None:
            _log(f"the damaged journal is kept as {self._journal.kept.name}; a program whose end was in it runs again")
        records = self._journal.records
        self._unacked = {record.attempt: record for record in records if isinstance(record, ExitRecord)}
        begun = [one for one in records if isinstance(one, StartRecord) and one.attempt not in self._unacked]
        self._leftovers = Leftovers(begun, prefix, layout, self._groups.stale)
        self._spawners = Spawners(self._groups.folder)
        self._children = Children(self._spawners)
        self._starter = DaemonStarter(layout, self._children.others)
        self._lease = Lease()
        self._layout, self._prefix = layout, prefix
        self._guard = 0
        self._unwritten: list[ExitRecord] = []
        self._unsynced_since: float | None = None
        self._retry_at = 0.0
        self._events: list[RunnerEvent | Pong] = []
        self._untold: dict[str, StartRecord] = {}
        self._untold_since = 0.0
        self._daemon: socket.socket | None = None
        self._input = bytearray()
        self._output = bytearray()
        self._most_output = _MOST_OUTPUT
        self._ended = False
        self._quiet_since = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._path = layout.runner_socket
        self._is_deaf = False
        self._listener = self._listen()
        self._looked_at = time.monotonic()
        self._wake, wakeup = socket.socketpair()
        self._wakeup = wakeup  # kept open
        for end in (self._wake, wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._spawners.reports, selectors.EVENT_READ)

    def run(self) -> None:
        """Work until a signal, until there is neither a daemon nor a program for `linger` seconds, or until the lease ends."""
        while not self._ended:
            for key, mask in self._selector.select(self._wait()):
                if self._ended:
                    break  # a daemon that connects now is not greeted: it starts another runner
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake:
                    self._wake.recv(4096)
                elif key.fileobj != self._spawners.reports:  # `collect` reads these
                    if mask & selectors.EVENT_WRITE:
                        self._send()
                    if mask & selectors.EVENT_READ:
                        self._receive()
            now = time.monotonic()
            if self._lease.has_ended():
                self._children.end_all()
            self._unwritten.extend(self._children.collect(now))
            self._begin(now)
            self._record(now)
            self._tell_begun(now)
            self._events.extend(map(Lost, self._leftovers.collect()))
            self._events.extend(map(Returned, self._children.give_back(now)))
            self._events.extend(map(Refused, self._children.refused()))
            self._send()
            self._sync(now)
            self._look(now)
            if message := self._starter.work(now):
                _log(message)
            if self._daemon is not None or self._children or self._leftovers:
                self._quiet_since = now
            elif now - self._quiet_since >= self._linger:
                self._ended = True
            if self._lease.has_ended() and not (self._children or self._leftovers or self._unwritten):
                self._ended = True  # as after End
        self._sync(math.inf)
        self._spawners.close()
        self._groups.close()

    def _wait(self) -> float | None:
        now = time.monotonic()
        times = [self._children.wait(now), self._leftovers.wait(), self._starter.wait(now), self._lease.wait()]
        if self._unsynced_since is not None:
            times.append(max(0.0, self._unsynced_since + _SYNC_SECONDS - now))
        if self._untold:
            times.append(max(0.0, self._untold_since + _UNTOLD_SECONDS - now))
        if self._daemon is None:
            times.append(_LOOK_SECONDS)
        if self._unwritten:
            times.append(max(0.0, self._retry_at - now))
        if self._daemon is None and not self._children:
            times.append(max(0.05, self._quiet_since + self._linger - now))
        return min((each for each in times if each is not None), default=None)

    def _begin(self, now: float) -> None:
        begun = self._children.begin()
        if begun:
            try:
                self._journal.append(begun)
            except OSError as error:
                _log(f"starts cannot be recorded: {error}")  # the environment of the program tells as well
            if not self._untold:
                self._untold_since = now
            self._untold.update((record.attempt, record) for record in begun)

    def _tell_begun(self, now: float) -> None:
        """The daemon hears of a start a moment later, so that it need not hear of it where the end comes first."""
        if self._untold and now >= self._untold_since + _UNTOLD_SECONDS:
            self._events.extend(self._untold.values())
            self._untold.clear()

    def _record(self, now: float) -> None:
        """Exit records are in the file before anybody hears of them; on a full disk they wait for room."""
        if not self._unwritten or now < self._retry_at:
            return
        try:
            self._journal.append(self._unwritten)
        except OSError as error:
            _log(f"exit records cannot be written yet: {error}")
            self._retry_at = now + _RETRY_SECONDS
            return
        for record in self._unwritten:
            self._unacked[record.attempt] = record
            self._untold.pop(record.attempt, None)
        self._events.extend(self._unwritten)
        self._unwritten = []
        if self._unsynced_since is None:
            self._unsynced_since = now

    def _sync(self, now: float) -> None:
        """Have exit records on the disk, for the fall of the machine, unless the daemon is about to say that it has them."""
        if self._unsynced_since is None:
            return
        if self._daemon is None or now >= self._unsynced_since + _SYNC_SECONDS:
            self._unsynced_since = None
            try:
                self._journal.sync()
            except OSError as error:
                self._unsynced_since = now + _RETRY_SECONDS
                _log(f"exit records are not safe from a power failure yet: {error}")

    # -- the daemon's connection

    def _listen(self) -> socket.socket:
        listener = unixsocket.listen(self._path, 8)
        listener.setblocking(False)
        self._identity = unixsocket.identify(self._path)
        self._selector.register(listener, selectors.EVENT_READ)
        return listener

    def _look(self, now: float) -> None:
        """Listen again if the socket was removed or replaced: no daemon could connect. With a daemon, its pings wake us."""
        if now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        if self._is_deaf:
            self._is_deaf = False
            self._selector.register(self._listener, selectors.EVENT_READ)
        if unixsocket.identify(self._path) == self._identity or not self._path.parent.exists():
            return
        before = self._listener
        try:
            self._listener = self._listen()
        except OSError as error:
            _log(f"{self._path} was removed or replaced, and cannot be made again: {error}")
            return
        self._selector.unregister(before)
        before.close()
        _log(f"{self._path} was removed or replaced; it is made again")

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # no descriptor is free; who connects is in the queue until the next look
            _log(f"no daemon can connect at the moment: {error}")
            self._selector.unregister(self._listener)
            self._is_deaf = True
            return
        self._hang_up()  # a new daemon takes over from one that is gone
        self._starter.note_connected(time.monotonic())
        sock.setblocking(False)
        self._daemon = sock
        self._selector.register(sock, selectors.EVENT_READ)
        live = [*self._children.live(), *self._leftovers.live(), *(one.attempt for one in self._unwritten)]
        ended = tuple(self._unacked.values())
        self._output += encode(Greeting(tuple(live), ended, VERSION, self._groups.description, pings=True))
        self._most_output = len(self._output) + _MOST_OUTPUT
        self._untold.clear()
        self._events.extend(self._children.records())  # the daemon before it kept these in memory only

    def _lose_daemon(self) -> None:
        wanted = bool(self._children or self._leftovers or self._unacked or self._unwritten or self._children.has_queue)
        self._hang_up()
        self._starter.note_lost(time.monotonic(), wanted)

    def _hang_up(self) -> None:
        if self._daemon is not None:
            self._selector.unregister(self._daemon)
            self._daemon.close()
            self._daemon = None
        self._input.clear()
        self._output.clear()
        self._children.drop_queue()

    def _send(self) -> None:
        events, self._events = self._events, []
        if self._daemon is None:
            return
        if events:
            self._output += encode(events)
        try:
            while self._output:
                del self._output[: self._daemon.send(self._output)]
        except BlockingIOError:
            if len(self._output) > self._most_output:
                _log("the daemon does not read; it is to connect again")
                self._lose_daemon()
                return
        except OSError:
            self._lose_daemon()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._output else 0)
        if self._selector.get_key(self._daemon).events != wanted:
            self._selector.modify(self._daemon, wanted)

    def _receive(self) -> None:
        if self._daemon is None:
            return
        try:
            data = self._daemon.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose_daemon()
            return
        self._input += data
        *lines, rest = self._input.split(b"\n")
        self._input = bytearray(rest)
        for line in lines:
            try:
                request = read_request(json.loads(line))
            except ValueError as error:
                _log(f"a request is left out: {error}")
            else:
                self._obey(request)

    def _obey(self, request: Request) -> None:
        match request:
            case Start(orders, slots, patience):
                self._children.line_up(orders, slots, patience, time.monotonic())
            case Stop(attempts):
                self._children.stop(attempts)
            case Acknowledge(attempts):
                for attempt in attempts:
                    self._unacked.pop(attempt, None)
                if not self._unacked:
                    self._unsynced_since = None
                self._compact()
            case Renew(until):
                self._lease.renew(until)
                self._have_guard()
            case Introduce():
                self._starter.introduce(request)
            case Ping():
                self._events.append(Pong())
            case End():
                self._starter.forget()
                self._children.drop_queue()
                # ends that are not acknowledged are in the journal for the next one
                self._ended = not (self._children or self._leftovers or self._unwritten)

    def _have_guard(self) -> None:
        if self._guard not in self._children.others:  # it is removed there when it has ended
            try:
                self._guard = start_guard(self._layout, self._prefix)
            except OSError as error:
                _log(f"there is no guard: {error}")
                return
            self._children.others.add(self._guard)

    def _compact(self) -> None:
        try:
            if not (self._unacked or self._children or self._leftovers or self._unwritten):
                self._journal.clear()
            elif self._journal.size > _COMPACT_BYTES:
                self._journal.rewrite([*self._children.records(), *self._leftovers.records(), *self._unacked.values()])
        except OSError as error:
            _log(f"the journal cannot be made smaller: {error}")


def _log(text: str) -> None:
    sys.stderr.write(f"runner: {text}\n")
    sys.stderr.flush()


def main(root: str, prefix: str, linger: str, containment: str, ready: str) -> None:
    """Run in the foreground; a byte on file descriptor `ready` says that the socket is there.

    `containment` is the setting of this name.
    """
    known_state.enter(keep=(int(ready),))
    layout = Layout(Path(root))
    lock = os.open(layout.runner_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another runner is at work")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for a terminal's programs, and it is none
    # processes that outlive their parent come to us, so that we see them end
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    runner = Runner(layout, prefix, float(linger), containment != OFF)
    with suppress(OSError):  # the daemon that started it may be gone
        os.write(int(ready), b"1")
    os.close(int(ready))
    runner.run()
    layout.runner_socket.unlink(missing_ok=True)
