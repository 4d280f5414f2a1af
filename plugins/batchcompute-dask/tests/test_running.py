"""Attempts on a real cluster of worker processes: run, fail, are stopped."""

from __future__ import annotations

from batchcompute_local.executors.base import Exited, Started
from dask_cluster import DaskCluster
from executor_desk import Desk

FAILS = """
import os, sys
print("to stdout"); print("to stderr", file=sys.stderr)
sys.exit(3)
"""


def test_attempts_run_to_their_end_fail_and_are_stopped(cluster: DaskCluster, desk: Desk) -> None:
    """One cluster, since its start is most of the work."""
    cluster.up("a", "b")
    desk.open()
    desk.put_program()
    desk.put_program(FAILS, "oss://t/fails.tar.gz")
    desk.until(lambda: len(desk.nodes) == 2, "both nodes")
    check_ends(desk)
    check_failure(desk)
    check_stops(cluster, desk)
    assert desk.seen["Lost"] == desk.seen["Unreachable"] == 0


def check_ends(desk: Desk) -> None:
    """Instances end once, each by its only attempt."""
    desk.want("job-desk1", desk.task("0.1"), range(12))
    desk.until(lambda: len(desk.accepted) == 12, "all ends")
    assert {event.code for event in desk.accepted.values()} == {0}
    assert len({event.attempt for event in desk.history if isinstance(event, Exited)}) == 12
    assert desk.check_lines() == []


def check_failure(desk: Desk) -> None:
    """Output and exit code of a program."""
    desk.want("job-desk2", desk.task(uri="oss://t/fails.tar.gz"), range(1))
    desk.until(lambda: len(desk.accepted) == 13, "its end")
    assert desk.accepted["job-desk2.0.0"].code == 3
    folder = desk.layout.work("job-desk2")
    assert (folder / "stdout.job-desk2.T.0").read_text() == "to stdout\n"
    assert (folder / "stderr.job-desk2.T.0").read_text().startswith("to stderr\nbatchcompute: ended with exit code 3")


def starts_of(desk: Desk, job: str) -> set[str]:
    """The attempts of a job that have begun."""
    return {each.attempt for each in desk.history if isinstance(each, Started) and each.attempt.startswith(f"{job}.")}


def check_stops(cluster: DaskCluster, desk: Desk) -> None:
    """Attempts are stopped, and those that wait on their node for a slot."""
    desk.ahead = 1
    desk.want("job-desk3", desk.task("600"), range(6))
    desk.until(lambda: len(starts_of(desk, "job-desk3")) == 4, "the starts")
    assert len(desk.claims) == 6, "two wait for a slot"
    assert desk.executor is not None
    desk.executor.stop([*desk.claims])
    desk.until(lambda: not desk.claims, "their ends", 20)
    ends = [event for instance, event in desk.accepted.items() if instance.startswith("job-desk3")]
    assert [event.reason for event in ends] == ["stopped"] * 6
    assert cluster.programs() == []
