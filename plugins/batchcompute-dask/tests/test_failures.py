"""What breaks, on a real cluster of several processes: each instance is accepted once, no two attempts of it run at once."""

from __future__ import annotations

import os
import signal
import time

import pytest
from batchcompute_local.executors.base import Lost, Started, Unreachable
from batchcompute_local.records import ExitRecord
from dask_cluster import DaskCluster, is_running
from executor_desk import Desk

from tests.support.waits import wait_for


@pytest.fixture
def running(request: pytest.FixtureRequest, cluster: DaskCluster, desk: Desk) -> Desk:
    """Two nodes, two programs on each that run for some seconds. The lease is long but for tests that wait for its end."""
    desk.options["lease_seconds"] = getattr(request, "param", 120)
    cluster.up("a", "b")
    desk.open()
    desk.put_program()
    desk.until(lambda: len(desk.nodes) == 2, "both nodes")
    desk.want("job-desk1", desk.task("6"), range(4))
    desk.until(lambda: desk.seen["StartRecord"] == 4, "the starts")
    return desk


short_lease = pytest.mark.parametrize("running", [5], indirect=True)


def node_of(desk: Desk, name: str) -> list[str]:
    """The attempts on a node."""
    return [attempt for attempt, node in desk.claims.items() if node.endswith(f"-{name}")]


def finish(desk: Desk, attempts: int = 4) -> None:
    """Until all is accepted, by that many attempts in all."""
    desk.until(lambda: len(desk.accepted) == len(desk.wanted), "all ends", 90)
    assert {event.code for event in desk.accepted.values()} == {0}
    assert desk.check_lines() == []
    started = {event.attempt for event in desk.history if isinstance(event, Started)}
    assert len(started) == attempts, sorted(started)


def test_programs_survive_their_worker(cluster: DaskCluster, running: Desk) -> None:
    cluster.kill("a")
    cluster.start_worker("a")
    finish(running)
    assert running.seen["Lost"] == 0


@short_lease
def test_attempts_of_a_worker_that_stays_away_run_elsewhere_after_its_lease(
    cluster: DaskCluster, running: Desk
) -> None:
    gone = node_of(running, "a")
    began = time.monotonic()
    cluster.kill("a")
    running.until(lambda: running.seen["Unreachable"] >= 2, "the notes", 20)
    found = [event for event in running.history if isinstance(event, Unreachable)]
    assert sorted(event.attempt for event in found) == sorted(gone)
    assert "-a does not answer for" in found[0].reason
    assert any("-a does not answer" in reason for reason in running.downs.values())
    running.until(lambda: running.seen["Lost"] == 2, "the proof", 30)
    assert time.monotonic() - began >= 5, "not before its lease has ended"
    assert not [pid for pid in cluster.programs() if "vm-a" in os.readlink(f"/proc/{pid}/cwd")]
    finish(running, attempts=6)


@short_lease
def test_a_worker_that_is_stopped_and_woken(cluster: DaskCluster, running: Desk) -> None:
    gone = node_of(running, "a")
    cluster.signal("a", signal.SIGSTOP)
    running.until(lambda: running.seen["Lost"] == 2, "the proof", 40)
    assert {event.attempt for event in running.history if isinstance(event, Lost)} == set(gone)
    cluster.signal("a", signal.SIGCONT)
    running.until(lambda: len(running.nodes) == 2, "its return", 30)
    finish(running, attempts=6)
    running.want("job-desk2", running.task("0.1"), range(8))
    finish(running, attempts=14)


def test_a_worker_that_is_stopped_for_a_moment(cluster: DaskCluster, running: Desk) -> None:
    cluster.signal("a", signal.SIGSTOP)
    time.sleep(2)
    cluster.signal("a", signal.SIGCONT)
    finish(running)
    assert running.seen["Lost"] == 0


def test_attempts_of_a_runner_that_is_killed_run_again(cluster: DaskCluster, running: Desk) -> None:
    killed = [pid for pid, folder in cluster.find_runners() if folder.endswith("-a")]
    assert len(killed) == 1
    os.kill(killed[0], signal.SIGKILL)
    running.until(lambda: running.seen["Lost"] == 2, "the losses", 20)
    finish(running, attempts=6)


def test_a_scheduler_that_is_killed_and_started_again(cluster: DaskCluster, running: Desk) -> None:
    cluster.kill("scheduler")
    running.until(lambda: running.executor is not None and running.executor.trouble, "the trouble", 10)
    cluster.start_scheduler()
    finish(running)
    assert running.seen["Lost"] == 0
    assert running.executor is not None
    assert not running.executor.trouble
    running.want("job-desk2", running.task("0.1"), range(4))
    finish(running, attempts=8)


def test_a_bridge_that_is_killed(running: Desk) -> None:
    pid = running.bridge_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    finish(running)
    assert running.bridge_pid() not in (None, pid)
    assert running.seen["Lost"] == 0


def test_a_service_that_ends_and_begins_again(running: Desk) -> None:
    pid = running.bridge_pid()
    running.close()
    wait_for(lambda: pid is not None and not is_running(pid), "the bridge's end")
    running.nodes.clear()
    running.open()
    finish(running)
    assert running.seen["Lost"] == 0


def test_ends_that_nobody_acknowledged_come_again(cluster: DaskCluster, running: Desk) -> None:
    running.close()
    wait_for(lambda: not cluster.programs(), "the programs' end", 20)
    running.nodes.clear()
    running.open()
    finish(running)
    assert running.seen["Lost"] == 0


def test_a_worker_that_joins_late(cluster: DaskCluster, running: Desk) -> None:
    running.want("job-desk1", running.task("1"), range(4, 44))
    cluster.start_worker("c")
    finish(running, attempts=44)
    assert any("-c/" in event.cwd for event in running.accepted.values() if isinstance(event, ExitRecord))


def test_a_worker_of_another_version_is_refused_in_words(cluster: DaskCluster, desk: Desk) -> None:
    cluster.start_scheduler()
    cluster.start_worker("old", version="2.9.0")
    desk.open()
    desk.until(lambda: desk.downs, "the refusal")
    (reason,) = desk.downs.values()
    assert "has batchcompute-dask 2.9.0, and the service has 3.1.0: they must be the same" in reason
    assert desk.nodes == {}


def test_a_stop_reaches_a_node_that_was_away(cluster: DaskCluster, desk: Desk) -> None:
    desk.options["lease_seconds"] = 120
    cluster.up("a")
    desk.open()
    desk.put_program()
    desk.want("job-desk1", desk.task("600"), range(1))
    desk.until(lambda: desk.seen["StartRecord"], "the start")
    (attempt,) = desk.claims
    cluster.kill("a")
    assert desk.executor is not None
    desk.executor.stop([attempt])
    cluster.start_worker("a")
    desk.until(lambda: desk.accepted, "its end", 20)
    assert desk.accepted["job-desk1.0.0"].reason == "stopped"


def test_a_job_that_is_deleted_is_forgotten_by_a_node_that_was_away(cluster: DaskCluster, desk: Desk) -> None:
    cluster.up("a", "b")
    desk.open()
    desk.put_program("raise SystemExit(1)")  # the working folder of a failed instance stays
    desk.until(lambda: len(desk.nodes) == 2, "both nodes")
    desk.want("job-desk1", desk.task(), range(8))
    desk.until(lambda: len(desk.accepted) == 8, "all ends")
    desk.until(lambda: desk.seen["ExitRecord"] >= 8, "the ends")
    found = [*cluster.nodes.glob("*/*/work/job-desk1")]
    assert len(found) == 2
    cluster.kill("a")
    desk.jobs.discard("job-desk1")
    assert desk.executor is not None
    desk.executor.forget("job-desk1")
    wait_for(lambda: sum(folder.exists() for folder in found) == 1, "one to be removed", 20)
    cluster.start_worker("a")
    wait_for(lambda: not any(folder.exists() for folder in found), "the other one", 20)
