"""The Dask side of the bridge: a client that connects again for ever; workers that come and go; questions to nodes; chunks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from batchcompute_local.attempt_files import AttemptKeys
from batchcompute_local.paths import Layout
from distributed import Client, Future, wait
from distributed.comm import CommClosedError

from batchcompute_dask import __version__
from batchcompute_dask.bridge.book import Book
from batchcompute_dask.bridge.chunks import Estimates
from batchcompute_dask.bridge.logs import LogWriter
from batchcompute_dask.bridge.peers import Peer
from batchcompute_dask.clusters.starting import find_scheduler
from batchcompute_dask.messages import Answer, Begin, Chunk, Condition, Exchange, Group, Refusal, Sealed, Setup
from batchcompute_dask.nodes.calls import exchange, run_chunk
from batchcompute_dask.security import make_security

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
_WORKERS_SECONDS = 1.0
_HOLD_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_SYNC_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_REFUSED_SECONDS = 10.0
_FULL_SECONDS = 1.0
_CLOSE_SECONDS = 3.0


class Cluster:
    """One per bridge. `report` tells the daemon of its condition and of the jobs of nodes."""

    def __init__(
        self,
        begin: Begin,
        setup: Setup,
        keys: AttemptKeys,
        logs: LogWriter,
        book: Book,
        estimates: Estimates,
        report: Callable[[Any], None],
    ) -> None:
        self._begin = begin
        self._setup = setup
        self._keys = keys
        self._logs = logs
        self._book = book
        self._estimates = estimates
        self._report = report
        self._client: Client | None = None
        self._nodes: dict[str, asyncio.Task[None]] = {}
        """What talks to each worker, by address."""
        self._others: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self._refused: dict[str, str] = {}

    async def run(self) -> None:
        """Be connected to the scheduler, for ever."""
        while True:
            try:
                await self._connect()
            except (OSError, TimeoutError, CommClosedError, RuntimeError, ValueError) as error:
                self._report(Condition(f"no connection to the scheduler: {error or type(error).__name__}"))
                _log.warning("no connection to the scheduler: %s", error or type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _connect(self) -> None:
        begin = self._begin
        layout, linger = Layout(Path(begin.root)), begin.settings.runner_linger_seconds
        options = await asyncio.to_thread(find_scheduler, layout, begin.options, linger)
        client = Client(
            options.scheduler,
            asynchronous=True,
            security=make_security(options.tls_ca_file, options.tls_cert, options.tls_key),
            timeout=_CONNECT_SECONDS,
            name="batchcompute",
        )
        try:
            await client
            self._client = client
            self._report(Condition("", client.dashboard_link, options.scheduler))
            _log.info("connected to the scheduler %s", options.scheduler)
            while client.status == "running":
                self._note_workers(await asyncio.wait_for(client.nthreads(), _CONNECT_SECONDS))
                await asyncio.sleep(_WORKERS_SECONDS)
            raise CommClosedError("it was lost")
        finally:
            self._client = None
            self._note_workers(())
            for task in [*self._others]:
                task.cancel()
            with suppress(Exception):  # whatever is wrong with it, it is of no use any more
                await asyncio.wait_for(client.close(), _CLOSE_SECONDS)

    def _note_workers(self, addresses: Iterable[str]) -> None:
        there = set(addresses)
        for address, task in [*self._nodes.items()]:
            if task.done():  # by an error: another one begins, with a sync
                del self._nodes[address]
                if not task.cancelled():
                    _log.error("the talk with the node at %s has ended", address, exc_info=task.exception())
        for address in there.difference(self._nodes):
            self._nodes[address] = asyncio.create_task(self._talk(address))
        for address in set(self._nodes).difference(there):
            self._nodes.pop(address).cancel()

    # -- one node

    async def _talk(self, address: str) -> None:
        """Talk to the node at an address, as long as there is a worker."""
        while True:
            sync = Exchange(self._begin.prefix, self._book.next_epoch(), setup=self._setup)
            answer = await self._ask(address, sync, _SYNC_SECONDS)
            if isinstance(answer, Answer):
                self._refused.pop(address, None)
                peer = self._book.take_sync(answer, address)
                if answer.truth is not None and answer.truth.jobs:
                    self._report(answer.truth)
                await self._keep_asking(peer)
            elif answer is not None:
                self._note_refusal(address, answer)
                await asyncio.sleep(_REFUSED_SECONDS)
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _keep_asking(self, peer: Peer) -> None:
        """Ask a node again and again, until a sync is needed."""
        hold = 0.0  # at first it only has to get its lease
        while not peer.wants_sync:
            answer = await self._ask_peer(peer, hold)
            if answer is None:
                await asyncio.sleep(_PAUSE_SECONDS)
            elif isinstance(answer, Refusal):
                _log.warning("node %s: %s", peer.name, answer.reason)
                return
            else:
                hold = _HOLD_SECONDS

    async def _ask_peer(self, peer: Peer, hold: float, wants_news: bool = True) -> Answer | Refusal | None:
        asked = self._book.ask(peer, hold, wants_news)
        answer = await self._ask(peer.address, asked, hold + _ANSWER_SECONDS)
        if not isinstance(answer, Answer) or answer.epoch != peer.epoch:
            peer.ask_again(asked)
        elif await self._write_logs(peer, answer):
            self._book.take(peer, answer)
        else:  # it answers, and keeps its lease; without the number it sends these logs again
            self._book.take(peer, replace(answer, number=0))
            await asyncio.sleep(_FULL_SECONDS)
        return answer

    async def _write_logs(self, peer: Peer, answer: Answer) -> bool:
        """Write the logs in an answer; return False if the disk is full. No end is sent before its logs were written."""
        pieces = [piece for piece in answer.pieces if piece.name.attempt in peer.claims]
        if pieces:
            try:
                await asyncio.to_thread(self._logs.write, pieces)
            except OSError as error:
                _log.warning("logs of node %s cannot be written yet: %s", peer.name, error)
                return False
        return True

    async def _ask(self, address: str, asked: Exchange, seconds: float) -> Answer | Refusal | None:
        """Ask what is at an address; None if nobody knows whether it was heard."""
        if self._client is None:
            return None
        try:
            found = await asyncio.wait_for(
                self._client.run(exchange, __version__, Sealed(asked), workers=[address], on_error="return"), seconds
            )
        except (OSError, TimeoutError, CommClosedError, KeyError) as error:
            _log.debug("%s: %s", address, error)
            return None
        answer = found.get(address)
        if isinstance(answer, Sealed):
            opened: Answer | Refusal = answer.open()
            return opened
        if isinstance(answer, str):
            return Refusal(answer)
        if isinstance(answer, ImportError | AttributeError):
            return Refusal(
                f"the worker at {address} cannot be used: batchcompute-dask {__version__} is not there: {answer}"
            )
        _log.debug("%s: %r", address, answer)
        return None

    def _note_refusal(self, address: str, refusal: Refusal) -> None:
        if self._refused.get(address) != refusal.reason:
            self._refused[address] = refusal.reason
            _log.warning("%s", refusal.reason)
        self._book.refuse(refusal.node or address, refusal.reason)

    # -- what the daemon wants

    def start(self, groups: Sequence[Group]) -> None:
        """Have nodes run these; what cannot be given to a node is returned."""
        by_node: dict[str, list[Group]] = {}
        for group in groups:
            by_node.setdefault(group.node, []).append(group)
        for name, found in by_node.items():
            attempts = [attempt for group in found for attempt, _ in group.members]
            peer = self._book.give(name, attempts)
            if peer is not None and peer.node is not None:
                for chunk in self._estimates.split(found, peer.node.slots):
                    self._submit(peer, chunk)

    def stop(self, attempts: Sequence[str]) -> None:
        """Tell nodes at once to end these."""
        for name in self._book.stop(attempts):
            peer = self._book.find(name)
            if peer is not None:
                self._do(self._tell(peer))

    async def _tell(self, peer: Peer) -> None:
        await self._ask_peer(peer, 0.0, wants_news=False)

    def _do(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def _submit(self, peer: Peer, groups: Sequence[Group]) -> None:
        if self._client is None:
            peer.wants_sync = True
            return
        first, last = groups[0], groups[-1]
        end = (
            str(last.members[-1][1]) if last.job == first.job else f"{last.job}/{last.task.name}/{last.members[-1][1]}"
        )
        name = f"{first.job}/{first.task.name}/{first.members[0][1]}..{end}/{peer.epoch:x}-{next(self._numbers)}"
        chunk = Chunk(self._begin.prefix, name, peer.session, peer.epoch, [self._with_keys(group) for group in groups])
        # repeats are the service's alone: a task that Dask runs again is refused by the node
        future = self._client.submit(
            run_chunk,
            __version__,
            Sealed(chunk),
            key=name,
            workers=[peer.address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )
        peer.chunks += 1
        self._do(self._watch(peer, future, peer.epoch))

    def _with_keys(self, group: Group) -> Group:
        made = tuple(self._keys.make(group.owner, attempt) for attempt, _ in group.members)
        return Group(group.node, group.job, group.task, group.surroundings, group.owner, group.members, made)

    async def _watch(self, peer: Peer, future: Future, epoch: int) -> None:
        """Ask for the node's whole truth if a chunk does not end as it should."""
        try:
            await wait([future])
        except (asyncio.CancelledError, OSError, RuntimeError):
            peer.wants_sync = True
            raise
        finally:
            peer.chunks -= 1
        if future.status != "finished" and peer.epoch == epoch:
            reason = await future.exception() if future.status == "error" else future.status
            _log.warning("node %s: a chunk was not run to its end: %s", peer.name, reason)
            peer.wants_sync = True
