"""The book of the bridge: which attempts are where, and what follows from answers and from silence. No I/O.

An attempt that a node was given ends in one final event: the node tells its end; or a sync shows that the node neither has it nor
had it; or so much time passes without an answer that its lease has ended, and with it everything that ran there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import count

from batchcompute_local.clocks import uptime
from batchcompute_local.executors.base import (
    Delayed,
    Event,
    Exited,
    Lost,
    NodeDown,
    NodeUp,
    Returned,
    Started,
    Unreachable,
)

from batchcompute_dask.bridge.leases import whole_lease
from batchcompute_dask.bridge.peers import Peer
from batchcompute_dask.messages import Answer, Begin, Exchange

_log = logging.getLogger(__name__)
_SILENT_SECONDS = 5.0
"""A node that says nothing for so long is given nothing more."""
_DIFFERENT_SECONDS = 10.0
_EPOCHS = 1 << 32


class Book:
    """One per bridge. `tell` gets the events for the service."""

    def __init__(self, begin: Begin, tell: Callable[[Event], None], clock: Callable[[], float] = uptime) -> None:
        self._prefix = begin.prefix
        self._tell = tell
        self._clock = clock
        self._epochs = count(begin.epoch * _EPOCHS)
        self._whole = whole_lease(begin.options.lease_seconds, begin.settings.grace_seconds)
        # the bridge before this one may have granted leases a moment ago
        self._first_expiry = clock() + self._whole
        self._peers: dict[str, Peer] = {}
        self._where: dict[str, Peer] = {}
        """Open attempts."""
        self._ended: dict[str, Peer] = {}
        """Attempts whose end the service has not acknowledged yet."""
        self._refused: dict[str, str] = {}
        for attempt, name in begin.claims.items():
            self._claim(self._peer(name), attempt)
        self.stop(begin.stopped)

    def _peer(self, name: str) -> Peer:
        if name not in self._peers:
            self._peers[name] = Peer(name, self._clock(), self._first_expiry)
        return self._peers[name]

    def _claim(self, peer: Peer, attempt: str) -> None:
        peer.claims[attempt] = None
        self._where[attempt] = peer

    # -- what the service asks

    def give(self, name: str, attempts: Iterable[str]) -> Peer | None:
        """Note that a node is given attempts. None if it is not there: then they are returned, as they never begin."""
        peer = self._peers.get(name)
        if peer is None or peer.node is None:
            for attempt in attempts:
                self._tell(Returned(attempt))
            return None
        for attempt in attempts:
            self._claim(peer, attempt)
        return peer

    def stop(self, attempts: Iterable[str]) -> set[str]:
        """Have these end. Returns the names of the nodes to send that to."""
        found = {attempt: self._where[attempt] for attempt in attempts if attempt in self._where}
        for attempt, peer in found.items():
            peer.stop([attempt])
        return {peer.name for peer in found.values() if peer.node is not None}

    def acknowledge(self, attempts: Iterable[str]) -> None:
        """The service has the ends of these on its disk."""
        for attempt in attempts:
            peer = self._ended.pop(attempt, None)
            if peer is not None:
                peer.acknowledged.add(attempt)

    def forget(self, jobs: Iterable[str]) -> None:
        """These jobs are deleted. A node that is away names its jobs when it is there again."""
        for peer in self._peers.values():
            if peer.has_synced:
                peer.forgets.update(jobs)

    # -- what is asked of a node, and answered

    def find(self, name: str) -> Peer | None:
        """Return a node if it is there."""
        peer = self._peers.get(name)
        return peer if peer is not None and peer.node is not None else None

    def next_epoch(self) -> int:
        """Return an epoch that is larger than all before."""
        return next(self._epochs)

    def ask(self, peer: Peer, hold: float, wants_news: bool) -> Exchange:
        """Return the next question to a node; it grants a lease."""
        return peer.ask(self._prefix, self._clock(), hold, self._whole, wants_news)

    def take_sync(self, answer: Answer, address: str) -> Peer:
        """Take the answer to a sync: what the node neither has nor tells the end of has never begun, and never will."""
        peer = self._peer(answer.node.name)
        peer.address, peer.epoch = address, answer.epoch
        peer.node, peer.has_synced, peer.wants_sync, peer.differs_since, peer.received = None, True, False, None, 0
        self._note(peer, answer)
        truth = answer.truth
        live = truth.live if truth is not None else frozenset()
        for attempt in [each for each in peer.claims if each not in live]:
            _log.info("%s: node %s does not have it", attempt, peer.name)
            self._end(peer, attempt)
            self._tell(Lost(attempt))
        peer.stop(live.difference(peer.claims))  # they were given up: their instances run elsewhere
        return peer

    def refuse(self, name: str, reason: str) -> None:
        """A worker cannot be used; `name` is its node's, or its address. Its attempts have the time of its lease."""
        peer = self._peers.get(name)
        if peer is not None:
            peer.node = None
        if self._refused.get(name) != reason:
            self._refused[name] = reason
            self._tell(NodeDown(name, reason))

    def take(self, peer: Peer, answer: Answer) -> None:
        """Take the answer to a question that granted a lease: from now on attempts may be given to the node.

        One that was given up meanwhile gets nothing until it has synced: a chunk that was sent before may begin only now.
        """
        if self._peers.get(peer.name) is not peer:
            return
        self._note(peer, answer)
        if peer.node != answer.node:
            peer.node = answer.node
            self._tell(NodeUp(answer.node))
        if peer.is_away:
            peer.is_away = False
            _log.info("node %s answers again", peer.name)
        self._compare(peer, answer)

    def _note(self, peer: Peer, answer: Answer) -> None:
        peer.heard, peer.boot, peer.session = self._clock(), answer.boot, answer.session
        peer.received = answer.number or peer.received
        for event in answer.events:
            self._hear(peer, event)

    def _hear(self, peer: Peer, event: Event) -> None:
        match event:
            case Started(attempt):
                if attempt in peer.claims:
                    peer.claims[attempt] = event
                    self._tell(event)
            case Delayed(attempt):
                if attempt in peer.claims:
                    self._tell(event)
            case Exited(attempt):
                self._end(peer, attempt)
                is_new = attempt not in self._ended  # else it is sent again, and the service is about to acknowledge it
                self._ended[attempt] = peer
                if is_new:
                    self._tell(event)
            case Lost(attempt) | Returned(attempt):
                peer.acknowledged.add(attempt)  # nothing of it is to be kept
                if attempt in peer.claims:
                    self._end(peer, attempt)
                    self._tell(event)

    def _end(self, peer: Peer, attempt: str) -> None:
        peer.stops.pop(attempt, None)
        if attempt in peer.claims:
            del peer.claims[attempt], self._where[attempt]

    def _compare(self, peer: Peer, answer: Answer) -> None:
        """Ask for the whole truth if a node has other attempts than it was given, and none is on its way."""
        if peer.chunks or answer.live == len(peer.claims):
            peer.differs_since = None
        elif peer.differs_since is None:
            peer.differs_since = peer.heard
        elif peer.heard - peer.differs_since >= _DIFFERENT_SECONDS:
            _log.warning("node %s has %d attempts, not %d", peer.name, answer.live, len(peer.claims))
            peer.wants_sync = True

    # -- silence

    def look(self) -> None:
        """Draw conclusions from silence. Called now and then."""
        now = self._clock()
        for peer in [*self._peers.values()]:
            silent = now - peer.heard
            if silent >= _SILENT_SECONDS and not peer.is_away:
                self._note_away(peer, silent)
            if now >= peer.expiry:
                self._give_up(peer)

    def _note_away(self, peer: Peer, silent: float) -> None:
        peer.is_away, peer.node = True, None
        latest = max(0.0, peer.expiry - self._clock())
        reason = f"node {peer.name} does not answer for {silent:.0f} seconds"
        _log.warning("%s; its attempts run again in %.0f seconds if it does not come back", reason, latest)
        self._tell(NodeDown(peer.name, reason))
        for attempt in peer.claims:
            self._tell(
                Unreachable(
                    attempt, f"{reason}: it may still run there; in {latest:.0f} seconds it is certain that it does not"
                )
            )

    def _give_up(self, peer: Peer) -> None:
        """Its lease has ended, and with it all that it ran. Nothing but a sync makes a node of it again."""
        for attempt in [*peer.claims]:
            _log.warning("%s: the lease of node %s has ended", attempt, peer.name)
            self._end(peer, attempt)
            self._tell(Lost(attempt))
        peer.node, peer.wants_sync = None, True
        del self._peers[peer.name]
