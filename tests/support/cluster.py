"""An executor with nodes whose programs only exist in memory: the test decides what nodes and programs do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from batchcompute_local.executors.base import Node, NodeDown, NodeUp, Recovered, Sink

from tests.support.engine import FakeExecutor, World


class FakeCluster(FakeExecutor):
    """As FakeExecutor, with nodes. What is claimed is live after a restart, unless it is in `ended` or `lost`."""

    look_ahead = 0
    ahead_seconds = 0.5

    def __init__(self, nodes: tuple[Node, ...] = (), recovered: Recovered | None = None) -> None:
        super().__init__(recovered)
        self.nodes = nodes
        self.lost: set[str] = set()
        self.claims: dict[str, str] = {}

    def open(self, sink: Sink, claims: Mapping[str, str]) -> Recovered:  # type: ignore[override]  # claims are needed here
        self.sink = sink
        self.claims = dict(claims)
        for node in self.nodes:
            sink(NodeUp(node))
        ended = {event.attempt for event in self.recovered.ended}
        live = self.recovered.live | (self.claims.keys() - ended - self.lost)
        return Recovered(frozenset(live), self.recovered.ended)

    def placed(self) -> dict[str, list[str]]:
        """The attempts by node, in order."""
        found: dict[str, list[str]] = {}
        for launch in self.launched:
            found.setdefault(launch.node, []).append(launch.attempt)
        return found


class ClusterWorld(World):
    """A service over a store file and a fake cluster, turned by hand."""

    executor: FakeCluster

    def __init__(self, folder: Path, *nodes: Node, look_ahead: int = 0, images: Sequence[str] = ()) -> None:
        cluster = FakeCluster(nodes)
        cluster.look_ahead = look_ahead
        super().__init__(folder, 1, cluster, images)

    def up(self, *nodes: Node) -> None:
        """These are there, or have other values."""
        for node in nodes:
            self.executor.sink(NodeUp(node))
        self.engine.turn()

    def down(self, name: str) -> None:
        """This node is to get nothing more."""
        self.executor.sink(NodeDown(name))
        self.engine.turn()

    def why(self, job_id: str) -> str:
        """Why a job waits."""
        found = self.do(lambda turn: self.service.get_job_details(turn, 1, job_id, {}))
        return str(found["Reason"])
