"""A cluster on a simulated clock: nodes with slots, programs that only take time, machines that fail and links that break.

It is an executor with nodes as the service sees one, and keeps the truth beside it: what runs where. It checks by itself that no
two attempts of an instance run at once, and that none is started before the final event of the one before.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from batchcompute_local.executors.base import (
    Exited,
    Launch,
    Lost,
    Node,
    NodeDown,
    NodeUp,
    Recovered,
    Returned,
    Sink,
    Unreachable,
)

SILENT_SECONDS = 5.0
LEASE_SECONDS = 30.0
EXPIRY_SECONDS = LEASE_SECONDS + 15.0
"""Of silence: then nothing of a node runs any more, and its attempts are given up."""


@dataclass(slots=True, eq=False)
class SimulatedNode:
    """A machine. `waiting` has attempts that have not begun, `ended` has ends that were not acknowledged."""

    name: str
    slots: int
    is_alive: bool = True
    is_reachable: bool = True
    waiting: deque[str] = field(default_factory=deque)
    running: dict[str, float] = field(default_factory=dict)
    """When each program began."""
    ended: dict[str, Exited] = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)
    """What the service claimed here, without a final event yet."""
    outage: int = 0
    """The number of its latest outage, as the service sees it."""
    cut_at: float = 0.0

    @property
    def answers(self) -> bool:
        """Whether the service can talk to it."""
        return self.is_alive and self.is_reachable


class SimulatedCluster:
    """`seconds` is the longest time that a program takes, a tenth of it the shortest."""

    look_ahead = 32
    ahead_seconds = 0.5

    def __init__(self, nodes: int, slots: int, seed: int = 0, seconds: float = 4.0) -> None:
        self.now = 1_000_000.0
        self.nodes = {f"n{number}": SimulatedNode(f"n{number}", slots) for number in range(nodes)}
        self.begun = self.late = 0
        """How many programs began, and how many ends came after their attempt was given up."""
        self.forgotten: list[str] = []
        self._random = Random(seed)
        self._seconds = seconds
        self._due: list[tuple[float, int, SimulatedNode, str | Callable[[], None]]] = []
        self._ticket = count()
        self._claims: dict[str, SimulatedNode] = {}
        self._ended_on: dict[str, SimulatedNode] = {}
        self._claimed: dict[str, str] = {}
        """The attempt of each instance whose final event was not reported."""
        self._alive: set[str] = set()
        """The instances with a program that really runs."""
        self._stops: dict[str, set[str]] = {}
        self._sink: Sink

    # -- what the service calls

    def open(self, sink: Sink, claims: Mapping[str, str]) -> Recovered:
        """See ClusterExecutor. It is another daemon: nothing but `claims` is known of what the one before did."""
        self._sink = sink
        assert claims.keys() >= self._claims.keys(), "open does not get all claimed attempts"
        self._claims = {attempt: self.nodes[name] for attempt, name in claims.items()}
        self._claimed = {_instance(attempt): attempt for attempt in claims}
        for node in self.nodes.values():
            node.claims.clear()
        for attempt, node in self._claims.items():
            node.claims.add(attempt)
        live, ended = set(), []
        for attempt, node in list(self._claims.items()):
            if not node.answers or attempt in node.running or attempt in node.waiting:
                live.add(attempt)
            elif attempt in node.ended:
                ended.append(node.ended[attempt])
                self._close(attempt)
            else:
                self._close(attempt)
        for node in self.nodes.values():
            self._begin_outage(node) if not node.answers else sink(NodeUp(self._describe(node)))
        return Recovered(frozenset(live), tuple(ended))

    def start(self, launches: Sequence[Launch]) -> None:
        """See ClusterExecutor."""
        for launch in launches:
            attempt, node = launch.attempt, self.nodes[launch.node]
            instance = _instance(attempt)
            assert instance not in self._claimed, f"{attempt} is started before the end of {self._claimed[instance]}"
            self._claimed[instance] = attempt
            self._claims[attempt] = node
            node.claims.add(attempt)
            if node.answers:  # else the message is lost
                node.waiting.append(attempt)
                self._fill(node)

    def stop(self, attempts: Sequence[str]) -> None:
        """See ClusterExecutor."""
        for attempt in attempts:
            node = self._claims.get(attempt)
            if node is not None and node.answers:
                self._kill(node, attempt, "stopped")
            elif node is not None:
                self._stops.setdefault(node.name, set()).add(attempt)

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """See ClusterExecutor."""
        for attempt in attempts:
            node = self._ended_on.get(attempt)
            if node is not None and node.answers:  # else it reports the end again
                del self._ended_on[attempt], node.ended[attempt]

    def forget(self, job: str) -> None:
        """See ClusterExecutor."""
        assert not any(attempt.startswith(f"{job}.") for attempt in self._claims)
        self.forgotten.append(job)

    def close(self) -> None:
        """See ClusterExecutor."""

    # -- time

    def advance(self, most: int = 1, until: float = float("inf")) -> bool:
        """Let up to `most` things happen, none later than `until`. Return False if there is none."""
        for number in range(most):
            if not self._due or self._due[0][0] > until:
                return number > 0
            self.now, _, node, what = heapq.heappop(self._due)
            if not isinstance(what, str):
                what()
            elif what in node.running:
                self._end(node, Exited(what, code=0, started=node.running[what], ended=self.now, host=node.name))
        return True

    def after(self, seconds: float, node: SimulatedNode, what: str | Callable[[], None]) -> None:
        """Let something happen: the end of an attempt, or a call."""
        heapq.heappush(self._due, (self.now + seconds, next(self._ticket), node, what))

    # -- what goes wrong

    def cut(self, node: SimulatedNode) -> None:
        """Break the connection: programs go on until the lease ends."""
        if node.is_reachable:
            node.is_reachable, node.cut_at = False, self.now
            self._begin_outage(node)
            self.after(LEASE_SECONDS, node, self._fence(node))

    def crash(self, node: SimulatedNode) -> None:
        """Switch the machine off: nothing of it runs, and only records of ends are left."""
        if node.is_alive:
            node.is_alive = False
            self._alive.difference_update(map(_instance, node.running))
            node.running.clear()
            node.waiting.clear()
            self._begin_outage(node)

    def mend(self, node: SimulatedNode) -> None:
        """Connect the node again, or switch it on: it reports what is there, and gets what it has missed."""
        if node.answers:
            return
        node.is_alive = node.is_reachable = True
        node.outage += 1
        known = node.running.keys() | set(node.waiting)
        for event in list(node.ended.values()):
            self._tell(event)
        for attempt in sorted(node.claims - known):
            self._tell(Lost(attempt))
        for attempt in known - node.claims:  # given up, which no node may run then
            raise AssertionError(f"{attempt} runs, and was given up")
        for attempt in self._stops.pop(node.name, ()):
            self._kill(node, attempt, "stopped")
        self._sink(NodeUp(self._describe(node)))

    def give_back(self, node: SimulatedNode) -> None:
        """Return what the node has not begun."""
        while node.answers and node.waiting:
            self._tell(Returned(node.waiting.popleft()))

    def _begin_outage(self, node: SimulatedNode) -> None:
        node.outage += 1
        outage = node.outage

        def note_silence() -> None:
            if node.outage == outage:
                self._sink(NodeDown(node.name, "it does not answer"))
                for attempt in sorted(node.claims):
                    self._sink(Unreachable(attempt, f"{node.name} does not answer"))

        def expire() -> None:
            if node.outage == outage:
                for attempt in sorted(node.claims):
                    self._tell(Lost(attempt))

        self.after(SILENT_SECONDS, node, note_silence)
        self.after(EXPIRY_SECONDS, node, expire)

    def _fence(self, node: SimulatedNode) -> Callable[[], None]:
        cut_at = node.cut_at

        def end_all() -> None:
            if not node.is_reachable and node.cut_at == cut_at:
                node.waiting.clear()
                for attempt in list(node.running):
                    self._kill(node, attempt, "its lease ended")

        return end_all

    # -- the truth

    def _fill(self, node: SimulatedNode) -> None:
        while node.waiting and len(node.running) < node.slots:
            attempt = node.waiting.popleft()
            instance = _instance(attempt)
            assert instance not in self._alive, f"{attempt} overlaps with an earlier attempt"
            self._alive.add(instance)
            self.begun += 1
            node.running[attempt] = self.now
            self.after(self._seconds * self._random.uniform(0.1, 1.0), node, attempt)

    def _kill(self, node: SimulatedNode, attempt: str, reason: str) -> None:
        if attempt in node.waiting:
            node.waiting.remove(attempt)
            self._end(node, Exited(attempt, reason=reason, ended=self.now, host=node.name))
        elif attempt in node.running:
            began = node.running[attempt]
            self._end(node, Exited(attempt, signal=15, reason=reason, started=began, ended=self.now, host=node.name))

    def _end(self, node: SimulatedNode, event: Exited) -> None:
        if node.running.pop(event.attempt, None) is not None:
            self._alive.remove(_instance(event.attempt))
        node.ended[event.attempt] = event
        self._ended_on[event.attempt] = node
        if node.answers:
            self._tell(event)
            self._fill(node)

    def _tell(self, event: Exited | Lost | Returned) -> None:
        if event.attempt in self._claims:
            self._close(event.attempt)
        else:
            self.late += 1
        self._sink(event)

    def _close(self, attempt: str) -> None:
        self._claims.pop(attempt).claims.discard(attempt)
        del self._claimed[_instance(attempt)]

    @staticmethod
    def _describe(node: SimulatedNode) -> Node:
        return Node(node.name, node.name, node.slots)


def _instance(attempt: str) -> str:
    return attempt.rpartition(".")[0]
