"""Why something waits, in words, and which jobs take the slots."""

from __future__ import annotations

from typing import Any

import pytest
from batchcompute_local.executors.base import Delayed, Lost, Returned, Started
from batchcompute_local.jobs.capacity import Capacity

from tests.support.clock import Clock
from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

FULL = "the disk or the machine is full; it is tried again"


def _details(world: World, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = world.do(lambda turn: world.service.get_job_details(turn, 1, job_id, {}))
    return found


def _list(world: World, owner: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = world.do(lambda turn: world.service.list_job_details(turn, owner))
    return found


def _why(world: World, job_id: str) -> tuple[str, dict[str, str]]:
    found = _details(world, job_id)
    return found["Reason"], {name: task["Reason"] for name, task in found["Tasks"].items()}


def test_a_task_waits_for_its_predecessors(world: World) -> None:
    tasks: dict[str, Any] = {name: {} for name in "ABCDEF"}
    job = world.create(describe(tasks, {name: ["F"] for name in "ABCDE"} | {"A": ["E", "F"]}))
    world.end(f"{job}.0.0.1")
    reason, reasons = _why(world, job)
    assert (reason, reasons["A"]) == ("", "")
    assert reasons["F"] == "waits for tasks B, C, D and 1 more"
    assert _list(world)["Jobs"] == {}


def test_a_successor_of_a_failed_task_never_starts(world: World) -> None:
    job = world.create(describe({"A": {}, "B": {}, "C": {}}, {"A": ["C"]}, JobFailOnInstanceFail=False))
    world.end(f"{job}.0.0.1", code=1)
    assert _why(world, job)[1]["C"] == "never starts, since task A failed"


def test_all_slots_are_taken(world: World) -> None:
    first = world.create(describe({"A": {"InstanceCount": 3}}))
    second = world.create(describe({"A": {}}))
    taken = f"all 2 slots are taken by {first} (2)"
    assert _why(world, second) == (taken, {"A": taken})
    assert _why(world, first) == ("", {"A": "all 2 slots are taken by this job (2)"})
    slots = {"Total": 2, "Taken": 2, "ByJob": {first: 2}}
    assert _list(world) == {"Slots": slots, "Jobs": {second: {"Reason": taken, "Leftovers": 0}}}
    assert _details(world, first)["Slots"] == slots
    world.end(*(f"{first}.0.{number}.1" for number in range(2)))
    assert _why(world, second) == ("", {"A": ""})


def test_programs_that_are_being_ended_take_slots_too(world: World) -> None:
    first = world.create(describe({"A": {"InstanceCount": 2}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, first))
    assert _list(world)["Slots"] == {"Total": 2, "Taken": 2, "ByJob": {first: 2}}
    assert _list(world, 2)["Slots"] == {"Total": 2, "Taken": 2, "ByJob": {"": 2}}
    world.do(lambda turn: world.service.start_job(turn, 1, first))
    assert _why(world, first)[1]["A"].endswith("processes of its earlier attempt are still being ended")


def test_a_claim_ahead_takes_no_slot(world: World) -> None:
    world.executor.look_ahead = 5
    for _ in range(50):
        world.engine._placement.note_end(None, 0.0)
    job = world.create(describe({"A": {"InstanceCount": 7}}))
    world.executor.sink(Started(f"{job}.0.3.1", 1.0, "h"))
    other = world.create(describe({"A": {}}), 2)
    found = _list(world, 2)
    assert found["Slots"] == {"Total": 2, "Taken": 2, "ByJob": {"": 2}}
    assert found["Jobs"][other]["Reason"] == "all 2 slots are taken by other accounts (2)"


def test_nobody_learns_of_the_jobs_of_others(world: World) -> None:
    theirs = world.create(describe({"A": {"InstanceCount": 2}}), 2)
    mine = world.create(describe({"A": {}}), 1)
    found = str([_list(world), _details(world, mine)])
    assert theirs not in found
    assert "all 2 slots are taken by other accounts (2)" in found
    assert mine not in str(_list(world, 2))


@pytest.mark.parametrize(
    ("capacity", "wanted", "reason"),
    [
        (Capacity(cpu=1000), {"Cpu": 300, "Memory": 1}, "asks for Cpu 300, but 200 of 1000 are free"),
        (
            Capacity(memory=800),
            {"Cpu": 1, "Memory": 900},
            "asks for Memory 900, more than the setting memory (800) has",
        ),
        (
            Capacity(1000, 800),
            {"Cpu": 300, "Memory": 900},
            "asks for Cpu 300, but 200 of 1000 are free, and for Memory 900, more than",
        ),
    ],
)
def test_what_does_not_fit(world: World, capacity: Capacity, wanted: dict[str, int], reason: str) -> None:
    world.capacity = capacity
    world.slots = 3
    world.crash(FakeExecutor())
    world.create(describe({"A": {"ResourceDescription": {"Cpu": 800, "Memory": 200}}}))
    large = world.create(describe({"A": {"ResourceDescription": wanted}}))
    small = world.create(describe({"A": {"ResourceDescription": {"Cpu": 1, "Memory": 1}}}))
    assert _why(world, large)[0].startswith(reason)
    assert _why(world, small)[0].startswith(f"waits for its turn behind {large}, which {reason}")


def test_a_pause_before_a_retry(world: World, clock: Clock) -> None:
    job = world.create(describe({"A": {"MaxRetryCount": 3}}))
    for number in (1, 2):
        clock.now += 60
        world.engine.turn()
        world.end(f"{job}.0.0.{number}", code=1)
    reason = "pause before retry 2 of 3 until 1970-01-01T00:18:42Z"
    assert _why(world, job) == (f"instance 0: {reason}", {"A": f"instance 0: {reason}"})
    assert _details(world, job)["Tasks"]["A"]["Instances"]["0"]["Reason"] == reason


def test_a_full_disk(world: World) -> None:
    job = world.create(describe({"A": {}}))
    world.executor.sink(Delayed(f"{job}.0.0.1", FULL))
    world.engine.turn()
    assert _why(world, job) == (FULL, {"A": FULL})
    world.executor.sink(Returned(f"{job}.0.0.1"))
    world.engine.turn()
    assert _why(world, job) == (FULL, {"A": FULL})  # until it begins
    world.executor.sink(Started(f"{job}.0.0.2", 1.0, "h"))
    world.engine.turn()
    assert _why(world, job) == ("", {"A": ""})


@pytest.mark.parametrize("end", ["lost", "stopped", "ended", "stale"])
def test_a_full_disk_is_forgotten(world: World, end: str) -> None:
    job = world.create(describe({"A": {}}))
    world.executor.sink(Delayed(f"{job}.0.0.{2 if end == 'stale' else 1}", FULL))
    world.engine.turn()
    if end == "lost":
        world.executor.sink(Lost(f"{job}.0.0.1"))
        world.engine.turn()
    elif end == "stopped":
        world.do(lambda turn: world.service.stop_job(turn, 1, job))
    elif end == "ended":
        world.end(f"{job}.0.0.1")
    assert world.engine._active.delays == {}
    assert _why(world, job)[0] == ""


def test_a_job_waits_for_a_job_that_it_submitted(world: World) -> None:
    parent = world.create(describe({"A": {"InstanceCount": 2}}))
    child = world.create(describe({"A": {}}))
    world.engine._active.jobs[child].parent = f"{parent}.0.0.1"
    reason, tasks = _why(world, parent)
    assert reason == f"submitted {child}, which cannot start: all 2 slots are taken by this job (2)"
    assert tasks == {"A": ""}
    assert _why(world, child)[0] == (
        f"all 2 slots are taken by {parent} (2); {parent} submitted this job: if it waits for it, "
        "neither goes on without another slot"
    )
    world.end(f"{parent}.0.0.1")
    assert (_why(world, parent)[0], _why(world, child)[0]) == ("", "")


def test_a_job_that_has_ended_waits_for_nothing(world: World) -> None:
    job = world.create(describe({"A": {}, "B": {}}, {"A": ["B"]}))
    world.end(f"{job}.0.0.1", code=1)
    assert _why(world, job) == ("", {"A": "", "B": ""})
