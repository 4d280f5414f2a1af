"""list_jobs: what is stored of jobs that have ended, and what is built of the rows of others, say what get_job says."""

from __future__ import annotations

import json
from functools import partial

import pytest
from batchcompute_local.http import reads
from batchcompute_local.jobs.service import write_jobs

from tests.support.descriptions import describe
from tests.support.engine import World

TEXTS = ['"quoted" \\ and %s %d', "tab\t line\n nul\0 bell\x07 del\x7f", "中文 é \u2028", "\U0001f600", ""]


def _list(world: World) -> dict[str, object]:
    """As the service answers it, with the bytes of the answer."""
    text, last = world.engine.recall(lambda reading: write_jobs(reading, 1))
    assert last == 0
    found: dict[str, object] = json.loads(b"{" + text.encode("ascii", reads._ESCAPE) + b"}")
    assert found == world.do(lambda turn: world.service.list_jobs(turn, 1))
    return found


def _stored(world: World) -> list[int]:
    return [row[0] for row in world.engine.store._db.execute("SELECT job FROM views ORDER BY job")]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("is_over", [True, False])
def test_a_list_has_any_text_of_a_user(world: World, text: str, is_over: bool) -> None:
    job = world.create(describe({"A": {}}, Description=text))
    if is_over:
        world.end(f"{job}.0.0.1")
    assert _list(world) == {job: world.job(job)}
    assert world.job(job)["Description"] == text
    assert _stored(world) == [1] * is_over


def test_what_changes_a_job_that_has_ended_changes_the_list(world: World) -> None:
    job = world.create(describe({"A": {}}))
    world.end(f"{job}.0.0.1", code=1)
    assert (_list(world), _stored(world)) == ({job: world.job(job)}, [1])
    world.do(lambda turn: world.service.update_job_priority(turn, 1, job, 7))
    assert (_list(world), _stored(world)) == ({job: world.job(job)}, [1])
    assert world.job(job)["Priority"] == 7
    world.do(lambda turn: world.service.start_job(turn, 1, job))
    assert (_list(world), _stored(world)) == ({job: world.job(job)}, [])
    assert world.job(job)["State"] == "Running"
    world.do(lambda turn: world.service.stop_job(turn, 1, job))
    assert (_list(world), _stored(world)) == ({job: world.job(job)}, [1])
    world.do(lambda turn: world.service.delete_job(turn, 1, job))
    assert (_list(world), _stored(world)) == ({}, [])


def test_jobs_of_an_earlier_version_are_listed(world: World) -> None:
    jobs = [world.create(describe({"A": {}}, Description=text)) for text in TEXTS]
    for job in jobs:
        world.end(f"{job}.0.0.1")
    before = _list(world)
    world.engine.store._db.execute("DELETE FROM views")
    assert _list(world) == before == {job: world.job(job) for job in jobs}


def test_pages_have_each_job_once(world: World) -> None:
    jobs = [world.create(describe({"A": {}})) for _ in range(7)]
    found: list[str] = []
    after = pages = 0
    while pages == 0 or after:
        text, after = world.engine.recall(partial(write_jobs, owner=1, after=after, most=900))
        found += json.loads(f"{{{text}}}")
        pages += 1
    assert (found, pages) == (jobs, 4)
