"""Which node an instance goes to, and who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.executors.base import Delayed, Exited, Lost, Node, Recovered, Returned, Started, Unreachable
from batchcompute_local.jobs.turn import Turn

from tests.support.cluster import ClusterWorld, FakeCluster
from tests.support.descriptions import describe


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ClusterWorld]:
    """A service without nodes; a test adds them."""
    made = ClusterWorld(tmp_path)
    yield made
    made.engine.store.close()


def node(name: str, slots: int = 4, cpu: int = 400, memory: int = 4096, *images: str) -> Node:
    return Node(name, f"host-of-{name}", slots, cpu, memory, frozenset(images))


def task(cpu: int = 100, memory: int = 1, count: int = 1, image: str = "img-local") -> dict[str, Any]:
    return {"ResourceDescription": {"Cpu": cpu, "Memory": memory}, "InstanceCount": count, "ImageId": image}


def test_an_instance_waits_for_a_node_and_its_place_is_stored_before_it_starts(world: ClusterWorld) -> None:
    job = world.create(describe({"A": task()}))
    assert (world.executor.launched, world.why(job)) == ([], "no node is there")
    world.up(node("n1"))
    assert world.executor.placed() == {"n1": [f"{job}.0.0.1"]}
    assert world.why(job) == ""
    crashed = FakeCluster((node("n1"),))
    world.crash(crashed)
    assert crashed.claims == {f"{job}.0.0.1": "n1"}
    assert crashed.launched == []  # nobody knows more: it is not run again
    world.end(f"{job}.0.0.1")
    assert world.job(job)["State"] == "Terminated"


def test_two_half_free_nodes_are_no_whole_one(world: ClusterWorld) -> None:
    world.up(node("n1"), node("n2"))
    small = world.create(describe({"A": task(300), "B": task(300)}))
    assert {name: len(found) for name, found in world.executor.placed().items()} == {"n1": 1, "n2": 1}
    large = world.create(describe({"A": task(200)}))
    assert world.job(large)["State"] == "Waiting"
    assert world.why(large) == "asks for Cpu 200 and Memory 1; no node has it free now, and n1 is kept for it"
    world.end(f"{small}.1.0.1")
    assert world.executor.placed()["n2"] == [f"{small}.1.0.1", f"{large}.0.0.1"]


@pytest.mark.parametrize(("cpu", "memory", "slots"), [(400, 0, 4), (0, 4096, 4), (0, 0, 4)])
def test_each_limit_of_a_node_holds(world: ClusterWorld, cpu: int, memory: int, slots: int) -> None:
    world.up(node("n1", slots, cpu, memory))
    world.create(describe({"A": task(100, 1024, 9)}))
    assert len(world.executor.launched) == 4


def test_a_request_that_no_node_could_ever_satisfy_says_so_and_holds_up_nobody(tmp_path: Path) -> None:
    world = ClusterWorld(tmp_path, node("n1"), node("n2", memory=1024), images=["img-gpu"])
    never = {
        "no node has Memory 65536 (64 GB); the largest has 4096": task(memory=65536),
        "no node has Cpu 800; the largest has 400": task(800),
        "no node has image img-gpu": task(image="img-gpu"),
    }
    jobs = [world.create(describe({"A": each}, Priority=9)) for each in never.values()]
    assert [world.why(job) for job in jobs] == list(never)
    other = world.create(describe({"A": task(count=8)}))
    assert world.job(other)["NumRunningInstance"] == 8
    world.up(node("n3", 1, 800, 65536, "img-gpu"))
    assert world.executor.placed()["n3"] == [f"{jobs[0]}.0.0.1"]
    world.end(f"{jobs[0]}.0.0.1")
    world.end(f"{jobs[1]}.0.0.1")
    world.end(f"{jobs[2]}.0.0.1")
    assert {world.job(job)["State"] for job in jobs} == {"Terminated"}
    world.engine.store.close()


def test_what_no_node_has_all_of_is_said(world: ClusterWorld) -> None:
    world.up(node("n1", cpu=800), node("n2", memory=8192))
    job = world.create(describe({"A": task(800, 8192)}))
    assert world.why(job) == "no node has all of Cpu 800 and Memory 8192"


def test_an_image_of_the_service_runs_on_nodes_that_have_it_and_any_other_id_anywhere(tmp_path: Path) -> None:
    world = ClusterWorld(tmp_path, node("n1"), node("n2", 4, 400, 4096, "img-a", "img-b"), images=["img-a", "img-b"])
    for image in ("img-a", "img-of-the-cloud", "img-b", "img-local"):
        world.create(describe({"A": task(image=image)}))
    assert [launch.node for launch in world.executor.launched] == ["n2", "n2", "n2", "n2"]
    world.create(describe({"A": task(400, image="img-of-the-cloud")}))
    assert world.executor.launched[-1].node == "n1"
    world.engine.store.close()


def test_a_large_request_gets_one_node_and_the_others_go_on(world: ClusterWorld) -> None:
    world.up(*(node(f"n{number}") for number in range(3)))
    stream = world.create(describe({"A": task(count=40)}))
    large = world.create(describe({"A": task(400, count=2)}, Priority=9))
    running = [launch.attempt for launch in world.executor.launched]
    finished = 0
    while not any(launch.job == large for launch in world.executor.launched):
        attempt = running.pop(len(running) // 2)
        before = len(world.executor.launched)
        world.end(attempt)
        running += [launch.attempt for launch in world.executor.launched[before:]]
        finished += 1
        assert len(running) >= 8, "no more than one node is empty"
        assert finished < 20, "it waits for ever"
    assert [launch.node for launch in world.executor.launched if launch.job == large] == [
        world.executor.launched[-1].node
    ]
    assert world.job(stream)["NumRunningInstance"] == 8


def test_the_kept_node_is_the_one_that_is_empty_first(world: ClusterWorld) -> None:
    world.up(node("n1"), node("n2"))
    first = world.create(describe({"A": task(count=8)}))
    large = world.create(describe({"A": task(400)}, Priority=9))
    on_second = world.executor.placed()["n2"]
    world.end(f"{first}.0.0.1")  # so that room is looked for, and n1 is kept
    world.end(*on_second[:2])
    assert "n2 is kept for it" in world.why(large)
    world.end(*on_second[2:])
    assert world.executor.launched[-1].job == large


def test_a_request_of_a_higher_priority_takes_the_kept_node(world: ClusterWorld) -> None:
    world.up(node("n1", memory=0))
    first = world.create(describe({"A": task(100, count=2), "B": task(200)}))
    low = world.create(describe({"A": task(300)}, Priority=2))
    world.end(f"{first}.0.0.1")
    assert "n1 is kept" in world.why(low)
    high = world.create(describe({"A": task(400)}, Priority=3))
    world.end(f"{first}.0.1.1")
    assert "n1 is kept" in world.why(high)
    assert "n1 is kept" not in world.why(low)
    world.end(f"{first}.1.0.1")
    assert world.executor.launched[-1].job == high


def test_a_node_is_not_kept_for_a_job_that_was_stopped(world: ClusterWorld) -> None:
    world.up(node("n1"))
    first = world.create(describe({"A": task(200)}))
    large = world.create(describe({"A": task(400)}, Priority=9))
    small = world.create(describe({"A": task(100)}))
    assert world.job(small)["State"] == "Waiting"
    world.do(lambda turn: world.service.stop_job(turn, 1, large))
    world.engine.turn()
    assert world.job(small)["State"] == "Running"
    assert world.job(first)["State"] == "Running"


def test_no_job_is_left_waiting_while_there_is_room_and_nothing_else_happens(world: ClusterWorld) -> None:
    """The large one is placed elsewhere: what waits behind the node that was kept for it goes on at once."""
    world.up(node("n1"))
    world.create(describe({"A": task(200)}))
    large = world.create(describe({"A": task(400)}, Priority=9))
    small = world.create(describe({"A": task(200)}))
    world.up(node("n2", 1))
    while world.engine._active.has_more:
        world.engine.turn()
    assert {one.job: one.node for one in world.executor.launched[1:]} == {large: "n2", small: "n1"}


def test_requests_of_one_kind_run_by_priority_and_age(world: ClusterWorld) -> None:
    world.up(node("n1", 1))
    world.create(describe({"A": task()}))
    jobs = [world.create(describe({"A": task()}, Priority=priority)) for priority in (1, 9, 5, 9)]
    for _ in range(4):
        world.end(world.executor.launched[-1].attempt)
    assert [launch.job for launch in world.executor.launched[1:]] == [jobs[1], jobs[3], jobs[2], jobs[0]]


def test_a_node_that_is_down_gets_nothing_and_its_attempts_still_end(world: ClusterWorld) -> None:
    world.up(node("n1", 1), node("n2", 1))
    job = world.create(describe({"A": task(count=4)}))
    world.down("n1")
    world.end(*world.executor.placed()["n1"])
    assert world.executor.placed()["n1"] == [f"{job}.0.0.1"]
    assert [one["name"] for one in world.engine.nodes()] == ["n2"]
    world.end(*world.executor.placed()["n2"])
    assert len(world.executor.placed()["n2"]) == 2
    world.up(node("n1", 2))
    assert len(world.executor.placed()["n1"]) == 2


def test_short_instances_are_claimed_ahead_evenly_and_long_ones_are_not(tmp_path: Path) -> None:
    world = ClusterWorld(tmp_path, node("n1", 1, 100), node("n2", 1, 100), look_ahead=3)
    job = world.create(describe({"A": task(count=100)}))
    sink, ended = world.executor.sink, 0
    for _ in range(10):
        for launch in world.executor.launched[ended:]:
            sink(Exited(launch.attempt, code=0, started=100.0, ended=100.01))
            ended += 1
        world.engine.turn()
    assert [one["taken"] for one in world.engine.nodes()] == [4, 4]
    latest = world.executor.launched[ended:]
    for launch in latest:
        sink(Returned(launch.attempt))  # they take long: none beyond the slots
    world.engine.turn()
    assert world.job(job)["NumRunningInstance"] == 2
    world.engine.store.close()


@pytest.mark.parametrize(("slots", "cpu"), [(2, 200), (2, 0), (1, 100)])
def test_instances_of_a_core_are_claimed_ahead_where_each_slot_has_a_core(tmp_path: Path, slots: int, cpu: int) -> None:
    world = ClusterWorld(tmp_path, node("n1", slots, cpu), look_ahead=100)
    for _ in range(40):
        world.engine._placement.note_end(None, 0.1)
    world.create(describe({"A": task(100, count=50)}))
    assert world.engine.nodes()[0]["taken"] >= 5 * slots
    world.engine.store.close()


def test_claims_ahead_never_run_together_with_more_than_a_node_has(tmp_path: Path) -> None:
    world = ClusterWorld(tmp_path, node("n1", 4, 500), look_ahead=100)
    for _ in range(40):
        world.engine._placement.note_end(None, 0.001)
    large = world.create(describe({"A": task(200, count=2)}))
    small = world.create(describe({"A": task(50, count=50)}))
    assert (
        world.job(small)["NumRunningInstance"] == 2
    )  # else the two large ones and two small ones more could run at once
    for number in range(2):
        world.executor.sink(Exited(f"{large}.0.{number}.1", code=0))
    world.engine.turn()
    assert world.job(small)["NumRunningInstance"] == 50
    world.engine.store.close()


def test_an_attempt_of_which_nobody_knows_is_shown_and_not_run_again(world: ClusterWorld) -> None:
    world.up(node("n1"))
    job = world.create(describe({"A": task()}))
    world.executor.sink(Started(f"{job}.0.0.1", 5.0, "h"))
    world.executor.sink(Unreachable(f"{job}.0.0.1", "n1 does not answer since 12:00:00"))
    world.engine.turn()
    assert world.why(job) == "n1 does not answer since 12:00:00"
    assert len(world.executor.launched) == 1
    world.up(node("n1"))
    assert world.why(job) == ""
    world.executor.sink(Unreachable(f"{job}.0.0.1", "n1 does not answer since 13:00:00"))
    world.executor.sink(Lost(f"{job}.0.0.1"))
    world.engine.turn()
    assert (world.why(job), world.executor.launched[-1].attempt) == ("", f"{job}.0.0.2")


def test_a_late_result_is_kept_apart_and_never_counts(world: ClusterWorld) -> None:
    world.up(node("n1"))
    job = world.create(describe({"A": task()}))
    world.executor.sink(Lost(f"{job}.0.0.1"))
    world.engine.turn()
    for code in (0, 3):
        world.executor.sink(Exited(f"{job}.0.0.1", code=code, started=5.0, ended=7.0, host="h"))
        world.engine.turn()
    assert world.executor.acknowledged == [f"{job}.0.0.1"] * 2
    assert world.states(job) == {"A": [2]}
    found = world.do(lambda turn: world.service.get_job_details(turn, 1, job, {}))
    late, current = found["Tasks"]["A"]["Instances"]["0"]["Attempts"]
    assert (late["State"], late["ExitCode"], late["WorkerEndTime"]) == ("Failed", 0, 7.0)
    assert late["Reason"] == "this came after it was given up, and does not count"
    assert (late["Node"], current["Node"], current["State"]) == ("n1", "n1", "Running")
    world.end(f"{job}.0.0.2")
    world.end(f"{job}.0.0.2", code=1)
    assert world.job(job)["State"] == "Terminated"
    assert world.job(job)["TotalTime"] == 2


def test_a_stopped_attempt_on_a_node_is_known_after_a_restart_until_it_has_ended(world: ClusterWorld) -> None:
    world.up(node("n1"))
    stopped, deleted = world.create(describe({"A": task()})), world.create(describe({"A": task()}))
    for job in (stopped, deleted):

        def stop(turn: Turn, job: str = job) -> None:
            world.service.stop_job(turn, 1, job)

        world.do(stop)
    world.do(lambda turn: world.service.delete_job(turn, 1, deleted))
    world.crash(FakeCluster((node("n1"),)))
    assert world.executor.claims == {f"{stopped}.0.0.1": "n1", f"{deleted}.0.0.1": "n1"}
    assert sorted(world.executor.stopped) == sorted(world.executor.claims)
    world.do(lambda turn: world.service.start_job(turn, 1, stopped))
    assert world.executor.launched == []  # its earlier attempt may still run
    world.executor.sink(Lost(f"{stopped}.0.0.1"))
    world.end(f"{deleted}.0.0.1", code=143)
    assert [launch.attempt for launch in world.executor.launched] == [f"{stopped}.0.0.2"]
    world.end(f"{stopped}.0.0.2")
    world.crash(FakeCluster((node("n1"),)))
    assert world.executor.claims == {}


def test_a_stopped_attempt_that_is_gone_after_a_restart_is_forgotten(world: ClusterWorld) -> None:
    world.up(node("n1"))
    job = world.create(describe({"A": task()}))
    world.do(lambda turn: world.service.stop_job(turn, 1, job))
    gone = FakeCluster((node("n1"),))
    gone.lost = {f"{job}.0.0.1"}
    world.crash(gone)
    assert (world.executor.claims, world.executor.stopped) == ({f"{job}.0.0.1": "n1"}, [])
    world.crash(FakeCluster((node("n1"),)))
    assert world.executor.claims == {}


def test_after_a_crash_what_provably_never_began_runs_again_and_an_end_counts(world: ClusterWorld) -> None:
    world.up(node("n1"))
    job = world.create(describe({"A": task(count=3)}))
    again = FakeCluster((node("n1"),), Recovered(ended=(Exited(f"{job}.0.0.1", code=0, started=1.0, ended=2.0),)))
    again.lost = {f"{job}.0.1.1"}
    world.crash(again)
    assert world.states(job) == {"A": [3, 2, 2]}
    assert [launch.attempt for launch in world.executor.launched] == [f"{job}.0.1.2"]


def test_room_is_given_back_when_a_turn_cannot_be_committed(
    world: ClusterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    world.up(node("n1", 2))
    job = world.create(describe({"A": task(count=5)}))

    def full(changes: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine.store, "commit", full)
        world.end(f"{job}.0.0.1")
        assert world.engine.nodes()[0]["taken"] == 2
    world.engine.turn()
    assert [launch.attempt for launch in world.executor.launched] == [f"{job}.0.{n}.1" for n in range(3)]
    assert world.engine.nodes()[0]["taken"] == 2


def test_a_delay_on_a_node_is_shown(world: ClusterWorld) -> None:
    world.up(node("n1"))
    job = world.create(describe({"A": task()}))
    world.executor.sink(Delayed(f"{job}.0.0.1", "the disk is full"))
    world.engine.turn()
    assert world.why(job) == "the disk is full"
