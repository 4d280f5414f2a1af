"""The executor of this machine: prepares working folders and has the runner start the programs.

Nothing is prepared in the engine's thread, since a file may hang. What is quickly prepared has a thread of its own, a batch at
a time; what takes long, such as unpacking, has others, so that nobody waits behind it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from batchcompute_local.attempt_files import Keys
from batchcompute_local.executors.base import Launch, Lost, Recovered, Returned, Sink
from batchcompute_local.paths import Layout
from batchcompute_local.process.connection import RunnerConnection
from batchcompute_local.process.patience import Workers, on_no_answer
from batchcompute_local.process.preparing import Batch, Outcome, Preparer
from batchcompute_local.process.sending import Sending
from batchcompute_local.process.unbegun import Unbegun
from batchcompute_local.process.workspace import Prepared, Workspaces
from batchcompute_local.records import (
    PATIENCE_SECONDS,
    Acknowledge,
    End,
    ExitRecord,
    Greeting,
    Introduce,
    Refused,
    RunnerEvent,
    Start,
    StartRecord,
    Stop,
    describe_leftovers,
)
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)
_FULL = "the disk or the machine is full; it is tried again"
_NO_RUNNER = "the runner takes no orders at the moment; it is tried again"
_PREPARERS = 4
_LOOK_AHEAD = 32
_HEAD_START_SECONDS = 0.005
"""How long the engine lets the thread that prepares a single launch go first: one interpreter runs one thread at a time, and
the answers that come next would have it wait for them."""


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

    `introduction` tells the runner how to start this daemon again; without one it does not. `patience` is how long an attempt
    may wait for a slot before it is returned. `keys` are the access keys of attempts, if the data folder is not the service's.
    """

    look_ahead = _LOOK_AHEAD

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        prefix: str,
        is_job: Callable[[str], bool],
        introduction: Introduce | None = None,
        patience: float = PATIENCE_SECONDS,
        keys: Keys | None = None,
    ) -> None:
        self._patience = patience
        self._settings = settings
        self._is_job = is_job
        self._workspaces = Workspaces(layout, settings, keys)
        self._sending = Sending(layout, settings)
        self._preparer = Preparer(self._workspaces, settings, self._sending)
        self._quick = Workers("quick", 1, settings.file_seconds, layout.oss)
        self._pool = Workers("prepare", _PREPARERS, settings.file_seconds, layout.oss)
        self._lock = threading.RLock()
        linger, containment = settings.runner_linger_seconds, settings.containment
        self._connection = RunnerConnection(layout, prefix, linger, self._lock, introduction, containment)
        self._attempts: dict[str, _Attempt] = {}
        self._unbegun = Unbegun(lambda event: self._sink(event), self._preparer, self._pool, self._sending)
        self._closing = False
        self._sink: Sink
        self.has_failed = False
        """See Executor."""

    @property
    def containment(self) -> str:
        """What keeps the processes of an attempt together, in words; empty if the runner does not say it."""
        return self._connection.containment

    @property
    def trouble(self) -> str:
        """What keeps programs from being started, in words; empty if nothing does."""
        return self._connection.trouble

    @property
    def notes(self) -> list[str]:
        """Why logs cannot be sent to buckets elsewhere, in words."""
        return self._sending.troubles()

    def open(self, sink: Sink) -> Recovered:
        """See Executor."""
        self._sink = sink
        self._workspaces.tidy(self._is_job)
        greeting = self._connection.open()
        self._take_up(greeting)
        self._sending.open(greeting.live)
        self._workspaces.attempt_files.tidy(greeting.live)
        for work, name in ((self._listen, "runner"), (self._unbegun.run, "returning")):
            threading.Thread(target=self._guard, args=[work], name=name, daemon=True).start()
        return Recovered(frozenset(greeting.live), greeting.ended)

    def _guard(self, work: Callable[[], None]) -> None:
        """Do what all attempts depend on. After an error nobody knows what becomes of them: the service has to end."""
        try:
            work()
        except Exception:
            _log.exception("no attempt can be started or heard of any more")
            self.has_failed = True

    def start(self, launches: Sequence[Launch]) -> None:
        """See Executor."""
        with self._lock:
            self._attempts.update((launch.attempt, _Attempt(_State.PREPARING)) for launch in launches)
        quick = []
        for launch in launches:
            if self._workspaces.is_quick(launch.task):
                quick.append(launch)
            else:
                self._pool.submit(partial(self._launch, Batch([launch])))
        if quick:
            batch = Batch(quick, is_quick=True)
            self._quick.submit(partial(self._launch, batch))
            if len(quick) == 1:
                batch.sent.wait(_HEAD_START_SECONDS)

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
            self._pool.submit(partial(self._remove_folders, removals))

    def renew(self, until: float) -> None:
        """Let programs run until `until` (seconds of the boot clock); without this they have no such limit."""
        with self._lock:
            self._connection.renew(until)

    def forget(self, job: str) -> None:
        """See Executor."""
        self._pool.submit(partial(self._workspaces.forget, job))

    def close(self) -> None:
        """See Executor. A runner without work ends; one with work keeps running."""
        self._close(says_goodbye=True)

    def break_off(self) -> None:
        """Let go as `close` does, but without a goodbye: a runner with work starts the service again."""
        self._close(says_goodbye=False)

    def _close(self, says_goodbye: bool) -> None:
        with self._lock:
            self._closing = True
        self._quick.close()
        self._pool.close()
        self._unbegun.close()
        self._sending.close()
        self._connection.close(says_goodbye)

    # -- preparing

    def _launch(self, batch: Batch) -> None:
        """Prepare what of `batch` no other thread has begun, and send what is done of it."""
        self._guard(partial(self._prepare, batch))

    def _prepare(self, batch: Batch) -> None:
        for launch in batch.take():
            on_no_answer(partial(self._give_up, launch))
            outcome = self._preparer.prepare(launch, batch.is_quick)
            if outcome is not None:
                batch.add(outcome)
                continue
            try:
                self._pool.submit(partial(self._launch, Batch([launch])))
            except RuntimeError:  # no thread can be started
                batch.add(Outcome(launch))
        self._send(batch)
        batch.sent.set()
        self._unbegun.explain_and_end(batch.failures)

    def _send(self, batch: Batch) -> None:
        orders, refused = [], []
        with self._lock:
            if self._closing:
                return  # claimed but not started: the next daemon runs it again
            for outcome in batch.take_outcomes():
                launch, name = outcome.launch, outcome.launch.attempt
                attempt = self._attempts.get(name)
                if attempt is None:
                    continue  # given up a moment ago
                stopped = attempt.state is _State.UNWANTED
                if outcome.prepared is not None and not stopped:
                    attempt.state, attempt.prepared = _State.SENT, outcome.prepared
                    orders.append(self._preparer.order(launch, outcome.prepared))
                    continue
                self._drop(name)
                if stopped:
                    self._unbegun.end(launch, "")
                elif outcome.reason:
                    batch.failures.append((launch, outcome.reason))
                else:
                    refused.append(name)
            unsent = []
            if orders and not self._connection.send(Start(tuple(orders), self._settings.slots, self._patience)):
                unsent = [order.attempt for order in orders]
                for name in unsent:
                    self._drop(name)
        for name in refused:
            self._unbegun.return_later(name, _FULL)
        for name in unsent:
            self._unbegun.return_later(name, _NO_RUNNER)

    def _give_up(self, launch: Launch, reason: str) -> None:
        """Fail an instance whose preparation hangs. Does not touch files outside the data folder."""
        with self._lock:
            attempt = self._attempts.get(launch.attempt)
            if attempt is None or attempt.state not in (_State.PREPARING, _State.UNWANTED) or self._closing:
                return
            stopped = attempt.state is _State.UNWANTED
            self._drop(launch.attempt)
        self._unbegun.end(launch, "" if stopped else reason)
        if not stopped:
            self._unbegun.explain(launch, reason)

    def _drop(self, name: str) -> None:
        del self._attempts[name]
        self._workspaces.attempt_files.remove(name)
        self._sending.forget(name)

    # -- what the runner reports

    def _listen(self) -> None:
        self._connection.listen(self._hear, self._replace_runner)

    def _hear(self, event: RunnerEvent) -> None:
        if not isinstance(event, StartRecord):
            self._note_end(event)
        if isinstance(event, ExitRecord):
            _log_leftovers(event)
            self._sending.end(event.attempt, partial(self._sink, event))
        elif isinstance(event, Refused):
            self._unbegun.return_later(event.attempt, _FULL)
        else:
            self._sink(event)

    def _note_end(self, event: ExitRecord | Lost | Returned | Refused) -> None:
        self._workspaces.attempt_files.remove(event.attempt)
        with self._lock:
            attempt = self._attempts.pop(event.attempt, None)
            if isinstance(event, ExitRecord) and event.code == 0 and not event.timed_out:
                prepared = attempt.prepared if attempt is not None else None
                self._attempts[event.attempt] = _Attempt(_State.SUCCEEDED, prepared, event.cwd)
        if not isinstance(event, ExitRecord):
            self._sending.forget(event.attempt)

    def _take_up(self, greeting: Greeting) -> set[str]:
        """Note which attempts the runner has. Returns those that were sent, and that it does not know."""
        sent = {name for name, attempt in self._attempts.items() if attempt.state is _State.SENT}
        for event in greeting.ended:
            _log_leftovers(event)
        gone = sent.difference(greeting.live)
        for name in gone:
            self._drop(name)
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
