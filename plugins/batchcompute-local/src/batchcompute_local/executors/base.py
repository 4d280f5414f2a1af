"""The executor protocol: what runs instances. Made for engines on other machines as well as for this one.

An executor gets many launches at once and reports through one sink, which may be called from any thread. Every
attempt it was given ends in exactly one final event, `Exited`, `Lost` or `Returned`, and only once nothing of the
attempt runs any more: the service starts the next attempt of that instance on the strength of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batchcompute.surroundings import Surroundings
from batchcompute_local.plan import TaskSpec
from batchcompute_local.records import Exited, Lost, Returned, Started

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = [
    "AnyExecutor",
    "ClusterExecutor",
    "Delayed",
    "Event",
    "Executor",
    "Exited",
    "Launch",
    "Lost",
    "Node",
    "NodeDown",
    "NodeUp",
    "Recovered",
    "Returned",
    "Sink",
    "Started",
    "Unreachable",
    "has_nodes",
]


@dataclass(frozen=True)
class Launch:
    """One attempt to run one instance. `attempt` names it uniquely, for ever; `owner` is the OwnerId of its job.

    `surroundings` are the submitter's interpreter, PATH, locale and time zone; None if its client sent none. `node` is the name
    of the node that it was given to, which is on the service's disk; empty for an executor without nodes.
    """

    attempt: str
    job: str
    task: TaskSpec
    number: int
    surroundings: Surroundings | None = None
    owner: int = 0
    node: str = ""


@dataclass(frozen=True)
class Delayed:
    """An attempt cannot begin yet, since something is full; it is returned soon. `reason` says what, for people."""

    attempt: str
    reason: str


@dataclass(frozen=True)
class Unreachable:
    """It is not known whether this attempt runs; not final. It is not run again until that is known. `reason` is for people."""

    attempt: str
    reason: str


@dataclass(frozen=True)
class Node:
    """A machine, or a part of one, that runs instances. `name` is never used for another node.

    `slots` is the number of instances that it runs at once; `cpu` in hundredths of a core and `memory` in MB limit the sums of
    what they request, 0: no limit. `images` are the ids of the images that it has, besides that of programs without one.
    """

    name: str
    host: str
    slots: int
    cpu: int = 0
    memory: int = 0
    images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class NodeUp:
    """A node is there, or is there again, or has other values: attempts may be given to it."""

    node: Node


@dataclass(frozen=True)
class NodeDown:
    """Nothing more is to be given to this node. Its attempts still end in a final event each."""

    name: str
    reason: str = ""


Event = Started | Delayed | Exited | Lost | Returned | Unreachable | NodeUp | NodeDown
Sink = Callable[[Event], None]


@dataclass(frozen=True)
class Recovered:
    """The earlier attempts of an executor: those that still run, or may run, and those that ended unacknowledged.

    All others run again at once: the executor has proof that nothing of them runs. Of those in `live` that may run, `Unreachable`
    says so.
    """

    live: frozenset[str] = frozenset()
    ended: tuple[Exited, ...] = ()


class Executor(Protocol):
    """No method but `open` waits for a program; none is called from two threads at once.

    It may also have `trouble` and `containment`, texts for people, and `notes`, a sequence of them (docs/executors.md);
    `has_failed`, True if it cannot report any more what becomes of its attempts: the service ends by an error then; and
    `break_off`, which is called instead of `close` if the service ends by an error. An executor of 3.0 has none of them.
    """

    look_ahead: int
    """The number of attempts that it takes beyond those that can run at once, to begin them in order. It keeps an attempt for a
    moment only, then it returns it; 0 if it begins everything it gets."""

    def open(self, sink: Sink) -> Recovered:
        """Begin; find out what earlier attempts did. Events of live attempts go to `sink`. Raises OSError."""

    def start(self, launches: Sequence[Launch]) -> None:
        """Run these; what cannot be run ends as Exited with a reason."""

    def stop(self, attempts: Sequence[str]) -> None:
        """End these, politely first; each still ends in its final event. Unknown ones are ignored."""

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """The ends of these are on the service's disk; the executor may forget them."""

    def forget(self, job: str) -> None:
        """The job was deleted and nothing of it runs: remove its working folders and logs."""

    def close(self) -> None:
        """Let go. Running programs go on and are found again by the next `open`."""


class ClusterExecutor(Protocol):
    """An executor with nodes. The service gives each attempt to a node, and has that on its disk before `start`.

    Its methods are those of `Executor`, but for `open`. `NodeUp` and `NodeDown` go to the sink, from `open` on.
    """

    look_ahead: int
    """The number of attempts that a node takes beyond its slots, to begin them in order, each as soon as a slot is free."""
    ahead_seconds: float
    """How many seconds of work that may be, so that short instances travel together."""

    def open(self, sink: Sink, claims: Mapping[str, str]) -> Recovered:
        """Begin; find out what became of `claims`: all claimed attempts, with the names of their nodes. Raises OSError.

        Does not wait for nodes: an attempt whose node has not answered yet is in `live`, and `Unreachable` if that takes long.
        """

    def start(self, launches: Sequence[Launch]) -> None:
        """As `Executor.start`, each on its `node`."""

    def stop(self, attempts: Sequence[str]) -> None:
        """As `Executor.stop`; a node that is away hears of it when it is there again."""

    def acknowledge(self, attempts: Sequence[str]) -> None:
        """As `Executor.acknowledge`."""

    def forget(self, job: str) -> None:
        """As `Executor.forget`; a node that is away hears of it when it is there again."""

    def close(self) -> None:
        """As `Executor.close`."""


AnyExecutor = Executor | ClusterExecutor


def has_nodes(executor: AnyExecutor) -> TypeIs[ClusterExecutor]:
    """Return whether the executor is one with nodes: then it has `ahead_seconds`."""
    return hasattr(executor, "ahead_seconds")
