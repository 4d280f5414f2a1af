"""A node that does not see the service's folders, with its runner, asked by the test in the place of the bridge."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from batchcompute_dask.messages import Answer, Chunk, ChunkRefusedError, Exchange, Group, LogPiece, RelayPlace, Setup
from batchcompute_dask.nodes import place
from batchcompute_dask.nodes.node import Node
from batchcompute_local.executors.base import Delayed, Event, Exited, Returned
from batchcompute_local.objects import address
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.settings import Settings
from dask_cluster import sweep

PREFIX, JOB, FIRST = "job-node", "job-node1", "job-node1.0.0.1"
SETTINGS = Settings(runner_linger_seconds=0.0, grace_seconds=0.5, leftover_seconds=0.5)
ABSENT = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass
class Desk:
    """The node, and what it finds in the place of the service's endpoint: no object, once it may answer."""

    node: Node
    setup: Setup
    may_answer: asyncio.Event
    epoch: int = 0
    boot: float = 0.0
    received: int = 0
    events: list[Event] = field(default_factory=list)
    pieces: list[LogPiece] = field(default_factory=list)
    chunks: list[asyncio.Task[None]] = field(default_factory=list)

    async def sync(self) -> Answer:
        """Begin a new epoch, and grant a lease."""
        self.epoch += 1
        answer = await self.node.answer(Exchange(PREFIX, self.epoch, setup=self.setup))
        assert isinstance(answer, Answer)
        self.boot = answer.boot
        await self.tell()
        return answer

    async def tell(self, **more: Any) -> None:
        """Say something that needs no answer."""
        await self.node.answer(Exchange(PREFIX, self.epoch, self.node.session, granted=self.boot, **more))

    async def ask(self, is_lost: bool = False) -> Answer:
        """Ask for news. An answer that is lost is not noted."""
        asked = Exchange(PREFIX, self.epoch, self.node.session, granted=self.boot, hold=0.1, received=self.received)
        answer = await self.node.answer(asked)
        assert isinstance(answer, Answer)
        if is_lost:
            return answer
        self.received = answer.number or self.received
        self.events += answer.events
        self.pieces += answer.pieces
        return answer

    async def until_end(self, attempt: str = FIRST) -> Exited:
        """Ask until an attempt has ended."""
        async with asyncio.timeout(30):
            while True:
                for event in self.events:
                    if isinstance(event, Exited) and event.attempt == attempt:
                        return event
                await self.ask()

    def send(self, task: TaskSpec, attempt: str = FIRST) -> asyncio.Task[None]:
        """Send a chunk of one attempt."""
        group = Group("n", JOB, task, None, 1, ((attempt, 0),), (("id", "secret"),))
        chunk = Chunk(PREFIX, f"chunk-{len(self.chunks)}", self.node.session, self.epoch, [group])
        self.chunks.append(asyncio.create_task(self.node.run(chunk)))
        return self.chunks[-1]


def make_task(**more: Any) -> TaskSpec:
    """A task without a package that prints a line, the name of this machine."""
    values = {"package_uri": "", "program": "hostname", "program_type": "command", **more}
    return TaskSpec(
        "T",
        1,
        values.pop("package_uri"),
        values.pop("program"),
        values.pop("program_type"),
        "",
        600,
        "img-local",
        1,
        1,
        values.pop("stdout", ""),
        values.pop("stderr", ""),
        {},
        **values,
    )


@asynccontextmanager
async def _open(folder: Path) -> Any:
    may_answer = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            await may_answer.wait()
            writer.write(ABSENT)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    setup = Setup(PREFIX, "/nowhere", False, 60.0, SETTINGS, RelayPlace("127.0.0.1", port, "token", False))
    node = await asyncio.to_thread(Node, place.take_place(PREFIX, "n", 1), setup, asyncio.get_running_loop())
    desk = Desk(node, setup, may_answer)
    try:
        await desk.sync()
        yield desk
    finally:
        may_answer.set()
        node.close()
        for chunk in desk.chunks:
            chunk.cancel()
        server.close()


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[Desk], Awaitable[None]]], None]]:
    """Runs a scenario with a node."""
    monkeypatch.setenv(place.ENV_FOLDER, str(tmp_path / "nodes"))

    async def go(scenario: Callable[[Desk], Awaitable[None]]) -> None:
        async with _open(tmp_path) as desk:
            await scenario(desk)

    yield lambda scenario: asyncio.run(go(scenario))
    sweep(tmp_path / "nodes")


Run = Callable[[Callable[[Desk], Awaitable[None]]], None]


def test_an_attempt_that_was_stopped_while_it_waited_does_not_begin_after_a_sync(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(make_task(package_uri="oss://t/absent.tar.gz", program="main.py", program_type="python"))
        await asyncio.sleep(0)
        await desk.tell(stops=(FIRST,))
        answer = await desk.sync()
        assert answer.truth is not None
        assert answer.truth.live == {FIRST}
        desk.may_answer.set()
        assert (await desk.until_end()).reason == "stopped"

    run(scenario)


def test_a_chunk_from_before_a_sync_is_refused(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        late = desk.send(make_task())
        await desk.sync()
        with pytest.raises(ChunkRefusedError, match="before the latest sync"):
            await late

    run(scenario)


def test_the_logs_in_an_answer_that_is_lost_come_again_before_the_end(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        line = f"{socket.gethostname()}\n".encode()
        desk.send(make_task())
        assert desk.node._separate is not None
        while not desk.node._separate.ending:
            await asyncio.sleep(0.01)
        lost = await desk.ask(is_lost=True)
        assert [piece.data for piece in lost.pieces] == [line]
        assert (await desk.until_end()).code == 0
        assert [piece.data for piece in desk.pieces] == [line]

    run(scenario)


def test_news_of_many_short_attempts_come_together(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        attempts = [f"job-node1.0.{number}.1" for number in range(40)]
        for attempt in attempts:
            desk.send(make_task(), attempt)
        answers, began = 0, time.monotonic()
        async with asyncio.timeout(60):
            while {event.attempt for event in desk.events if isinstance(event, Exited)} != {*attempts}:
                answers += bool((await desk.ask()).events)
        assert answers <= 2 + (time.monotonic() - began) / 0.045

    run(scenario)


async def check_returned(desk: Desk) -> None:
    chunk = desk.send(make_task())
    async with asyncio.timeout(30):
        while Returned(FIRST) not in desk.events:
            await desk.ask()
        await chunk


def test_attempts_without_room_for_their_notes_are_returned(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        notes = desk.node._layout.root / "logs"
        notes.rmdir()  # nothing can be written there, as on a full disk
        await check_returned(desk)

    run(scenario)


def test_an_error_of_another_kind_returns_the_attempts_that_wait(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        def fail(task: TaskSpec, key: tuple[str, str]) -> None:
            raise LookupError("nobody expects that")

        assert desk.node._separate is not None
        desk.node._separate._fetcher.fetch = fail  # type: ignore[method-assign]  # an error that no file or network makes
        await check_returned(desk)

    run(scenario)


def test_logs_of_a_redirect_path_are_no_objects_of_the_node(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        desk.send(make_task(stdout="oss://t/logs/"))
        assert (await desk.until_end()).code == 0
        (piece,) = desk.pieces
        assert (piece.name.redirect, piece.data) == ("oss://t/logs/", f"{socket.gethostname()}\n".encode())
        assert not [*desk.node._layout.oss.rglob("stdout.*")], "a mapping of that folder would replace it"

    run(scenario)


class SlowInbox(list[Event]):
    """Adds its second event when the first was taken, or a while later if that waits for it."""

    is_waiting = threading.Event()

    def append(self, event: Event) -> None:
        end = time.monotonic() + 1
        if self:
            self.is_waiting.set()
        while self and time.monotonic() < end:
            time.sleep(0.01)
        super().append(event)


def test_an_event_that_comes_while_others_are_taken_wakes_the_node(run: Run) -> None:
    async def scenario(desk: Desk) -> None:
        desk.node._inbox = SlowInbox()
        desk.node._put(Delayed(FIRST, "one"))
        adding = threading.Thread(target=desk.node._put, args=[Delayed(FIRST, "two")])
        adding.start()
        assert SlowInbox.is_waiting.wait(10)
        await asyncio.to_thread(adding.join)
        async with asyncio.timeout(5):
            while desk.node._inbox:
                await asyncio.sleep(0.01)

    run(scenario)


async def _make_in_vain(folder: place.Place) -> None:
    setup = Setup(PREFIX, "/nowhere", False, 60.0, SETTINGS, RelayPlace("127.0.0.1", 1, "token", False))
    with pytest.raises(OSError, match="symbolic links"):
        await asyncio.to_thread(Node, folder, setup, asyncio.get_running_loop())


def test_a_node_that_cannot_be_made_leaves_no_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(place.ENV_FOLDER, str(tmp_path))
    there = place.take_place(PREFIX, "n", 1)
    (there.folder / "runner.sock").symlink_to("runner.sock")  # nothing can be found there
    asyncio.run(_make_in_vain(there))
    os.close(there.lock)
    assert not [thread for thread in threading.enumerate() if thread.name == "relay"]
    port = address.read_port(Layout.at(there.folder).objects_ports)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.LOOPBACK, port))
