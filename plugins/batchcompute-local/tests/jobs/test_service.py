"""The operations and the scheduling, over a real store and a fake executor."""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Exited, Lost, Recovered, Started
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.descriptions import read_description, read_priority
from batchcompute_local.jobs.snapshots import BusyError

from tests.support.clock import Clock
from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

W, R, F, X, S = 1, 2, 3, 4, 5


def _refused(world: World, run: Any) -> tuple[int, str]:
    with pytest.raises(ServiceError) as caught:
        world.do(run)
    return caught.value.status, caught.value.code


def test_a_job_from_waiting_to_terminated(world: World) -> None:
    job_id = world.create(describe({"Find": {"InstanceCount": "3"}, "Count": {}}, {"Find": ["Count"]}))
    assert job_id.startswith("job-00000000")
    assert len(job_id) == 4 + 32
    assert world.states(job_id) == {"Find": [R, R, W], "Count": [W]}
    assert world.job(job_id)["State"] == "Running"
    world.end(f"{job_id}.0.1.1")
    assert world.executor.order() == [("Find", 0), ("Find", 1), ("Find", 2)]
    world.end(f"{job_id}.0.0.1", f"{job_id}.0.2.1")
    assert world.executor.order()[3:] == [("Count", 0)]
    world.end(f"{job_id}.1.0.1")
    job = world.job(job_id)
    assert (job["State"], job["TotalTime"], job["EndTime"]) == ("Terminated", 8, 1000)
    assert (job["NumFinishedTask"], job["NumFinishedInstance"], job["NumTotalInstance"]) == (2, 4, 4)
    assert len(world.executor.acknowledged) == 4
    assert not world.engine.busy


def test_a_job_waits_until_its_first_instance_starts(world: World) -> None:
    first = world.create(describe({"A": {"InstanceCount": 2}}))
    second = world.create(describe({"A": {}}))
    job = world.job(second)
    assert (job["State"], job["StartTime"], job["NumWaitingTask"]) == ("Waiting", 0, 1)
    world.end(f"{first}.0.0.1")
    assert world.job(second)["State"] == "Running"


def test_priority_then_age(world: World) -> None:
    blocker = world.create(describe({"A": {"InstanceCount": 2}}))
    jobs = [
        world.create(describe({f"p{priority}-{n}": {}}, Priority=priority)) for n, priority in enumerate((1, 9, 9, 5))
    ]
    world.end(f"{blocker}.0.0.1", f"{blocker}.0.1.1")
    for job_id in (jobs[1], jobs[2], jobs[3], jobs[0]):
        world.end(f"{job_id}.0.0.1")
    assert [name for name, _ in world.executor.order()[2:]] == ["p9-1", "p9-2", "p5-3", "p1-0"]


def test_a_failure_fails_task_and_job_at_once(world: World) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 4}, "B": {}}, {"A": ["B"]}))
    world.end(f"{job_id}.0.1.1", code=2)
    assert world.states(job_id) == {"A": [S, X, W, W], "B": [W]}
    job = world.job(job_id)
    assert job["State"] == "Failed"
    assert (job["NumFailedTask"], job["NumWaitingTask"], job["NumRunningTask"]) == (1, 1, 0)
    assert world.executor.stopped == [f"{job_id}.0.0.1"]
    assert len(world.executor.launched) == 2


def test_stop_restart_keeps_what_is_finished_and_holds_what_still_dies(world: World) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 4}}))
    world.end(f"{job_id}.0.0.1")
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    assert world.states(job_id) == {"A": [F, S, S, S]}
    assert sorted(world.executor.stopped) == [f"{job_id}.0.1.1", f"{job_id}.0.2.1"]
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))
    job = world.job(job_id)
    assert (job["State"], job["StartTime"], job["EndTime"], job["TotalTime"]) == ("Waiting", 0, 0, 2)
    assert len(world.executor.launched) == 3
    # one of the old programs is dead: the place it leaves goes to an instance without an earlier attempt, or to its own
    world.end(f"{job_id}.0.2.1", code=143)
    assert world.executor.order()[3:] == [("A", 2)]
    assert world.executor.launched[3].attempt == f"{job_id}.0.2.2"
    world.end(f"{job_id}.0.1.1", f"{job_id}.0.2.2")
    assert [launch.attempt for launch in world.executor.launched[4:]] == [f"{job_id}.0.1.2", f"{job_id}.0.3.1"]
    world.end(f"{job_id}.0.1.2", f"{job_id}.0.3.1")
    assert world.job(job_id)["State"] == "Terminated"


@pytest.mark.parametrize("state", ["Waiting", "Running", "Stopped", "Failed", "Finished"])
def test_the_state_rules(world: World, state: str) -> None:
    if state == "Waiting":
        world.create(describe({"A": {"InstanceCount": 2}}, Priority=1000))
    job_id = world.create(describe({"A": {}}))
    if state == "Stopped":
        world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    elif state in ("Failed", "Finished"):
        world.end(f"{job_id}.0.0.1", code=int(state == "Failed"))
    service = world.service
    operations = {
        "stop": (lambda turn: service.stop_job(turn, 1, job_id), {"Waiting", "Running"}),
        "priority": (lambda turn: service.update_job_priority(turn, 1, job_id, 7), {"Stopped", "Failed"}),
        "start": (lambda turn: service.start_job(turn, 1, job_id), {"Stopped", "Failed"}),
        "delete": (lambda turn: service.delete_job(turn, 1, job_id), {"Stopped", "Failed", "Finished"}),
    }
    for name, (operation, where) in operations.items():
        if state not in where:
            with pytest.raises(ServiceError, match=f"The current resource state is {state}") as caught:
                world.do(operation)
            assert (caught.value.status, caught.value.code) == (409, "StateConflict"), name
    if state in ("Stopped", "Failed"):
        world.do(operations["priority"][0])
        assert world.job(job_id)["Priority"] == 7
        assert world.do(lambda turn: service.get_job_description(turn, 1, job_id))["Priority"] == 7
    if state in operations["delete"][1]:
        world.do(operations["delete"][0])
        assert _refused(world, lambda turn: service.get_job(turn, 1, job_id)) == (404, "ResourceNotFound")


def test_a_deleted_job_s_folders_go_after_its_programs(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    world.do(lambda turn: world.service.delete_job(turn, 1, job_id))
    assert world.executor.forgotten == []
    world.end(f"{job_id}.0.0.1", code=143)
    assert world.executor.forgotten == [job_id]


@pytest.mark.parametrize("body", [b"", b"abc", b"5.0", b"-1", b"1001", b'"5"', b"\xd9\xa3", b"9" * 5000])
def test_a_bad_priority(body: bytes) -> None:
    with pytest.raises(ServiceError, match="InvalidParameter") as caught:
        read_priority(body)
    assert caught.value.status == 400


def test_a_list_shows_each_job_as_get_job_does(world: World) -> None:
    """The one is made from rows by SQL, the other from the jobs in memory."""
    ended, failed, stopped, running, waiting = (world.create(describe({"A": {}}, Description="ü")) for _ in range(5))
    world.end(f"{ended}.0.0.1")
    world.end(f"{failed}.0.0.1", code=3)
    world.do(lambda turn: world.service.stop_job(turn, 1, stopped))
    listed = world.do(lambda turn: world.service.list_jobs(turn, 1))
    assert listed == {job_id: world.job(job_id) for job_id in (ended, failed, stopped, running, waiting)}
    assert [type(value) for job in listed.values() for value in job.values()] == [
        type(value) for job_id in listed for value in world.job(job_id).values()
    ]
    assert {job["State"] for job in listed.values()} == {"Terminated", "Failed", "Stopped", "Running", "Waiting"}


def test_owners_do_not_see_each_other(world: World) -> None:
    mine, theirs = world.create(describe({"A": {}})), world.create(describe({"A": {}}), owner=2)
    assert list(world.do(lambda turn: world.service.list_jobs(turn, 1))) == [mine]
    assert _refused(world, lambda turn: world.service.stop_job(turn, 1, theirs)) == (404, "ResourceNotFound")
    assert _refused(world, lambda turn: world.service.list_tasks(turn, 1, theirs)) == (404, "ResourceNotFound")


def test_a_huge_task_costs_nothing_until_it_runs(world: World) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 900_000}}))
    assert world.job(job_id)["NumWaitingInstance"] == 899_998
    rows = sqlite3.connect(world.path)
    assert rows.execute("SELECT count(*) FROM instances").fetchone() == (2,)
    rows.close()


def test_after_a_crash_live_ones_go_on_ended_ones_count_and_lost_ones_run_again(world: World) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 2}, "B": {}}, {"A": ["B"]}))
    ended = Exited(f"{job_id}.0.0.1", code=0, started=1.0, ended=4.0)
    world.crash(FakeExecutor(Recovered(ended=(ended,))))
    assert world.states(job_id) == {"A": [F, R], "B": [W]}
    assert world.executor.acknowledged == [f"{job_id}.0.0.1"]
    assert [launch.attempt for launch in world.executor.launched] == [f"{job_id}.0.1.2"]
    world.crash(FakeExecutor(Recovered(live=frozenset({f"{job_id}.0.1.2", f"{job_id}.7.7.7"}))))
    assert world.executor.launched == []
    assert world.executor.stopped == [f"{job_id}.7.7.7"]
    world.end(f"{job_id}.0.1.2")
    world.end(f"{job_id}.1.0.1")
    assert world.job(job_id)["State"] == "Terminated"


def test_a_lost_attempt_runs_again_and_a_stale_report_changes_nothing(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    world.executor.sink(Lost(f"{job_id}.0.0.1"))
    world.engine.turn()
    assert world.executor.launched[-1].attempt == f"{job_id}.0.0.2"
    world.end(f"{job_id}.0.0.1", code=9)
    world.executor.sink(Exited("nonsense", code=0))
    world.engine.turn()
    assert world.states(job_id) == {"A": [R]}
    world.executor.sink(Started(f"{job_id}.0.0.2", 77.0, "h"))
    world.engine.turn()
    tasks = world.do(lambda turn: world.service.list_tasks(turn, 1, job_id))
    assert tasks["A"]["InstanceStatusVector"][0]["WorkerStartTime"] == 77


def test_a_turn_that_cannot_be_committed_did_not_happen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 3}}))
    commit = world.engine.store.commit

    def full(changes: Any) -> None:
        world.engine.store.flush(changes)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(world.engine.store, "commit", full)
    world.executor.end(f"{job_id}.0.0.1")
    assert _refused(world, lambda turn: world.service.stop_job(turn, 1, job_id)) == (503, "ServiceUnavailable")
    assert _refused(world, lambda turn: world.service.start_job(turn, 1, job_id)) == (503, "ServiceUnavailable")
    assert world.executor.stopped == []
    assert world.executor.acknowledged == []
    assert len(world.executor.launched) == 2
    monkeypatch.setattr(world.engine.store, "commit", commit)
    world.engine.turn()
    assert world.states(job_id) == {"A": [F, R, R]}
    assert world.executor.acknowledged == [f"{job_id}.0.0.1"]


def test_a_poisoned_request_does_not_harm_the_others(world: World) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 3}}))

    def poison(turn: Any) -> None:
        job = turn.find(job_id)
        job.priority = 999
        turn.note_changed(job)
        raise KeyError("a bug")

    before = world.engine.submit(lambda turn: world.service.stop_job(turn, 1, job_id))
    poisoned = world.engine.submit(poison)
    after = world.engine.submit(lambda turn: world.service.get_job(turn, 1, job_id))
    world.executor.end(f"{job_id}.0.0.1")
    world.engine.turn()
    world.engine.turn()
    with pytest.raises(ServiceError, match="InternalError"):
        poisoned.result(0)
    assert before.result(0) is None
    job = after.result(0)
    assert (job["State"], job["Priority"]) == ("Stopped", 1)
    assert world.states(job_id) == {"A": [S, S, S]}
    assert world.executor.acknowledged == [f"{job_id}.0.0.1"]


def test_a_cancelled_request_is_not_run(world: World) -> None:
    future = world.engine.submit(lambda turn: pytest.fail("ran"))
    future.cancel()
    world.engine.turn()


def test_the_engine_s_thread_answers_and_ends(world: World) -> None:
    world.engine.start()
    answer = world.engine.submit(lambda turn: world.service.list_images(turn, 1)).result(10)
    assert set(answer) == {"img-local"}
    world.engine.close()
    assert not world.engine.alive


def test_a_deep_chain_of_tasks(world: World) -> None:
    names = [f"t{n}" for n in range(300)]
    job_id = world.create(describe({n: {} for n in names}, {a: [b] for a, b in pairwise(names)}))
    for n in range(300):
        world.end(f"{job_id}.{n}.0.1")
    assert world.job(job_id)["State"] == "Terminated"


def test_a_stopped_instance_shows_when_its_program_ended(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    world.end(f"{job_id}.0.0.1", code=143)
    (one,) = world.do(lambda turn: world.service.list_tasks(turn, 1, job_id))["A"]["InstanceStatusVector"]
    assert (one["State"], one["WorkerStartTime"], one["WorkerEndTime"]) == (S, 100, 102)
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))
    (one,) = world.do(lambda turn: world.service.list_tasks(turn, 1, job_id))["A"]["InstanceStatusVector"]
    assert (one["State"], one["WorkerEndTime"]) == (R, 0)


def test_cpu_and_memory_are_admitted_in_order(world: World) -> None:
    world.capacity, world.slots = Capacity(cpu=400), 9
    world.crash(type(world.executor)())

    def task(cpu: int) -> dict[str, Any]:
        return {"ResourceDescription": {"Cpu": cpu, "Memory": 1}}

    job_id = world.create(describe({"a": task(300), "b": task(200), "c": task(100), "huge": task(4000)}))
    # what does not fit is not overtaken, though c would fit
    assert [name for name, _ in world.executor.order()] == ["a"]
    world.end(f"{job_id}.0.0.1")
    assert [name for name, _ in world.executor.order()] == ["a", "b", "c"]
    world.end(f"{job_id}.1.0.1")
    assert len(world.executor.launched) == 3
    world.end(f"{job_id}.2.0.1")
    assert world.executor.order()[-1] == ("huge", 0)  # alone
    other = world.create(describe({"a": task(1)}))
    assert world.job(other)["State"] == "Waiting"
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    assert world.job(other)["State"] == "Waiting"  # the huge one still dies
    world.end(f"{job_id}.3.0.1", code=143)
    assert world.job(other)["State"] == "Running"


def test_what_is_asked_for_beyond_the_machine_is_noted(world: World) -> None:
    plan = read_description(describe({"A": {"ResourceDescription": {"Cpu": 10**6, "Memory": 5}}}), world.settings)
    assert list(Capacity(memory=4).notes(plan))[1] == "asks for Memory 5, the setting memory is 4: it runs alone"
    assert "it runs all the same" in next(Capacity().notes(plan))


def test_a_turn_that_cannot_be_committed_keeps_what_earlier_ones_left_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = world.create(describe({"A": {}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    world.do(lambda turn: world.service.delete_job(turn, 1, job_id))

    def full(changes: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine.store, "commit", full)
        world.engine.turn()
    world.end(f"{job_id}.0.0.1", code=143)
    assert world.executor.forgotten == [job_id]


def test_a_look_between_turns_is_answered_at_once(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    seen = world.engine.look(lambda turn: world.service.get_job(turn, 1, job_id))
    assert isinstance(seen, dict)
    assert seen["State"] == "Running"
    with pytest.raises(ServiceError, match="ResourceNotFound"):
        world.engine.look(lambda turn: world.service.get_job(turn, 2, job_id))


def test_a_look_within_a_turn_is_answered_with_what_was_committed_last(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    seen = []

    def look(reading: Any) -> Any:
        return world.service.get_job(reading, 1, job_id)["State"]

    def stop_and_look(turn: Any) -> None:
        world.service.stop_job(turn, 1, job_id)
        with pytest.raises(BusyError):
            world.engine.look(look)
        seen.append(world.engine.recall(look))

    world.do(stop_and_look)
    assert [*seen, world.engine.recall(look), world.engine.look(look)] == ["Running", "Stopped", "Stopped"]


def test_nothing_ends_before_it_began_though_the_clock_is_set_back(world: World, clock: Clock) -> None:
    clock.now = 100_000.0
    failed, stopped = (world.create(describe({"A": {}, "B": {}})) for _ in range(2))
    clock.now -= 7200
    world.end(f"{failed}.0.0.1", code=1)
    world.do(lambda turn: world.service.stop_job(turn, 1, stopped))
    for job_id in (failed, stopped):
        tasks = world.do(partial(world.service.list_tasks, owner=1, job_id=job_id))
        instances = [one for task in tasks.values() for one in task["InstanceStatusVector"]]
        for one in (world.job(job_id), *tasks.values(), *instances):
            assert one["EndTime"] >= one["StartTime"], one
