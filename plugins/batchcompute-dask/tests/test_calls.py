"""What the bridge calls in a worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_dask import __version__
from batchcompute_dask.messages import Exchange, Refusal, RelayPlace, Sealed, Setup
from batchcompute_dask.nodes import calls, place
from batchcompute_local.settings import Settings

SETUP = Setup("job-calls", "/nowhere", False, 30.0, Settings(), RelayPlace("127.0.0.1", 1, "", False))


class SlowNode:
    """A node that is made when the test says so."""

    go = threading.Event()
    made = 0

    def __init__(self, *_: Any) -> None:
        assert self.go.wait(20)
        SlowNode.made += 1

    async def answer(self, asked: Exchange) -> Refusal:
        return Refusal(f"epoch {asked.epoch}")

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(place.ENV_FOLDER, str(tmp_path / "nodes"))
    monkeypatch.setattr("batchcompute_dask.nodes.node.Node", SlowNode)
    monkeypatch.setattr(SlowNode, "go", threading.Event())
    monkeypatch.setattr(SlowNode, "made", 0)
    yield
    calls.close_nodes()


def ask(epoch: int) -> Any:
    return calls.exchange(__version__, Sealed(Exchange("job-calls", epoch, setup=SETUP)))


async def _lose_a_question() -> Any:
    first = asyncio.create_task(ask(1))
    await asyncio.sleep(0.05)  # it waits for the node
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    SlowNode.go.set()
    return (await ask(2)).open()


def test_the_making_of_a_node_goes_on_when_the_question_is_lost() -> None:
    assert asyncio.run(_lose_a_question()) == Refusal("epoch 2")
    assert SlowNode.made == 1, "another one could not take the same folder"


def test_another_version_is_refused_before_anything_is_unpickled() -> None:
    answer = asyncio.run(calls.exchange("1.0", object()))  # type: ignore[arg-type]  # what no version understands
    assert isinstance(answer, str)
    assert f"has batchcompute-dask {__version__}, and the service has 1.0" in answer
