"""What daemon, bridge and nodes tell each other. Plain values, pickled: all of them are of one version.

The version is compared before anything is unpickled (`nodes/calls.py`), and who may talk is a matter of TLS (`security.py`).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchcompute_local.executors.base import Event, Node
from batchcompute_local.plan import TaskSpec
from batchcompute_local.settings import Settings

from batchcompute.surroundings import Surroundings
from batchcompute_dask.settings import Options


class Sealed:
    """A message as Dask has it: its dashboard and its logs show what is sent, and messages have access keys."""

    __slots__ = ("_data",)

    def __init__(self, message: object) -> None:
        self._data = pickle.dumps(message)

    def open(self) -> Any:
        """Return the message."""
        return pickle.loads(self._data)  # noqa: S301  # Dask has unpickled what it is in

    def __repr__(self) -> str:
        return f"<{len(self._data)} bytes>"


@dataclass(frozen=True)
class Group:
    """Attempts of one task for one node. `members` are attempt and instance; `keys` their access keys, which the bridge adds."""

    node: str
    job: str
    task: TaskSpec
    surroundings: Surroundings | None = field(repr=False)
    owner: int
    members: tuple[tuple[str, int], ...]
    keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)


# -- from the daemon to the bridge


@dataclass(frozen=True)
class Begin:
    """The first message. `epoch` is larger than that of any bridge before; `claims` are open attempts with their nodes."""

    epoch: int
    root: str
    prefix: str
    options: Options
    settings: Settings
    claims: Mapping[str, str]
    stopped: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """Run these."""

    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Stop:
    """End these."""

    attempts: tuple[str, ...]


@dataclass(frozen=True)
class Acknowledge:
    """The ends of these are on the service's disk."""

    attempts: tuple[str, ...]


@dataclass(frozen=True)
class Forget:
    """These jobs are deleted."""

    jobs: tuple[str, ...]


# -- from the bridge to the daemon


@dataclass(frozen=True)
class Events:
    """What happened, for the sink."""

    events: tuple[Event, ...]


@dataclass(frozen=True)
class Jobs:
    """A node has files of these jobs; those of them that are deleted are to be forgotten."""

    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """What keeps the bridge from working, in words; empty if nothing does. `dashboard` is the address of Dask's own."""

    trouble: str
    dashboard: str = ""
    scheduler: str = ""


# -- between the bridge and the nodes


@dataclass(frozen=True)
class RelayPlace:
    """Where the service's end of the relay listens, and what to say there first. `is_secure`: it speaks TLS."""

    host: str
    port: int
    token: str = field(repr=False)
    is_secure: bool


@dataclass(frozen=True)
class Setup:
    """What a node has to know of its service. `root` is the service's data folder, which the node sees if files are shared."""

    prefix: str
    root: str
    shared_files: bool
    lease_seconds: float
    settings: Settings
    relay: RelayPlace


@dataclass(frozen=True)
class Exchange:
    """The bridge asks a node. With `setup` it is a sync: from then on messages of a lower epoch are refused.

    `granted` is the time of the node's boot clock, from one of its answers, from which its lease counts; None: no lease.
    `session` is that of the node's latest answer. `received` is the number of the latest answer whose logs are written; None:
    neither logs nor events are wanted, as another question asks for them. It answers when something has happened, after `hold`
    seconds at the latest.
    """

    prefix: str
    epoch: int
    session: str = ""
    setup: Setup | None = None
    granted: float | None = None
    hold: float = 0.0
    received: int | None = None
    acknowledged: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    forgets: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogName:
    """Which log it is. `is_known`: the service has a part of it already."""

    attempt: str
    job: str
    task: str
    number: int
    stream: str
    redirect: str
    is_known: bool = False


@dataclass(frozen=True)
class LogPiece:
    """A part of a log of an attempt."""

    name: LogName
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Truth:
    """The answer to a sync: all attempts that run or may begin, and the jobs of which there are files."""

    live: frozenset[str]
    jobs: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a node says of itself. `boot` is its boot clock. Final events come again until they are acknowledged.

    `live` is the number of attempts that are not over.
    """

    node: Node
    session: str
    epoch: int
    boot: float
    live: int
    events: tuple[Event, ...]
    truth: Truth | None = None
    pieces: tuple[LogPiece, ...] = ()
    number: int = 0


@dataclass(frozen=True)
class Refusal:
    """A node does not do what it was asked. `node` is its name, if it has one already."""

    reason: str
    node: str = ""


class ChunkRefusedError(Exception):
    """A node does not take a chunk: it was sent before the latest sync, or the node has no lease."""


@dataclass(frozen=True)
class Chunk:
    """Attempts that travel together. `name` is unique; a node runs a chunk once, and only of its own session and epoch."""

    prefix: str
    name: str
    session: str
    epoch: int
    groups: Sequence[Group]
