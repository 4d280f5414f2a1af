"""What the bridge does with the answers of nodes, without Dask: the test answers in their place."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable
from pathlib import Path

import pytest
from batchcompute_dask.bridge.book import Book
from batchcompute_dask.bridge.chunks import Estimates
from batchcompute_dask.bridge.cluster import Cluster
from batchcompute_dask.bridge.logs import LogWriter
from batchcompute_dask.messages import Answer, Begin, Exchange, LogName, LogPiece, RelayPlace, Setup, Truth
from batchcompute_dask.settings import Options
from batchcompute_local.attempt_files import AttemptKeys
from batchcompute_local.executors.base import Event, Node, NodeUp
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

ATTEMPT = "job-1.0.0.1"
PIECE = LogPiece(LogName(ATTEMPT, "job-1", "T", 0, "stdout", ""), 0, b"one\n")


class FullWriter(LogWriter):
    """Finds a full disk until that is changed."""

    is_full = True

    def write(self, pieces: Iterable[LogPiece]) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(pieces)


class Talks(Cluster):
    """With one node, which sends a log until it is received. `asked` are the questions."""

    def __init__(self, root: Path) -> None:
        options, settings = Options("tcp://h:1", insecure=True, lease_seconds=2.0), Settings(grace_seconds=0.1)
        begin = Begin(7, str(root), "job-", options, settings, {ATTEMPT: "n"}, ())
        self.events: list[Event] = []
        self.asked: list[Exchange] = []
        self.errors = 0
        layout = Layout.at(root)
        layout.create()
        self.writer = FullWriter(layout, 10)
        book = Book(begin, self.events.append)
        setup = Setup("job-", str(root), False, 2.0, settings, RelayPlace("127.0.0.1", 1, "", False))
        super().__init__(begin, setup, AttemptKeys.of(layout), self.writer, book, Estimates(), lambda _: None)

    async def _ask(self, address: str, asked: Exchange, seconds: float) -> Answer:
        await asyncio.sleep(0.01)
        self.asked.append(asked)
        if self.errors:
            self.errors -= 1
            raise LookupError("nobody expects that")
        answer = Answer(Node("n", "h", 1), "s", asked.epoch, 1.0, 1, ())
        if asked.setup is not None:
            return Answer(answer.node, "s", asked.epoch, 1.0, 1, (), Truth(frozenset([ATTEMPT]), ()))
        return answer if asked.received == 1 else Answer(answer.node, "s", asked.epoch, 1.0, 1, (), None, (PIECE,), 1)


async def until(cluster: Talks, count: int) -> None:
    """Have so many questions asked."""
    async with asyncio.timeout(30):
        while len(cluster.asked) < count:
            await asyncio.sleep(0.01)


def test_a_full_disk_does_not_cost_a_node_its_lease(tmp_path: Path) -> None:
    async def scenario() -> Talks:
        cluster = Talks(tmp_path)
        cluster._note_workers(["tcp://a:1"])
        await until(cluster, 7)  # there is a pause after each
        assert [type(event) for event in cluster.events] == [NodeUp], "its answers count"
        assert {each.received for each in cluster.asked if each.setup is None} == {0}
        cluster.writer.is_full = False
        await until(cluster, 9)
        cluster._note_workers([])
        return cluster

    cluster = asyncio.run(scenario())
    assert [type(event) for event in cluster.events] == [NodeUp]
    assert cluster.asked[-1].received == 1
    assert (tmp_path / "work/job-1/stdout.job-1.T.0").read_bytes() == b"one\n"


def test_a_talk_that_ended_by_an_error_begins_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> Talks:
        cluster = Talks(tmp_path)
        cluster.errors, cluster.writer.is_full = 1, False
        cluster._note_workers(["tcp://a:1"])
        await until(cluster, 1)
        while not cluster._nodes["tcp://a:1"].done():
            await asyncio.sleep(0.01)
        cluster._note_workers(["tcp://a:1"])
        await until(cluster, 3)
        cluster._note_workers([])
        return cluster

    cluster = asyncio.run(scenario())
    assert [each.setup is not None for each in cluster.asked] == [True, True, False]
    assert "LookupError: nobody expects that" in caplog.text
