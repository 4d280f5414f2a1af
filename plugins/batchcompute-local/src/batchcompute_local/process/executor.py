"""The executor of this machine: prepares working folders and has the runner start the programs.

What is quickly prepared is prepared at once, a batch at a time, and is on its way before the request that caused it is
answered; what takes long, such as unpacking, is done in threads, so that nobody waits behind it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

from batchcompute_local import unixsocket
from batchcompute_local.executors.base import Exited, Launch, Lost, Recovered, Returned, Sink, Started
from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.paths import Layout
from batchcompute_local.process.spawning import spawn_runner
from batchcompute_local.process.workspace import PreparationError, Prepared, Workspaces
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_HELLO_SECONDS = 20.0
_JOIN_SECONDS = 0.05
_FULL_SECONDS = 1.0
_PREPARERS = 4
_LOOK_AHEAD = 32


class ProcessExecutor:
    """One per daemon. `prefix` is what the ids of all its jobs begin with; `is_job` tells which of them still exist."""

    look_ahead = _LOOK_AHEAD

    def __init__(self, layout: Layout, settings: Settings, prefix: str, is_job: Callable[[str], bool]) -> None:
        self._layout = layout
        self._settings = settings
        self._prefix = prefix
        self._is_job = is_job
        self._workspaces = Workspaces(layout, settings)
        self._pool = ThreadPoolExecutor(_PREPARERS, thread_name_prefix="prepare")
        self._lock = threading.RLock()
        self._preparing: set[str] = set()
        self._unwanted: set[str] = set()
        self._sent: dict[str, Prepared | None] = {}
        self._leftovers: dict[str, Callable[[], None]] = {}
        self._closing = False
        self._sink: Sink
        self._socket: socket.socket
        self._stream: BinaryIO
        self._runner = 0

    def open(self, sink: Sink) -> Recovered:
        """See Executor."""
        self._sink = sink
        self._workspaces.tidy(self._is_job)
        recovered = self._join()
        self._sent = dict.fromkeys(recovered.live)
        threading.Thread(target=self._listen, name="runner", daemon=True).start()
        return recovered

    def start(self, launches: Sequence[Launch]) -> None:
        """See Executor."""
        with self._lock:
            self._preparing.update(launch.attempt for launch in launches)
        quick = []
        for launch in launches:
            if self._workspaces.is_quick(launch.task):
                quick.append(launch)
            else:
                self._pool.submit(self._launch, (launch,))
        self._launch(quick)

    def stop(self, attempts: Sequence[str]) -> None:
        """See Executor."""
        with self._lock:
            self._unwanted.update(self._preparing.intersection(attempts))
            self._send({"op": "stop", "attempts": [each for each in attempts if each in self._sent]})

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """See Executor."""
        with self._lock:
            self._send({"op": "ack", "attempts": list(attempts)})
            removals = [self._leftovers.pop(each) for each in attempts if each in self._leftovers]
        if removals:
            self._pool.submit(_run, removals)

    def forget(self, job: str) -> None:
        """See Executor."""
        self._pool.submit(self._workspaces.forget, job)

    def close(self) -> None:
        """See Executor. A runner without work ends; one with work goes on."""
        with self._lock:
            self._closing = True
            self._send({"op": "end"})
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stream.close()
        self._socket.close()

    # -- preparing

    def _launch(self, launches: Sequence[Launch]) -> None:
        outcomes = [(launch, self._prepared(launch)) for launch in launches]
        orders, failures, refused = [], [], []
        with self._lock:
            self._preparing.difference_update(launch.attempt for launch in launches)
            if self._closing:
                return  # claimed but not started: the next daemon runs it again
            for launch, outcome in outcomes:
                stopped = launch.attempt in self._unwanted
                self._unwanted.discard(launch.attempt)
                if isinstance(outcome, Prepared) and not stopped:
                    self._sent[launch.attempt] = outcome
                    orders.append(self._order(launch, outcome))
                elif outcome is None and not stopped:
                    refused.append(launch.attempt)
                else:
                    failures.append((launch, "stopped" if stopped else str(outcome)))
            if orders:
                self._send({"op": "start", "slots": self._settings.slots, "orders": orders})
        for attempt in refused:
            self._return_later(attempt)
        for launch, reason in failures:
            if reason != "stopped":
                self._explain(launch, reason)
            self._sink(Exited(launch.attempt, reason=reason, ended=time.time(), host=socket.gethostname()))

    def _prepared(self, launch: Launch) -> Prepared | str | None:
        """What the runner needs, or why the instance cannot be run; None if there is no room for it now."""
        try:
            return self._workspaces.prepare(launch)
        except PreparationError as problem:
            return None if is_exhausted(problem) else str(problem)
        except Exception as error:
            _log.exception("%s could not be prepared", launch.attempt)
            return f"the service could not prepare it: {type(error).__name__}"

    def _return_later(self, attempt: str) -> None:
        _log.warning("%s cannot begin: the disk or the machine is full; it is tried again", attempt)
        timer = threading.Timer(_FULL_SECONDS, self._sink, (Returned(attempt),))
        timer.daemon = True
        timer.start()

    def _order(self, launch: Launch, prepared: Prepared) -> dict[str, Any]:
        return {
            "attempt": launch.attempt,
            "argv": prepared.argv,
            "cwd": str(prepared.cwd),
            "env": prepared.environment,
            "stdout": str(prepared.stdout),
            "stderr": str(prepared.stderr),
            "timeout": launch.task.timeout,
            "grace": self._settings.grace_seconds,
        }

    def _explain(self, launch: Launch, reason: str) -> None:
        _log.info("%s failed before it began: %s", launch.attempt, reason)
        try:
            with self._workspaces.logs(launch)[1].open("w") as file:
                file.write(f"batchcompute: {reason}\n")
        except (PreparationError, OSError) as error:
            _log.warning("%s: its stderr cannot be written: %s", launch.attempt, error)

    # -- the runner

    def _send(self, message: dict[str, Any]) -> None:
        if message.get("attempts") == []:
            return
        # if the runner is gone, `_listen` notices too, and sorts out what became of each attempt
        with suppress(OSError):
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _listen(self) -> None:
        while True:
            try:
                for line in self._stream:
                    for event in json.loads(line):
                        self._hear(event)
            except (OSError, ValueError) as error:
                if not self._closing:
                    _log.warning("the connection to the runner broke: %s", error)
            with self._lock:
                if self._closing:
                    return
                _log.warning("the runner is gone; another one takes over")
                self._replace_runner()

    def _replace_runner(self) -> None:
        self._stream.close()
        self._socket.close()
        while True:
            try:
                recovered = self._join()
                break
            except OSError:
                _log.exception("no runner could be started")
                time.sleep(1.0)
        ended = {event.attempt for event in recovered.ended}
        lost = self._sent.keys() - recovered.live - ended
        self._sent = {attempt: self._sent.get(attempt) for attempt in recovered.live}
        for event in recovered.ended:
            self._sink(event)
        for attempt in lost:
            self._sink(Lost(attempt))

    def _hear(self, message: dict[str, Any]) -> None:
        attempt = message["attempt"]
        match message["event"]:
            case "started":
                self._sink(Started(attempt, message["time"], message["host"]))
            case "exited":
                with self._lock:
                    prepared = self._sent.pop(attempt, None)
                    if message["code"] == 0 and not message["timed_out"]:
                        self._leftovers[attempt] = partial(self._remove, attempt, message["cwd"], prepared)
                self._sink(_exited(message))
            case "lost" | "returned" | "refused" as kind:
                with self._lock:
                    self._sent.pop(attempt, None)
                if kind == "refused":
                    self._return_later(attempt)
                else:
                    self._sink(Lost(attempt) if kind == "lost" else Returned(attempt))

    def _remove(self, attempt: str, cwd: str, prepared: Prepared | None) -> None:
        instance, _, number = attempt.rpartition(".")
        gone = f"{cwd}.{number}"
        with self._lock:
            # it ended well, but its job had been stopped, and was started again: the folder is the next attempt's
            if any(each.rpartition(".")[0] == instance for each in (*self._preparing, *self._sent)):
                return
            if prepared is not None and self._workspaces.keep(prepared.package, cwd):
                return
            with suppress(OSError):
                os.rename(cwd, gone)  # removing what is in it may take long, and somebody may want the name
        if prepared is None or not prepared.package.remove_from(gone):
            shutil.rmtree(gone, ignore_errors=True)

    def _join(self) -> Recovered:
        """Connect to the runner, started if need be. Raises OSError."""
        deadline, tried = time.monotonic() + _HELLO_SECONDS, False
        while True:
            try:
                return self._greet(unixsocket.connect(self._layout.runner_socket, _HELLO_SECONDS))
            except (FileNotFoundError, ConnectionError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
            if self._runner:
                with suppress(ChildProcessError):
                    os.waitpid(self._runner, os.WNOHANG)
            self._runner = spawn_runner(self._layout, self._prefix, self._settings.runner_linger_seconds)
            time.sleep(_JOIN_SECONDS if tried else 0.0)
            tried = True

    def _greet(self, sock: socket.socket) -> Recovered:
        stream = sock.makefile("rb")
        line = stream.readline()
        if not line.endswith(b"\n"):
            sock.close()
            raise ConnectionResetError("the runner ended")
        sock.settimeout(None)
        self._socket, self._stream = sock, stream
        hello = json.loads(line)
        return Recovered(frozenset(hello["live"]), tuple(map(_exited, hello["ended"])))


def _exited(record: dict[str, Any]) -> Exited:
    return Exited(
        attempt=record["attempt"],
        code=record["code"],
        signal=record["signal"],
        reason=record["reason"],
        timed_out=record["timed_out"],
        started=record["started"],
        ended=record["ended"],
        host=record["host"],
    )


def _run(removals: Sequence[Callable[[], None]]) -> None:
    for remove in removals:
        remove()
