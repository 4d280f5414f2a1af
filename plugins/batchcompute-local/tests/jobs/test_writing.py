"""The state cannot be written: changes are refused, reads are answered, and a bad report or request fails alone."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.executors.base import Exited, Started
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.unstored import Unstored

from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World

R, F, X = 2, 3, 4


@contextmanager
def _lock(world: World) -> Iterator[None]:
    """Another process has a transaction open."""
    other = sqlite3.connect(world.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def test_reads_are_answered_and_changes_refused_while_the_database_is_locked(world: World) -> None:
    job_id = world.create(describe({"A": {"InstanceCount": 3}}))
    service, engine = world.service, world.engine
    with _lock(world):
        world.executor.end(f"{job_id}.0.0.1")
        with pytest.raises(ServiceError) as caught:
            world.do(lambda turn: service.stop_job(turn, 1, job_id))
        error = caught.value
        assert (error.status, error.code, error.retry_after) == (503, "ServiceUnavailable", 1)
        assert "cannot write its state: database is locked" in error.message
        assert engine.look(lambda reading: service.get_job(reading, 1, job_id))["NumRunningInstance"] == 2
        assert engine.recall(lambda reading: service.list_jobs(reading, 1))[job_id]["NumFinishedInstance"] == 0
        details = engine.explain(lambda reading: service.get_job_details(reading, 1, job_id, {}))
        assert details["Tasks"]["A"]["Reason"] == "the service cannot write its state: database is locked"
        assert details["Slots"]["Taken"] == 2
        assert engine.writing.notes() == [
            "its state cannot be written since 1970-01-01T00:16:40Z: database is locked; 1 reports of programs wait"
        ]
    engine.turn()
    assert world.states(job_id) == {"A": [F, R, R]}
    assert engine.writing.notes() == []


def test_trouble_is_over_only_when_something_was_written(world: World) -> None:
    with _lock(world):
        with pytest.raises(ServiceError):
            world.create(describe({"A": {}}))
        world.engine.turn()
        assert world.engine.writing.error
    world.engine.turn()
    assert not world.engine.writing.error


def test_the_log_says_it_once_and_when_it_is_over(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "batchcompute_local.jobs.writing")
    with _lock(world):
        for _ in range(3):
            with pytest.raises(ServiceError):
                world.create(describe({"A": {}}))
    world.engine.turn()
    texts = [record.getMessage() for record in caplog.records if record.name == "batchcompute_local.jobs.writing"]
    assert texts == [
        "the state cannot be written: database is locked (1 turns, 0 reports wait)",
        "the state is written again, after 3 turns that could not be: database is locked",
    ]
    assert not any(record.exc_info for record in caplog.records)


def _break(world: World, monkeypatch: pytest.MonkeyPatch, attempt: str, always: bool = False) -> None:
    """Have the reports of `attempt` fail half-way; `always`: whatever they say."""
    apply = world.engine._active.apply

    def fail(event: Any, now: float) -> None:
        apply(event, now)
        if event.attempt == attempt and (
            always or event.reason != "its report cannot be applied; the service's log says why"
        ):
            raise KeyError("a bug")

    monkeypatch.setattr(world.engine._active, "apply", fail)


def test_a_bad_report_fails_its_instance_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = world.create(describe({"A": {}}))
    other = world.create(describe({"A": {}}))
    _break(world, monkeypatch, f"{job_id}.0.0.1")
    world.executor.end(f"{job_id}.0.0.1")
    world.executor.end(f"{other}.0.0.1")
    assert world.create(describe({"A": {}}))
    assert (world.job(job_id)["State"], world.job(other)["State"]) == ("Failed", "Terminated")
    details = world.do(lambda turn: world.service.get_job_details(turn, 1, job_id, {}))
    (attempt,) = details["Tasks"]["A"]["Instances"]["0"]["Attempts"]
    assert attempt["Reason"] == "its report cannot be applied; the service's log says why"
    assert not world.engine._undone


def test_a_report_that_can_never_be_applied_has_its_instance_run_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = world.create(describe({"A": {}}))
    _break(world, monkeypatch, f"{job_id}.0.0.1", always=True)
    world.end(f"{job_id}.0.0.1")
    world.engine.turn()
    assert world.executor.launched[-1].attempt == f"{job_id}.0.0.2"
    world.end(f"{job_id}.0.0.2")
    assert world.job(job_id)["State"] == "Terminated"


def test_a_report_that_was_not_stored_is_tried_again_until_it_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    unstored = world.engine._unstored = Unstored(lambda: now)
    job_id = world.create(describe({"A": {}}))
    attempt = f"{job_id}.0.0.1"
    with monkeypatch.context() as broken:
        _break(world, broken, attempt, always=True)
        world.end(attempt)
        waits = []
        for _ in range(8):
            assert world.engine._patience() is not None
            waits.append(unstored.wait() or 0.0)
            now += waits[-1]
            world.engine.turn()
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert attempt not in world.executor.acknowledged
    other = world.create(describe({"A": {}}))
    world.end(f"{other}.0.0.1")
    assert attempt not in world.executor.acknowledged, "it is not due"
    now += 60
    world.engine.turn()
    assert attempt in world.executor.acknowledged
    assert unstored.wait() is None
    world.end(f"{job_id}.0.0.2")
    assert [world.job(each)["State"] for each in (job_id, other)] == ["Terminated", "Terminated"]


def test_a_report_that_is_due_while_the_disk_is_full_comes_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    world.engine._unstored = Unstored(lambda: now)
    job_id = world.create(describe({"A": {}}))
    with monkeypatch.context() as broken:
        _break(world, broken, f"{job_id}.0.0.1", always=True)
        world.end(f"{job_id}.0.0.1")
    world.engine.turn()
    now += 1
    with _lock(world):
        world.end(f"{job_id}.0.0.2")
        for _ in range(3):
            world.engine.turn()
        assert world.engine.writing.reports == 2
    world.engine.turn()
    assert set(world.executor.acknowledged) == {f"{job_id}.0.0.1", f"{job_id}.0.0.2"}


def test_a_report_that_cannot_be_stored_fails_its_instance_only(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    other = world.create(describe({"A": {}}))
    world.executor.sink(
        Exited(f"{job_id}.0.0.1", code=1, reason="half a character: \ud800", started=100.0, ended=102.0)
    )
    world.executor.end(f"{other}.0.0.1")
    assert world.create(describe({"A": {}}))
    assert (world.job(job_id)["State"], world.job(other)["State"]) == ("Failed", "Terminated")


def test_what_runs_shows_when_it_began_though_that_is_not_stored(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    world.executor.sink(Started(f"{job_id}.0.0.1", 77.0, "h"))
    world.engine.turn()
    tasks = world.engine.recall(lambda reading: world.service.list_tasks(reading, 1, job_id))
    assert tasks["A"]["InstanceStatusVector"][0]["WorkerStartTime"] == 77


@pytest.mark.parametrize("together", [1, 2])
def test_what_was_committed_is_not_done_again_if_its_programs_cannot_be_started(
    world: World, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """An answer that is lost is better than a job that is there twice: the next daemon starts what was committed."""

    def fail(launches: object) -> None:
        raise RuntimeError("can't start new thread")

    plan = read_description(describe({"A": {}}), world.settings)
    monkeypatch.setattr(world.executor, "start", fail)
    for _ in range(together):
        world.engine.submit(lambda turn: world.service.create_job(turn, 1, plan))
    with pytest.raises(RuntimeError):
        world.engine.turn()
    world.crash(FakeExecutor())
    assert len(world.do(lambda turn: world.service.list_jobs(turn, 1))) == together
    assert len(world.executor.launched) == together
