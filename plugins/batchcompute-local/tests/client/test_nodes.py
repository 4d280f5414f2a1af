"""The nodes of a cluster in `local status`, and in `job show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import self_status
from batchcompute_local.client.commands import describe_nodes
from batchcompute_local.executors.base import Node

from batchcompute import JobDetails
from batchcompute.cli import attempts
from tests.support.cluster import ClusterWorld, FakeCluster
from tests.support.descriptions import describe


def _views(tmp_path: Path, *nodes: Node, count: int = 1) -> tuple[ClusterWorld, str]:
    world = ClusterWorld(tmp_path, *nodes)
    return world, world.create(describe({"A": {"InstanceCount": count}}))


def test_status_shows_nodes_those_that_are_away_first_and_what_the_executor_says(tmp_path: Path) -> None:
    world, _ = _views(tmp_path, Node("n1", "alpha", 2), Node("n2", "n2", 1), Node("n3", "gamma", 1), count=4)
    world.executor.sink(daemon_down := _down("n2"))
    world.engine.turn()
    lines = list(describe_nodes(world.engine.nodes(), {"dashboard": "http://127.0.0.1:8787/status"}))
    assert lines == [
        "Nodes: 2 are there, 1 away.",
        f"  n2: away with 1 instances: {daemon_down.reason}",
        "  n1 on alpha: 2 instances, 2 slots",
        "  n3 on gamma: 1 instances, 1 slots",
        "Dashboard: http://127.0.0.1:8787/status",
    ]
    world.engine.store.close()


def _down(name: str) -> Any:
    from batchcompute_local.executors.base import NodeDown

    return NodeDown(name, "it does not answer since 12:00:00")


def test_status_names_twenty_of_many_nodes(tmp_path: Path) -> None:
    world, _ = _views(tmp_path, *(Node(f"n{number}", "", 1) for number in range(30)))
    lines = list(describe_nodes(world.engine.nodes(), {}))
    assert (len(lines), lines[0], lines[-1]) == (
        22,
        "Nodes: 30 are there.",
        "  and 10 more; --format json has all of them",
    )
    world.engine.store.close()


def test_a_service_without_nodes_shows_none() -> None:
    assert list(describe_nodes([], {})) == []


def test_an_executor_that_cannot_describe_itself_breaks_no_status(caplog: pytest.LogCaptureFixture) -> None:
    executor: Any = FakeCluster()
    assert self_status.describe(executor) == {}
    executor.describe = lambda: {"dashboard": "http://d"}
    assert self_status.describe(executor) == {"dashboard": "http://d"}
    executor.describe = lambda: 1 / 0
    assert self_status.describe(executor) == {}
    assert "the executor cannot describe itself: ZeroDivisionError" in caplog.text


def test_job_show_names_the_node_of_each_attempt(tmp_path: Path) -> None:
    world, job = _views(tmp_path, Node("n1", "alpha", 2))
    found = world.do(lambda turn: world.service.get_job_details(turn, 1, job, {"Task": "A", "Instance": "0"}))
    instance = JobDetails.from_wire(found).tasks["A"].instances[0]
    assert instance.attempts[0].node == "n1"
    assert any("on node n1" in line for line in attempts.whole(job, "A", 0, instance))
    world.engine.store.close()
