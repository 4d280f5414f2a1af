"""The executor of this machine: prepares working folders and has the runner start the programs.

What is quickly prepared is prepared at once, a batch at a time, and is on its way before the request that caused it is
answered; what takes long, such as unpacking, is done in threads, so that nobody waits behind it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from batchcompute_local.executors.base import Delayed, Exited, Launch, Lost, Recovered, Returned, Sink
from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.files import create_log
from batchcompute_local.paths import Layout
from batchcompute_local.process.attempt_logs import keep_log
from batchcompute_local.process.connection import RunnerConnection
from batchcompute_local.process.workspace import PreparationError, Prepared, Workspaces
from batchcompute_local.records import (
    Acknowledge,
    End,
    ExitRecord,
    Greeting,
    Introduce,
    Order,
    Refused,
    RunnerEvent,
    Start,
    StartRecord,
    Stop,
    describe_leftovers,
)
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_FULL_SECONDS = 1.0
_FULL = "the disk or the machine is full; it is tried again"
_NO_RUNNER = "the runner takes no orders at the moment; it is tried again"
_PREPARERS = 4
_LOOK_AHEAD = 32


class _State(Enum):
    PREPARING = "its folder is being made"
    UNWANTED = "it was stopped while its folder was being made"
    SENT = "the runner has it"
    SUCCEEDED = "it ended well, and its folder goes when that is acknowledged"


@dataclass
class _Attempt:
    """An attempt from its launch to its end; to its acknowledgement if a folder is to be removed then.

    `prepared` is None while it is being prepared, and for an attempt of an earlier daemon. `cwd` is set at its end.
    """

    state: _State
    prepared: Prepared | None = None
    cwd: str = ""

    @property
    def needs_folder(self) -> bool:
        return self.state is not _State.SUCCEEDED


class ProcessExecutor:
    """One per daemon. `prefix` is what the ids of all its jobs begin with; `is_job` tells which of them still exist.

    `introduction` tells the runner how to start this daemon again; without one it does not.
    """

    look_ahead = _LOOK_AHEAD

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        prefix: str,
        is_job: Callable[[str], bool],
        introduction: Introduce | None = None,
    ) -> None:
        self._settings = settings
        self._is_job = is_job
        self._workspaces = Workspaces(layout, settings)
        self._pool = ThreadPoolExecutor(_PREPARERS, thread_name_prefix="prepare")
        self._lock = threading.RLock()
        linger, containment = settings.runner_linger_seconds, settings.containment
        self._connection = RunnerConnection(layout, prefix, linger, self._lock, introduction, containment)
        self._attempts: dict[str, _Attempt] = {}
        self._closing = False
        self._sink: Sink

    @property
    def containment(self) -> str:
        """What keeps the processes of an attempt together, in words; empty if the runner does not say it."""
        return self._connection.containment

    @property
    def trouble(self) -> str:
        """What keeps programs from being started, in words; empty if nothing does."""
        return self._connection.trouble

    def open(self, sink: Sink) -> Recovered:
        """See Executor."""
        self._sink = sink
        self._workspaces.tidy(self._is_job)
        greeting = self._connection.open()
        self._take_up(greeting)
        self._workspaces.attempt_files.tidy(greeting.live)
        listening = (self._hear, self._replace_runner)
        threading.Thread(target=self._connection.listen, args=listening, name="runner", daemon=True).start()
        return Recovered(frozenset(greeting.live), greeting.ended)

    def start(self, launches: Sequence[Launch]) -> None:
        """See Executor."""
        with self._lock:
            self._attempts.update((launch.attempt, _Attempt(_State.PREPARING)) for launch in launches)
        quick = []
        for launch in launches:
            if self._workspaces.is_quick(launch.task):
                quick.append(launch)
            else:
                self._pool.submit(self._launch, (launch,))
        self._launch(quick)

    def stop(self, attempts: Sequence[str]) -> None:
        """See Executor."""
        sent = []
        with self._lock:
            for name in attempts:
                attempt = self._attempts.get(name)
                if attempt is not None and attempt.state is _State.PREPARING:
                    attempt.state = _State.UNWANTED
                elif attempt is not None and attempt.state is _State.SENT:
                    sent.append(name)
            if sent:
                self._connection.send(Stop(tuple(sent)))

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """See Executor."""
        removals = []
        with self._lock:
            self._connection.send(Acknowledge(tuple(attempts)))
            for name in attempts:
                attempt = self._attempts.get(name)
                if attempt is not None and attempt.state is _State.SUCCEEDED:
                    removals.append((name, self._attempts.pop(name)))
            if self._connection.is_old and not self._attempts:
                # it ends, and one of this version takes over; what is sent meanwhile is lost unbegun, and runs again
                self._connection.send(End())
        if removals:
            self._pool.submit(self._remove_folders, removals)

    def forget(self, job: str) -> None:
        """See Executor."""
        self._pool.submit(self._workspaces.forget, job)

    def close(self) -> None:
        """See Executor. A runner without work ends; one with work keeps running."""
        with self._lock:
            self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connection.close()

    # -- preparing

    def _launch(self, launches: Sequence[Launch]) -> None:
        outcomes = [(launch, self._prepared(launch)) for launch in launches]
        orders, failures, refused = [], [], []
        with self._lock:
            if self._closing:
                return  # claimed but not started: the next daemon runs it again
            for launch, outcome in outcomes:
                attempt = self._attempts[launch.attempt]
                stopped = attempt.state is _State.UNWANTED
                if isinstance(outcome, Prepared) and not stopped:
                    attempt.state, attempt.prepared = _State.SENT, outcome
                    orders.append(self._order(launch, outcome))
                    continue
                del self._attempts[launch.attempt]
                self._workspaces.attempt_files.remove(launch.attempt)
                if outcome is None and not stopped:
                    refused.append(launch.attempt)
                else:
                    failures.append((launch, "stopped" if stopped else str(outcome)))
            unsent = []
            if orders and not self._connection.send(Start(tuple(orders), self._settings.slots)):
                unsent = [order.attempt for order in orders]
                for name in unsent:
                    del self._attempts[name]
                    self._workspaces.attempt_files.remove(name)
        for name in refused:
            self._return_later(name, _FULL)
        for name in unsent:
            self._return_later(name, _NO_RUNNER)
        for launch, reason in failures:
            if reason != "stopped":
                self._explain(launch, reason)
            self._sink(Exited(launch.attempt, reason=reason, ended=time.time(), host=socket.gethostname()))

    def _prepared(self, launch: Launch) -> Prepared | str | None:
        """Prepare an instance, or return the reason why it cannot run; None if the disk or the machine is full."""
        try:
            self._keep_logs(launch)
            return self._workspaces.prepare(launch)
        except PreparationError as problem:
            return None if is_exhausted(problem) else str(problem)
        except Exception as error:
            _log.exception("%s could not be prepared", launch.attempt)
            return f"the service could not prepare it: {type(error).__name__}"

    def _keep_logs(self, launch: Launch) -> None:
        """Rename the logs of the attempt before this one. Raises PreparationError."""
        earlier = int(launch.attempt.rpartition(".")[2]) - 1
        if earlier < 1:
            return
        for path in self._workspaces.logs(launch):
            try:
                keep_log(str(path), earlier, self._settings.kept_attempts)
            except OSError as error:
                _log.warning("%s: the log of an earlier attempt is not kept: %s", launch.attempt, error)

    def _return_later(self, attempt: str, reason: str) -> None:
        _log.warning("%s cannot begin: %s", attempt, reason)
        self._sink(Delayed(attempt, reason))
        timer = threading.Timer(_FULL_SECONDS, self._sink, (Returned(attempt),))
        timer.daemon = True
        timer.start()

    def _order(self, launch: Launch, prepared: Prepared) -> Order:
        own = launch.task.leftover_seconds
        return Order(
            attempt=launch.attempt,
            argv=tuple(prepared.argv),
            cwd=str(prepared.cwd),
            environment=prepared.environment,
            stdout=str(prepared.stdout),
            stderr=str(prepared.stderr),
            timeout=launch.task.timeout,
            grace_seconds=self._settings.grace_seconds,
            leftover_seconds=self._settings.leftover_seconds if own is None else own,
        )

    def _explain(self, launch: Launch, reason: str) -> None:
        _log.info("%s failed before it began: %s", launch.attempt, reason)
        try:
            with os.fdopen(create_log(self._workspaces.logs(launch)[1]), "w", errors="backslashreplace") as file:
                file.write(f"batchcompute: {reason}\n")
        except (PreparationError, OSError) as error:
            _log.warning("%s: its stderr cannot be written: %s", launch.attempt, error)

    # -- what the runner reports

    def _hear(self, event: RunnerEvent) -> None:
        if not isinstance(event, StartRecord):
            self._note_end(event)
        if isinstance(event, ExitRecord):
            _log_leftovers(event)
        if isinstance(event, Refused):
            self._return_later(event.attempt, _FULL)
        else:
            self._sink(event)

    def _note_end(self, event: ExitRecord | Lost | Returned | Refused) -> None:
        self._workspaces.attempt_files.remove(event.attempt)
        with self._lock:
            attempt = self._attempts.pop(event.attempt, None)
            if isinstance(event, ExitRecord) and event.code == 0 and not event.timed_out:
                prepared = attempt.prepared if attempt is not None else None
                self._attempts[event.attempt] = _Attempt(_State.SUCCEEDED, prepared, event.cwd)

    def _take_up(self, greeting: Greeting) -> set[str]:
        """Note which attempts the runner has. Returns those that were sent, and that it does not know."""
        sent = {name for name, attempt in self._attempts.items() if attempt.state is _State.SENT}
        for event in greeting.ended:
            _log_leftovers(event)
        gone = sent.difference(greeting.live)
        for name in gone:
            del self._attempts[name]
            self._workspaces.attempt_files.remove(name)
        for name in greeting.live:
            self._attempts.setdefault(name, _Attempt(_State.SENT))
        # folders of what ended meanwhile stay: an end may come here twice, and the folder be a later attempt's by now
        return gone.difference(event.attempt for event in greeting.ended)

    def _replace_runner(self, greeting: Greeting) -> None:
        lost = self._take_up(greeting)
        for event in greeting.ended:
            self._sink(event)
        for name in lost:
            self._sink(Lost(name))

    def _remove_folders(self, removals: Sequence[tuple[str, _Attempt]]) -> None:
        for name, attempt in removals:
            self._remove_folder(name, attempt)

    def _remove_folder(self, name: str, ended: _Attempt) -> None:
        instance, dot, _ = name.rpartition(".")
        cwd, prepared = ended.cwd, ended.prepared
        with self._lock:
            # it ended well, but its job had been stopped, and was started again: the folder is the next attempt's
            others = [other for each, other in self._attempts.items() if each.startswith(instance + dot)]
            if any(other.needs_folder for other in others):
                return
            if prepared is not None and self._workspaces.keep(prepared.package, cwd):
                return
            try:
                self._workspaces.remove(cwd)
            except OSError as error:
                _log.warning("the working folder %s cannot be removed: %s", cwd, error)


def _log_leftovers(event: ExitRecord) -> None:
    if event.leftovers:
        _log.warning("%s: %s", event.attempt, describe_leftovers(event))
