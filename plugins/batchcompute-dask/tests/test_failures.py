"""What breaks, on a real cluster of several processes: each instance is accepted once, no two attempts of it run at once.

The start of a cluster is most of the work, so a test has several things break one after the other, or at once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchcompute_local.executors.base import Exited, Lost, Started, Unreachable
from batchcompute_local.records import ExitRecord
from dask_cluster import DaskCluster, is_running
from executor_desk import Desk

from tests.support.waits import wait_for

LEASE = 4.0


def begin(cluster: DaskCluster, desk: Desk, *names: str, lease: float = 120.0) -> None:
    """These nodes, and two programs on each that run until `finish`. The lease is long but for tests that wait for its end."""
    open_with(cluster, desk, *names, lease=lease)
    want(desk, "job-desk1", 2 * len(names))


def open_with(cluster: DaskCluster, desk: Desk, *names: str, lease: float = 120.0) -> None:
    """These nodes."""
    desk.options["lease_seconds"] = lease
    cluster.up(*names)
    desk.open()
    desk.put_program()
    desk.until(lambda: len(desk.nodes) == len(names), "all nodes")


def want(desk: Desk, job: str, number: int) -> None:
    """Have so many more programs run, on free slots."""
    before = len(begun(desk))
    desk.want(job, desk.task("300"), range(number))
    desk.until(lambda: len(begun(desk)) == before + number, "the starts")


def begun(desk: Desk) -> set[str]:
    """The attempts that have begun. A start is not reported where the end comes first."""
    return {
        event.attempt
        for event in desk.history
        if isinstance(event, Started) or (isinstance(event, Exited) and event.started)
    }


@contextmanager
def returning(desk: Desk, number: int) -> Iterator[None]:
    """What is done inside has so many nodes go away; wait until they are there again."""
    before = desk.seen["NodeUp"]
    yield
    desk.until(lambda: desk.seen["NodeUp"] >= before + number, "their return")


def node_of(desk: Desk, name: str) -> list[str]:
    """The attempts on a node."""
    return [attempt for attempt, node in desk.claims.items() if node.endswith(f"-{name}")]


def finish(desk: Desk, attempts: int) -> None:
    """Until all is accepted, by that many attempts in all."""
    desk.end()
    desk.until(lambda: len(desk.accepted) == len(desk.wanted), "all ends", 90)
    desk.end(False)
    assert {event.code for event in desk.accepted.values()} == {0}
    assert desk.check_lines() == []
    assert len(begun(desk)) == attempts, sorted(begun(desk))


def test_programs_survive_their_worker_and_the_bridge(cluster: DaskCluster, desk: Desk) -> None:
    begin(cluster, desk, "a", "b")
    with returning(desk, 1):
        cluster.kill("a")
        cluster.start_worker("a")
    cluster.signal("b", signal.SIGSTOP)
    time.sleep(2)  # a moment, shorter than its lease
    cluster.signal("b", signal.SIGCONT)
    pid = desk.bridge_pid()
    assert pid is not None
    with returning(desk, 2):
        os.kill(pid, signal.SIGKILL)
    assert desk.bridge_pid() not in (None, pid)
    finish(desk, attempts=4)
    assert desk.seen["Lost"] == 0


def test_programs_survive_the_scheduler_and_the_service(cluster: DaskCluster, desk: Desk) -> None:
    begin(cluster, desk, "a", "b")
    with returning(desk, 2):
        cluster.kill("scheduler")
        desk.until(lambda: desk.executor is not None and desk.executor.trouble, "the trouble", 10)
        cluster.start_scheduler()
    assert desk.executor is not None
    assert not desk.executor.trouble
    with returning(desk, 2):
        restart(desk, lambda: None)
    finish(desk, attempts=4)

    def end_programs() -> None:
        desk.end()
        wait_for(lambda: not cluster.programs(), "the programs' end", 20)

    want(desk, "job-desk2", 4)
    restart(desk, end_programs)  # ends that nobody acknowledged come again
    finish(desk, attempts=8)
    assert desk.seen["Lost"] == 0


def restart(desk: Desk, meanwhile: Callable[[], object]) -> None:
    """The service ends and begins again."""
    pid = desk.bridge_pid()
    desk.close()
    wait_for(lambda: pid is not None and not is_running(pid), "the bridge's end")
    meanwhile()
    desk.nodes.clear()
    desk.open()


def test_attempts_run_elsewhere_when_the_lease_of_their_node_has_ended(cluster: DaskCluster, desk: Desk) -> None:
    """One worker is killed and stays away; another one is stopped, and woken when it was given up."""
    begin(cluster, desk, "a", "b", "c", lease=LEASE)
    gone = {name: set(node_of(desk, name)) for name in "ab"}
    began = time.monotonic()
    cluster.kill("a")
    cluster.signal("b", signal.SIGSTOP)
    desk.until(lambda: desk.seen["Unreachable"] >= 4, "the notes", 20)
    reasons = {event.attempt: event.reason for event in desk.history if isinstance(event, Unreachable)}
    for name, attempts in gone.items():
        assert len(attempts) == 2
        assert all(f"-{name} does not answer for" in reasons.pop(attempt) for attempt in attempts)
        assert any(f"-{name} does not answer" in reason for reason in desk.downs.values())
    assert reasons == {}
    desk.until(lambda: desk.seen["Lost"] == 4, "the proof", 40)
    assert time.monotonic() - began >= LEASE, "not before the lease has ended"
    assert {event.attempt for event in desk.history if isinstance(event, Lost)} == gone["a"] | gone["b"]
    left = [os.readlink(f"/proc/{pid}/cwd") for pid in cluster.programs()]
    assert not [folder for folder in left if "-a/" in folder or "-b/" in folder]
    cluster.signal("b", signal.SIGCONT)
    desk.until(lambda: len(desk.nodes) == 2, "its return", 30)
    finish(desk, attempts=10)
    want(desk, "job-desk2", 4)
    assert len(node_of(desk, "b")) == 2, "it is used again"
    finish(desk, attempts=14)


def test_workers_that_join_late_and_a_runner_that_is_killed(cluster: DaskCluster, desk: Desk) -> None:
    """One that joins is of another version, and is refused in words."""
    begin(cluster, desk, "a")
    desk.want("job-desk1", desk.task("300"), range(2, 10))
    cluster.start_worker("old", version="2.9.0")
    cluster.start_worker("b")
    desk.until(lambda: len(begun(desk)) == 4, "the starts on another one")
    desk.until(lambda: desk.downs, "the refusal")
    (reason,) = desk.downs.values()
    assert "has batchcompute-dask 2.9.0, and the service has 3.1.0: they must be the same" in reason
    assert sorted(name[-2:] for name in desk.nodes) == ["-a", "-b"]

    (killed,) = [pid for pid, folder in cluster.find_runners() if folder.endswith("-a")]
    gone = set(node_of(desk, "a"))
    os.kill(killed, signal.SIGKILL)
    desk.until(lambda: desk.seen["Lost"] == 2, "the losses", 20)
    assert {event.attempt for event in desk.history if isinstance(event, Lost)} == gone
    finish(desk, attempts=12)
    assert any("-b/" in event.cwd for event in desk.accepted.values() if isinstance(event, ExitRecord))


def test_what_was_wanted_of_a_node_that_was_away(cluster: DaskCluster, desk: Desk) -> None:
    """Attempts are stopped, and a job that was deleted is forgotten, as soon as it is there again."""
    desk.put_program("raise SystemExit(1)", "oss://t/fails.tar.gz")  # the working folder of a failed instance stays
    open_with(cluster, desk, "a", "b")
    desk.want("job-desk1", desk.task(uri="oss://t/fails.tar.gz"), range(8))
    desk.until(lambda: len(desk.accepted) == 8, "all ends")
    found = [*cluster.nodes.glob("*/*/work/job-desk1")]
    assert len(found) == 2
    want(desk, "job-desk2", 4)
    away = node_of(desk, "a")
    cluster.kill("a")
    desk.jobs.discard("job-desk1")
    assert desk.executor is not None
    desk.executor.stop(away)
    desk.executor.forget("job-desk1")
    wait_for(lambda: sum(folder.exists() for folder in found) == 1, "one to be removed", 20)
    cluster.start_worker("a")
    desk.until(lambda: not node_of(desk, "a"), "their ends", 20)
    stopped = [event for event in desk.accepted.values() if event.attempt in away]
    assert [event.reason for event in stopped] == ["stopped"] * 2
    wait_for(lambda: not any(folder.exists() for folder in found), "the other one", 20)
