"""The executor protocol: what runs instances. Made for engines on other machines as well as for this one.

An executor gets many launches at once and reports through one sink, which may be called from any thread. Every
attempt it was given ends in exactly one final event, `Exited`, `Lost` or `Returned`, and only once nothing of the
attempt runs any more: the service starts the next attempt of that instance on the strength of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from batchcompute.surroundings import Surroundings
from batchcompute_local.plan import TaskSpec
from batchcompute_local.records import Exited, Lost, Returned, Started

__all__ = ["Delayed", "Event", "Executor", "Exited", "Launch", "Lost", "Recovered", "Returned", "Sink", "Started"]


@dataclass(frozen=True)
class Launch:
    """One attempt to run one instance. `attempt` names it uniquely, for ever; `owner` is the OwnerId of its job.

    `surroundings` are the submitter's interpreter, PATH, locale and time zone; None if its client sent none.
    """

    attempt: str
    job: str
    task: TaskSpec
    number: int
    surroundings: Surroundings | None = None
    owner: int = 0


@dataclass(frozen=True)
class Delayed:
    """An attempt cannot begin yet, since something is full; it is returned soon. `reason` says what, for people."""

    attempt: str
    reason: str


Event = Started | Delayed | Exited | Lost | Returned
Sink = Callable[[Event], None]


@dataclass(frozen=True)
class Recovered:
    """The earlier attempts of an executor: those that still run, and those that ended unacknowledged."""

    live: frozenset[str] = frozenset()
    ended: tuple[Exited, ...] = ()


class Executor(Protocol):
    """No method but `open` waits for a program; none is called from two threads at once.

    It may also have `trouble` and `containment`, texts for people (docs/executors.md), and `break_off`, which is called instead
    of `close` if the service ends by an error; an executor of 3.0 has none of them.
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
