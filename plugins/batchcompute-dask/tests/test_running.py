"""Attempts on a real cluster of worker processes: run, stopped, ended, recovered."""

from __future__ import annotations

from batchcompute_local.executors.base import Exited, Started
from dask_cluster import DaskCluster
from executor_desk import Desk

FAILS = """
import os, sys
print("to stdout"); print("to stderr", file=sys.stderr)
sys.exit(3)
"""


def test_instances_run_on_all_nodes_and_end_once(cluster: DaskCluster, desk: Desk) -> None:
    cluster.up("a", "b")
    desk.open()
    desk.put_program()
    desk.until(lambda: len(desk.nodes) == 2, "both nodes")
    desk.want("job-desk1", desk.task("0.1"), range(12))
    desk.until(lambda: len(desk.accepted) == 12, "all ends")
    assert {event.code for event in desk.accepted.values()} == {0}
    used = {event.attempt for event in desk.history if isinstance(event, Exited)}
    assert len(used) == 12
    assert desk.check_lines() == []
    assert desk.seen["Lost"] == desk.seen["Unreachable"] == 0


def test_output_and_exit_code_of_a_program(cluster: DaskCluster, desk: Desk) -> None:
    cluster.up("a")
    desk.open()
    desk.put_program(FAILS)
    desk.want("job-desk1", desk.task(), range(1))
    desk.until(lambda: desk.accepted, "its end")
    assert desk.accepted["job-desk1.0.0"].code == 3
    folder = desk.layout.work("job-desk1")
    assert (folder / "stdout.job-desk1.T.0").read_text() == "to stdout\n"
    assert (folder / "stderr.job-desk1.T.0").read_text().startswith("to stderr\nbatchcompute: ended with exit code 3")


def test_attempts_are_stopped(cluster: DaskCluster, desk: Desk) -> None:
    cluster.up("a")
    desk.open()
    desk.put_program()
    desk.ahead = 1
    desk.want("job-desk1", desk.task("600"), range(3))
    desk.until(lambda: sum(isinstance(each, Started) for each in desk.history) == 2, "the starts")
    assert desk.executor is not None
    desk.executor.stop([*desk.claims])
    desk.until(lambda: not desk.claims, "their ends", 20)
    assert {event.reason for event in desk.accepted.values()} == {"stopped"}
    assert len(desk.accepted) == 3, "the third waited for a slot"
    assert cluster.programs() == []
