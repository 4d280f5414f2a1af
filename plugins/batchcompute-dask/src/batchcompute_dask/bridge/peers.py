"""What the bridge knows of one node: its place in the cluster, its lease, its attempts, and what is to be sent to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from batchcompute_local.executors.base import Node, Started

from batchcompute_dask.messages import Exchange

_AGAIN_SECONDS = 3.0
"""A stop is sent again if its attempt has not ended."""


@dataclass
class Peer:
    """A node by its name. Times are seconds of the service's own boot clock, but for `boot`, which is of the node's."""

    name: str
    heard: float
    """When its latest answer was received; at first, when the bridge learned its name."""
    expiry: float
    """When it runs nothing any more, if it is not heard again."""
    address: str = ""
    session: str = ""
    epoch: int = 0
    boot: float = 0.0
    node: Node | None = None
    """Set while attempts may be given to it."""
    is_away: bool = False
    """The service knows that it does not answer."""
    has_synced: bool = False
    wants_sync: bool = False
    received: int = 0
    """The number of its latest answer whose logs are written."""
    chunks: int = 0
    """Chunks on their way, or running."""
    differs_since: float | None = None
    """Since when it has other attempts than we gave it, with no chunk on its way."""
    claims: dict[str, Started | None] = field(default_factory=dict)
    """Attempts that it was given and that are not over, with their starts."""
    stops: dict[str, float] = field(default_factory=dict)
    """Attempts to be stopped, and when that was sent last."""
    acknowledged: set[str] = field(default_factory=set)
    forgets: set[str] = field(default_factory=set)

    def stop(self, attempts: Iterable[str]) -> None:
        """Have it end these."""
        for attempt in attempts:
            self.stops.setdefault(attempt, -_AGAIN_SECONDS)

    def ask(self, prefix: str, now: float, hold: float, whole: float, wants_news: bool) -> Exchange:
        """Return the next question, with all that there is to say. It grants a lease; `whole`: see `leases.whole_lease`."""
        self.expiry = max(self.expiry, self.heard + whole)
        stops = [attempt for attempt, sent in self.stops.items() if now - sent >= _AGAIN_SECONDS]
        self.stops.update(dict.fromkeys(stops, now))
        acknowledged, self.acknowledged = self.acknowledged, set()
        forgets, self.forgets = self.forgets, set()
        return Exchange(
            prefix,
            self.epoch,
            self.session,
            granted=self.boot,
            hold=hold,
            received=self.received if wants_news else None,
            acknowledged=tuple(acknowledged),
            stops=tuple(stops),
            forgets=tuple(forgets),
        )

    def ask_again(self, asked: Exchange) -> None:
        """Nobody knows whether it got that question: have the next one say it again."""
        self.acknowledged.update(asked.acknowledged)
        self.forgets.update(asked.forgets)
        self.stops.update({attempt: -_AGAIN_SECONDS for attempt in asked.stops if attempt in self.stops})
