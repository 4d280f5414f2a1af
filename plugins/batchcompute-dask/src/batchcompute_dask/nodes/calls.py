"""What the bridge has Dask call in a worker. The first argument of each is the version of the bridge, compared before all else.

The names here, the order of the arguments and `messages.Sealed` stay as they are in all versions, so that a worker of another
version refuses in words. A process is one node for each service; Dask's worker in it is another one after a lost connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from typing import TYPE_CHECKING

from batchcompute_dask import __version__
from batchcompute_dask.messages import Chunk, ChunkRefusedError, Exchange, Refusal, Sealed, Setup

if TYPE_CHECKING:
    from distributed import Worker

    from batchcompute_dask.nodes.node import Node

_nodes: dict[str, Node] = {}
"""By the prefix of the service's jobs."""
_openings: dict[str, asyncio.Task[Node]] = {}
"""Those that are being made: that goes on when the question is lost."""
_ROUTINE = "Run out-of-band function %r"


async def exchange(version: str, asked: Sealed, dask_worker: Worker | None = None) -> Sealed | str:
    """Answer a question of the bridge: an Answer or a Refusal; a text if it is of another version."""
    if version != __version__:
        where = dask_worker.address if dask_worker is not None else "?"
        return f"the worker at {where} has batchcompute-dask {__version__}, and the service has {version}: they must be the same"
    question = asked.open()
    assert isinstance(question, Exchange)  # noqa: S101  # for mypy
    try:
        node = _nodes.get(question.prefix)
        if node is None:
            node = await asyncio.shield(_opening(question, dask_worker))
    except (OSError, ValueError, RuntimeError) as error:
        return Sealed(Refusal(f"a node cannot be made at {dask_worker.address if dask_worker else '?'}: {error}"))
    return Sealed(await node.answer(question))


async def run_chunk(version: str, chunk: Sealed) -> None:
    """Run the attempts of a chunk; ends when all of them are over. Raises ChunkRefusedError."""
    if version != __version__:
        raise ChunkRefusedError(f"this is batchcompute-dask {__version__}, and the service has {version}")
    opened = chunk.open()
    assert isinstance(opened, Chunk)  # noqa: S101  # for mypy
    node = _nodes.get(opened.prefix)
    if node is None:
        raise ChunkRefusedError("this worker has not heard of the service yet")
    await node.run(opened)


def _opening(question: Exchange, worker: Worker | None) -> asyncio.Task[Node]:
    """Return the task that makes the node. Raises ValueError if the question is no sync."""
    if question.setup is None:
        raise ValueError("it has been started anew")
    if question.prefix not in _openings:
        task = asyncio.create_task(_open(question.prefix, question.setup, worker))
        task.add_done_callback(lambda _: _openings.pop(question.prefix))
        _openings[question.prefix] = task
    return _openings[question.prefix]


async def _open(prefix: str, setup: Setup, worker: Worker | None) -> Node:
    """Make the node of this process for a service. Raises OSError, RuntimeError, ValueError."""
    from batchcompute_dask.nodes.node import Node
    from batchcompute_dask.nodes.place import take_place

    _be_quiet()
    name = "" if worker is None or worker.name == worker.address else str(worker.name)
    place = take_place(prefix, name, 1 if worker is None else worker.state.nthreads)
    try:
        node = await asyncio.to_thread(Node, place, setup, asyncio.get_running_loop(), _context_of(worker))
    except BaseException:
        os.close(place.lock)
        raise
    _nodes[prefix] = node
    return node


def _context_of(worker: Worker | None) -> ssl.SSLContext | None:
    """Return what this worker connects with; None without TLS."""
    found = None if worker is None else worker.security.get_connection_args("worker").get("ssl_context")
    return found if isinstance(found, ssl.SSLContext) else None


def close_nodes() -> None:
    """Let go of the runners: those with programs keep running until their leases end."""
    while _nodes:
        _nodes.popitem()[1].close()


def _be_quiet() -> None:
    """Dask logs each call, and there is one each second."""
    logging.getLogger("distributed.worker").addFilter(
        lambda record: not (record.msg == _ROUTINE and record.args == ("exchange",))
    )
