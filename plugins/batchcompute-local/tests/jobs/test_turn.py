"""What operations do in one turn: each sees what the ones before it did, and all of it is committed together."""

from __future__ import annotations

from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.idempotency import once
from batchcompute_local.jobs.model import Changes, StoredAnswer
from batchcompute_local.jobs.turn import Turn

from tests.support.descriptions import describe
from tests.support.engine import World


def test_an_operation_sees_what_earlier_ones_of_its_turn_did(world: World) -> None:
    plan = read_description(describe({"A": {"InstanceCount": 2}}), world.settings)
    service = world.service

    def live(turn: Turn) -> list[Any]:
        job = service.create_job(turn, 1, plan)["ResourceId"]
        seen = [service.list_jobs(turn, 1)[job]["State"]]
        service.stop_job(turn, 1, job)
        seen += [service.get_job(turn, 1, job)["State"], len(service.list_tasks(turn, 1, job))]
        service.update_job_priority(turn, 1, job, 9)
        seen += [service.get_job_description(turn, 1, job)["Priority"]]
        service.start_job(turn, 1, job)
        service.stop_job(turn, 1, job)
        service.delete_job(turn, 1, job)
        return [*seen, service.list_jobs(turn, 1), turn.find(job)]

    assert world.do(live) == ["Waiting", "Stopped", 1, 9, {}, None]
    assert world.executor.launched == []


def test_an_answer_is_given_again_in_the_same_turn_and_later(world: World) -> None:
    runs: list[Turn] = []

    def count(turn: Turn) -> int:
        runs.append(turn)
        return len(runs)

    def ask(digest: str) -> Any:
        return lambda turn: once(turn, 1, "token", digest, count)

    assert world.do(lambda turn: [ask("d")(turn), ask("d")(turn)]) == [1, 1]
    assert world.do(ask("d")) == 1
    with pytest.raises(ServiceError, match="IdempotentTokenMismatch"):
        world.do(ask("other"))
    assert len(runs) == 1
    world.clock = lambda: 1000.0 + 25 * 3600  # kept for a day
    assert world.do(ask("other")) == 2


def test_old_answers_are_deleted_with_the_next_one(world: World) -> None:
    world.do(lambda turn: turn.keep_answer(1, "old", StoredAnswer("d", "1", 5.0), forget_before=0.0))
    world.do(lambda turn: turn.keep_answer(1, "new", StoredAnswer("d", "1", 9.0), forget_before=6.0))
    assert world.do(lambda turn: [turn.find_answer(1, token) is not None for token in ("old", "new")]) == [False, True]


def test_the_engine_is_busy_until_the_last_end_is_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    commit = world.engine.store.commit

    def look(changes: Changes) -> None:
        seen.append(world.engine.busy)
        commit(changes)

    job = world.create(describe({"A": {}}))
    monkeypatch.setattr(world.engine.store, "commit", look)
    world.end(f"{job}.0.0.1")
    assert (seen, world.engine.busy) == ([True], False)
