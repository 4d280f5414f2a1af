"""The bridge: `python -m batchcompute_dask.bridge FD`, started by the daemon, with one end of a channel as its descriptor FD.

It ends when the daemon has closed the other end, or is gone. What it knows is in memory: the next one finds out again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from batchcompute_local.attempt_files import AttemptKeys
from batchcompute_local.executors.base import Event, Exited
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

from batchcompute_dask import channel
from batchcompute_dask.bridge.book import Book
from batchcompute_dask.bridge.chunks import Estimates
from batchcompute_dask.bridge.cluster import Cluster
from batchcompute_dask.bridge.logs import LogWriter
from batchcompute_dask.bridge.relay import Relay
from batchcompute_dask.certificates import with_certificate
from batchcompute_dask.messages import Acknowledge, Begin, Events, Forget, Jobs, Setup, Stop, Truth, Work

_LOOK_SECONDS = 0.5
_TOGETHER_SECONDS = 0.002
_LONGEST_MESSAGE = 1 << 20
"""The buffer of the reader; a longer message is read in parts."""


class Bridge:
    """Between the daemon and the cluster."""

    def __init__(self, begin: Begin, writer: asyncio.StreamWriter) -> None:
        layout = Layout(Path(begin.root))
        self._writer = writer
        self._events: list[Event] = []
        self._book = Book(begin, self._tell)
        self._estimates = Estimates()
        setup = Setup(
            begin.prefix,
            begin.root,
            begin.options.shared_files,
            begin.options.lease_seconds,
            _settings_of_nodes(begin),
            Relay(layout, begin.options).place,
        )
        self._logs = LogWriter(layout, begin.settings.kept_attempts)
        self._cluster = Cluster(
            begin, setup, AttemptKeys.of(layout), self._logs, self._book, self._estimates, self._report
        )

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Work until the daemon is gone."""
        tasks = [asyncio.create_task(work) for work in (self._cluster.run(), self._look(), self._read(reader))]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _look(self) -> None:
        while True:
            self._book.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self._obey(await read_message(reader))

    def _obey(self, message: object) -> None:
        match message:
            case Work(groups):
                self._cluster.start(groups)
            case Stop(attempts):
                self._cluster.stop(attempts)
            case Acknowledge(attempts):
                self._book.acknowledge(attempts)
                self._logs.forget(attempts)
            case Forget(jobs):
                self._book.forget(jobs)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Exited):
            self._estimates.note(event)
        if not self._events:
            asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self._flush)
        self._events.append(event)

    def _flush(self) -> None:
        events, self._events = self._events, []
        self._writer.write(channel.frame(Events(tuple(events))))

    def _report(self, message: object) -> None:
        if isinstance(message, Truth):
            message = Jobs(message.jobs)
        self._writer.write(channel.frame(message))


def _settings_of_nodes(begin: Begin) -> Settings:
    """Return what nodes need: a node that shares no files reaches buckets through the service, and has no secret of theirs."""
    settings = replace(begin.settings, executors={})
    return settings if begin.options.shared_files else replace(settings, buckets={})


async def read_message(reader: asyncio.StreamReader) -> object:
    """Return the next message. Raises IncompleteReadError if the other end is gone."""
    length = channel.read_length(await reader.readexactly(channel.LENGTH_BYTES))
    return channel.parse(await reader.readexactly(length))


async def main(descriptor: int) -> None:
    """Work until the daemon is gone."""
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor), limit=_LONGEST_MESSAGE)
    with suppress(asyncio.IncompleteReadError):
        begin = await read_message(reader)
        assert isinstance(begin, Begin)  # noqa: S101  # for mypy: it is the first message
        options = with_certificate(Layout(Path(begin.root)), begin.options)
        await Bridge(replace(begin, options=options), writer).run(reader)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what is lost is found again, and said here
    asyncio.run(main(int(sys.argv[1])))
