"""The executor in the daemon: thin, since the Dask client is in a process of its own, the bridge. Imports no distributed.

What is not on the service's disk and would be lost with the bridge is kept here: which attempts are open, on which nodes, and
which of them are to be stopped. So a bridge that is gone is replaced, and the next one finds out what became of them.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby

from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Recovered, Returned, Sink
from batchcompute_local.paths import Layout
from batchcompute_local.process.patience import Workers
from batchcompute_local.process.workspace import Workspaces
from batchcompute_local.settings import Settings

from batchcompute_dask.bridge_process import BridgeProcess
from batchcompute_dask.epochs import next_epoch
from batchcompute_dask.messages import Acknowledge, Begin, Condition, Events, Forget, Group, Jobs, Stop, Work
from batchcompute_dask.settings import Options

_log = logging.getLogger(__name__)
_LOOK_AHEAD = 4096
_AHEAD_SECONDS = 0.5
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_ENDS = (Exited, Lost, Returned)


class DaskExecutor:
    """A ClusterExecutor (batchcompute_local.executors.base). One per daemon."""

    look_ahead = _LOOK_AHEAD
    ahead_seconds = _AHEAD_SECONDS

    def __init__(
        self, layout: Layout, settings: Settings, prefix: str, options: Options, is_job: Callable[[str], bool]
    ) -> None:
        self._layout = layout
        self._settings = settings
        self._prefix = prefix
        self._options = options
        self._is_job = is_job
        self._workspaces = Workspaces(layout, settings)
        self._remover = Workers("forget", 1, settings.file_seconds, layout.oss)
        self._lock = threading.Lock()
        self._claims: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._bridge: BridgeProcess | None = None
        self._condition = Condition("it is being connected to")
        self._closing = threading.Event()
        self._sink: Sink
        self.has_failed = False
        """See Executor."""

    @property
    def trouble(self) -> str:
        """What keeps programs from being started, in words; empty if nothing does."""
        bridge = self._bridge
        if bridge is None:
            return "the connection to the cluster is being restarted: no program begins"
        if bridge.silent_seconds:
            return f"the connection to the cluster (pid {bridge.pid}) does not answer for {bridge.silent_seconds:.0f} seconds"
        return (
            f"the cluster {self._options.scheduler or self._options.cluster}: {self._condition.trouble}"
            if self._condition.trouble
            else ""
        )

    def describe(self) -> dict[str, str]:
        """Return where the cluster is, and the address of Dask's own dashboard if it is known."""
        found = {
            "scheduler": self._condition.scheduler or self._options.scheduler,
            "dashboard": self._condition.dashboard,
        }
        return {name: text for name, text in found.items() if text}

    def open(self, sink: Sink, claims: Mapping[str, str]) -> Recovered:
        """See ClusterExecutor. All claims are live until their nodes say more."""
        self._sink = sink
        self._workspaces.tidy(self._is_job)
        self._claims = dict(claims)
        threading.Thread(target=self._run, name="bridge", daemon=True).start()
        return Recovered(frozenset(claims))

    def start(self, launches: Sequence[Launch]) -> None:
        """See ClusterExecutor."""
        groups = tuple(_group(launches))
        with self._lock:
            self._claims.update((launch.attempt, launch.node) for launch in launches)
            if self._bridge is None or self._bridge.send(Work(groups), must=False):
                return  # without a bridge they are claims of the next one, which finds that they never began
            for launch in launches:
                del self._claims[launch.attempt]
        for launch in launches:
            self._sink(Returned(launch.attempt))

    def stop(self, attempts: Sequence[str]) -> None:
        """See ClusterExecutor."""
        with self._lock:
            found = tuple(each for each in attempts if each in self._claims)
            self._stopped.update(found)
            if found and self._bridge is not None:
                self._bridge.send(Stop(found))

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """See ClusterExecutor. A node tells an end again that nobody acknowledges."""
        with self._lock:
            if self._bridge is not None:
                self._bridge.send(Acknowledge(tuple(attempts)))

    def forget(self, job: str) -> None:
        """See ClusterExecutor. A node that is away names its jobs when it is there again. Logs that nodes sent are here."""
        self._remover.submit(partial(self._workspaces.forget, job))
        with self._lock:
            if self._bridge is not None:
                self._bridge.send(Forget((job,)))

    def close(self) -> None:
        """See ClusterExecutor. The bridge ends with its channel."""
        with self._lock:
            self._closing.set()
            bridge = self._bridge
        if bridge is not None:
            bridge.close()
        self._remover.close()

    # -- the bridge

    def _run(self) -> None:
        """Have a bridge for ever. After another error nobody hears what becomes of the attempts: the service has to end."""
        try:
            self._keep_bridge()
        except Exception:
            _log.exception("nothing can be heard from the cluster any more")
            self.has_failed = True

    def _keep_bridge(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            began = time.monotonic()
            try:
                bridge = BridgeProcess(self._layout.log)
            except OSError as error:
                _log.error("the bridge to the cluster cannot be started: %s", error)
            else:
                self._serve(bridge)
            lived = time.monotonic() - began
            pause = _FIRST_PAUSE if lived > _LONGEST_PAUSE else min(max(_FIRST_PAUSE, 2 * pause), _LONGEST_PAUSE)

    def _serve(self, bridge: BridgeProcess) -> None:
        """Have this bridge work until it is gone."""
        try:
            with self._lock:
                if self._closing.is_set():
                    return
                epoch = next_epoch(self._layout)
                claims, stopped = dict(self._claims), tuple(self._stopped)
                root = str(self._layout.root)
                bridge.send(Begin(epoch, root, self._prefix, self._options, self._settings, claims, stopped))
                self._bridge = bridge
            for message in bridge.messages():
                self._hear(message)
        except OSError as error:
            _log.error("the bridge to the cluster cannot begin: %s", error)
        finally:
            with self._lock:
                self._bridge = None
            code = bridge.end()
            if not self._closing.is_set():
                _log.warning(
                    "the bridge to the cluster (pid %d) ended with %d; another one takes over", bridge.pid, code
                )

    def _hear(self, message: object) -> None:
        match message:
            case Events(events):
                self._note_ends(events)
                for event in events:
                    self._sink(event)
            case Jobs(jobs):
                self._forget_of(jobs)
            case Condition():
                self._condition = message

    def _forget_of(self, jobs: Sequence[str]) -> None:
        """Have nodes forget those of these jobs that are deleted."""
        try:
            gone = tuple(job for job in jobs if not self._is_job(job))
        except sqlite3.Error as error:  # at the next sync, then
            _log.warning("it cannot be seen which jobs of a node are deleted: %s", error)
            return
        with self._lock:
            if gone and self._bridge is not None:
                self._bridge.send(Forget(gone))

    def _note_ends(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                if isinstance(event, _ENDS):
                    self._claims.pop(event.attempt, None)
                    self._stopped.discard(event.attempt)


def _group(launches: Sequence[Launch]) -> list[Group]:
    """Put launches together that differ in attempt and instance only."""
    return [
        Group(node, job, first.task, first.surroundings, owner, tuple((each.attempt, each.number) for each in same))
        for (node, job, _, owner), found in groupby(
            sorted(launches, key=lambda each: each.node), lambda each: (each.node, each.job, id(each.task), each.owner)
        )
        for same in [list(found)]
        for first in same[:1]
    ]
