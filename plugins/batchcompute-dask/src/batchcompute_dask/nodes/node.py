"""A node: what runs attempts in a worker process, with the executor of one machine and its runner.

The runner is the parent of the programs, in a process of its own. So a worker that is killed and started again opens the same
folder, and finds them. A worker that is stopped, or cut off, does not renew the runner's lease, and the runner ends the programs.

All but the making of a node happens in the thread of the event loop: so a sync, for example, is atomic.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import ssl
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from batchcompute_local.clocks import uptime
from batchcompute_local.errors import DaemonError
from batchcompute_local.executors import base
from batchcompute_local.executors.base import Delayed, Event, Exited, Launch, Lost, Returned, Started
from batchcompute_local.paths import Layout
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.records import ExitRecord

from batchcompute_dask.messages import Answer, Chunk, ChunkRefusedError, Exchange, Refusal, Setup, Truth
from batchcompute_dask.nodes.keys import GivenKeys
from batchcompute_dask.nodes.layout import SeparateLayout, SharingLayout
from batchcompute_dask.nodes.news import News
from batchcompute_dask.nodes.place import Place, find_images
from batchcompute_dask.nodes.relay import NodeRelay
from batchcompute_dask.nodes.separate import Separate

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 3.0
"""How long an attempt may wait here for a slot: more than a chunk takes."""
_GATHER_SECONDS = 0.01
_BETWEEN_SECONDS = 0.05
"""Between answers with news: each costs service, scheduler and node as much as an instance."""
_RENEW_SECONDS = 0.5
_RETURN_SECONDS = 2.0
_MOST_NEWEST = 200_000
_MOST_CHUNKS = 2_000


@dataclass
class _Running:
    """A chunk: its attempts that are not over, and what its task waits for."""

    left: set[str]
    done: asyncio.Event


class Node:
    """The node of this process for one service. Making it takes a while. Raises OSError, ValueError."""

    def __init__(
        self, place: Place, setup: Setup, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | None = None
    ) -> None:
        self._place = place
        self._setup = setup
        self._loop = loop
        self.session = secrets.token_hex(8)
        self._epoch = 0
        self._until = self._renewed = self._reported = 0.0
        self._live: dict[str, Started | None] = {}
        self._news = News()
        self._chunks: OrderedDict[str, _Running] = OrderedDict()
        self._chunk_of: dict[str, _Running] = {}
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._unwanted: set[str] = set()
        self._inbox: list[Event] = []
        self._lock = threading.Lock()
        self._happened = asyncio.Event()
        self._fetching: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keys = GivenKeys()
        self._layout = _layout(place, setup)
        self._layout.create()
        self._images: frozenset[str] = frozenset()
        self._separate = None if self._layout.has_objects else Separate(self._layout, self._keys.get)
        self._relay = NodeRelay(self._layout, context)
        self._relay.place = setup.relay
        settings = replace(setup.settings, slots=place.slots)
        self._executor = ProcessExecutor(
            self._layout, settings, setup.prefix, lambda job: True, patience=_PATIENCE_SECONDS, keys=self._keys
        )
        try:
            recovered = self._executor.open(self._put)
        except BaseException as error:
            self._executor.close()
            self._relay.close()
            if isinstance(error, DaemonError):
                raise OSError(str(error)) from error
            raise
        self._live = dict.fromkeys([*recovered.live, *(event.attempt for event in recovered.ended)])
        for event in recovered.ended:
            self._put(event)

    def close(self) -> None:
        """Let go of the runner."""
        self._executor.close()
        self._relay.close()
        os.close(self._place.lock)

    # -- questions

    async def answer(self, asked: Exchange) -> Answer | Refusal:
        """Do what is asked, and answer when there is something to tell."""
        self._take_events()
        if asked.setup is not None:
            if asked.epoch <= self._epoch:
                return Refusal(f"it has obeyed epoch {self._epoch} already", self._place.name)
            self._epoch, self._setup = asked.epoch, asked.setup
            self._images = find_images(asked.setup.settings.images)
            self._relay.place = asked.setup.relay
            return self._tell_all()
        if asked.epoch != self._epoch or asked.session != self.session:
            return Refusal("it was asked with an epoch or a session that are not its latest", self._place.name)
        self._obey(asked)
        if asked.received is None:
            return self._tell(())
        if self._separate is not None:
            self._separate.note_received(asked.received)
        await self._wait(asked.hold)
        if asked.epoch != self._epoch:
            return Refusal("another one asks since", self._place.name)
        return self._tell_news()

    def _obey(self, asked: Exchange) -> None:
        if asked.granted is not None:
            self._renew(asked.granted + self._setup.lease_seconds)
        if asked.acknowledged:
            for attempt in asked.acknowledged:
                self._news.acknowledge(attempt)
                if self._separate is not None:
                    self._separate.acknowledge(attempt)
            self._executor.acknowledge(asked.acknowledged)
        if asked.stops:
            self._unwanted.update(each for each in asked.stops if each not in self._live or each in self._fetching)
            self._executor.stop(asked.stops)
        for job in asked.forgets:
            self._executor.forget(job)

    def _renew(self, until: float) -> None:
        self._until = max(self._until, until)
        if self._until >= self._renewed + _RENEW_SECONDS:  # less often: a shorter lease is a safe one
            self._renewed = self._until
            self._executor.renew(self._until)

    def _tell(self, events: tuple[Event, ...], truth: Truth | None = None) -> Answer:
        place = self._place
        node = base.Node(place.name, place.host, place.slots, place.cpu, place.memory, self._images)
        return Answer(node, self.session, self._epoch, uptime(), len(self._live), events, truth)

    def _tell_news(self) -> Answer:
        self._take_events()
        if self._separate is None:
            return self._tell(self._news.take())
        pieces, ends, number = self._separate.take_logs(self._live)
        for attempt, event in ends:
            self._finish(attempt, event)
        return replace(self._tell(self._news.take()), pieces=pieces, number=number)

    def _tell_all(self) -> Answer:
        """Answer a sync."""
        self._unwanted.intersection_update(self._live)  # of others no chunk comes any more
        ended = self._news.take_all()
        begun = tuple(event for event in self._live.values() if event is not None)
        jobs: list[str] = []
        with suppress(OSError):
            jobs = [name for name in os.listdir(self._layout.work("")) if name.startswith(self._setup.prefix)]
        return self._tell((*begun, *ended), Truth(frozenset(self._live), tuple(jobs)))

    async def _wait(self, seconds: float) -> None:
        """Wait until there is something to tell, and a moment more, since much happens at once."""
        if not seconds:
            return
        self._happened.clear()
        if not self._news.is_fresh and not (self._separate and self._separate.ending):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._happened.wait(), seconds)
        await asyncio.sleep(max(_GATHER_SECONDS, self._reported + _BETWEEN_SECONDS - uptime()))
        self._reported = uptime()

    # -- chunks

    async def run(self, chunk: Chunk) -> None:
        """Run a chunk; return when all its attempts are over. One that Dask sends twice runs once. Raises ChunkRefusedError."""
        if chunk.epoch != self._epoch or chunk.session != self.session:
            raise ChunkRefusedError("it was sent before the latest sync")
        running = self._chunks.get(chunk.name)
        if running is None:
            if uptime() >= self._until:
                raise ChunkRefusedError("the node has no lease")
            running = self._begin(chunk)
        await running.done.wait()

    def _begin(self, chunk: Chunk) -> _Running:
        launches = []
        for group in chunk.groups:
            self._keys.add(group)
            launches += [
                Launch(attempt, group.job, group.task, number, group.surroundings, group.owner)
                for attempt, number in group.members
                if self._is_new(attempt)
            ]
        running = _Running({each.attempt for each in launches}, asyncio.Event())
        self._chunks[chunk.name] = running
        if len(self._chunks) > _MOST_CHUNKS:
            self._chunks.popitem(last=False)
        self._chunk_of.update(dict.fromkeys(running.left, running))
        self._live.update(dict.fromkeys(running.left))
        if self._separate is None:
            self._start(launches)
        else:
            self._fetching.update(running.left)
            work = self._separate.fetch(self._separate.take(launches, self._return), self._start, self._return)
            task = self._loop.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not running.left:
            running.done.set()
        return running

    def _start(self, launches: list[Launch]) -> None:
        self._fetching.difference_update(each.attempt for each in launches)
        for launch in launches:
            if launch.attempt in self._unwanted:  # the stop came first
                self._put(Exited(launch.attempt, reason="stopped", ended=time.time(), host=self._place.host))
        self._executor.start([each for each in launches if each.attempt not in self._unwanted])

    def _return(self, launches: list[Launch], reason: str) -> None:
        """Have these run again after a while, here or elsewhere."""
        self._fetching.difference_update(each.attempt for each in launches)
        for launch in launches:
            self._put(Delayed(launch.attempt, reason))
            self._loop.call_later(_RETURN_SECONDS, self._put, Returned(launch.attempt))

    def _is_new(self, attempt: str) -> bool:
        """Note an attempt; return False if it is not newer than the last of its instance that was seen."""
        instance, _, number = attempt.rpartition(".")
        if int(number) <= self._newest.get(instance, 0) or attempt in self._live or attempt in self._news:
            _log.warning("%s is refused: it, or a later one, was here already", attempt)
            return False
        self._newest[instance] = int(number)
        self._newest.move_to_end(instance)
        if len(self._newest) > _MOST_NEWEST:
            self._newest.popitem(last=False)
        return True

    # -- events of the executor

    def _put(self, event: Event) -> None:
        """Take an event, in any thread."""
        with self._lock:
            is_first = not self._inbox
            self._inbox.append(event)
        if is_first:
            with suppress(RuntimeError):  # the loop is closed: the next process hears of it
                self._loop.call_soon_threadsafe(self._take_events)

    def _take_events(self) -> None:
        with self._lock:
            events, self._inbox = self._inbox, []
        for event in events:
            match event:
                case Started(attempt):
                    if attempt in self._live:
                        self._live[attempt] = event
                        self._news.add(event)
                case Exited(attempt) | Lost(attempt) | Returned(attempt):
                    is_lost = isinstance(event, ExitRecord) and event.lease_ended  # no fault of the program
                    self._end(attempt, Lost(attempt) if is_lost else event)
                case _:
                    self._news.add(event)
        if self._news.is_fresh or (self._separate and self._separate.ending):
            self._happened.set()

    def _end(self, attempt: str, event: Event) -> None:
        if self._separate is None:
            self._finish(attempt, event)
        else:
            self._separate.ending[attempt] = event  # it is live until its logs are sent

    def _finish(self, attempt: str, event: Event) -> None:
        self._live.pop(attempt, None)
        self._unwanted.discard(attempt)
        self._keys.drop(attempt)
        self._news.end(attempt, event)
        running = self._chunk_of.pop(attempt, None)
        if running is not None:
            running.left.discard(attempt)
            if not running.left:
                running.done.set()


def _layout(place: Place, setup: Setup) -> Layout:
    if not setup.shared_files:
        return SeparateLayout(place.folder)
    service = Path(setup.root)
    if not os.access(service / "oss", os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"shared_files is true, but {place.host} does not have the service's folder {service / 'oss'}")
    return SharingLayout(place.folder, service)
