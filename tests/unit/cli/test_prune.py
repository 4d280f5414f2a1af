"""`job prune`: which jobs are old, what is asked, and that one failure does not stop the rest."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from batchcompute import Client, Job
from batchcompute.cli import times
from batchcompute.cli.prune import _is_old
from tests.support.command_line import Run

DAY = 86400


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


@pytest.fixture
def pass_days(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the command line believe that so many days have passed."""
    now = time.time
    passed = 0

    def add(days: int) -> None:
        nonlocal passed
        passed += days * DAY

    monkeypatch.setattr("batchcompute.cli.prune.time", SimpleNamespace(time=lambda: now() + passed))
    return add


def jobs_of(client: Client) -> set[str]:
    return {job.JobId for job in client.list_jobs()}


def test_which_jobs_are_old() -> None:
    old = Job({"State": "Finished", "EndTime": 100})
    assert _is_old(old, ("Finished", "Failed"), 101)
    assert not _is_old(old, ("Failed",), 101)
    assert not _is_old(old, ("Finished",), 100)
    assert not _is_old(Job({"State": "Running", "EndTime": 0}), ("Finished",), 101)
    assert not _is_old(Job({"State": "Finished", "EndTime": 0}), ("Finished",), 101), "no job without an end"


def test_old_jobs_are_deleted(
    bc: Run, submit: Callable[..., str], client: Client, pass_days: Callable[[int], None]
) -> None:
    finished, failed = submit(A="pass"), submit(A="import sys; sys.exit(1)")
    done = bc("job", "prune", "--older-than", "7d", "--yes")
    assert (done.code, done.out, done.err) == (0, "", "No job is that old.\n")
    pass_days(8)
    done = bc("job", "prune", "--older-than", "7d", "--dry-run")
    assert done.code == 0
    assert all(word in done.out for word in (finished, failed, "Finished", "Failed"))
    dry = bc("job", "prune", "--older-than", "7d", "--state", "failed", "--dry-run", "--format", "json")
    assert dry.json == [{"job_id": failed, "action": "would be deleted", "error": None}]
    assert jobs_of(client) == {finished, failed}
    assert bc("job", "prune", "--older-than", "9d", "--yes").out == ""
    assert bc("job", "prune", "--older-than", "7d", "--state", "Stopped,Finished", "-y").out == f"{finished} deleted\n"
    done = bc("job", "prune", "--older-than", "1w", "--yes", "--format", "json")
    assert done.json == [{"job_id": failed, "action": "deleted", "error": None}]
    assert jobs_of(client) == set()


def test_active_jobs_stay(bc: Run, client: Client, hold: Any, pass_days: Callable[[int], None]) -> None:
    job = bc("job", "submit", hold).out.strip()
    pass_days(100)
    assert bc("job", "prune", "--older-than", "1s", "--yes").code == 0
    assert jobs_of(client) == {job}


def test_one_failure_does_not_stop_the_rest(
    bc: Run,
    submit: Callable[..., str],
    client: Client,
    pass_days: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [submit(A="pass") for _ in range(4)]
    pass_days(8)
    delete = Client.delete_job

    def lose_one(self: Client, job: str, **more: Any) -> Any:
        if job == jobs[1]:
            delete(self, job)  # somebody else was faster
        return delete(self, job, **more)

    monkeypatch.setattr(Client, "delete_job", lose_one)
    done = bc("job", "prune", "--older-than", "7d", "--yes", "--format", "json")
    assert done.code == 7
    assert {row["job_id"]: bool(row["error"]) for row in done.json} == {job: job == jobs[1] for job in jobs}
    assert jobs_of(client) == set()


def test_it_asks(
    bc: Run,
    submit: Callable[..., str],
    client: Client,
    pass_days: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = submit(A="pass")
    pass_days(8)
    done = bc("job", "prune", "--older-than", "7d")
    assert done.code == 2
    assert "use --yes" in done.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers = iter("ny")
    asked = []

    def answer(text: str, **more: Any) -> bool:
        asked.append(text)
        if next(answers) == "n":
            raise click.Abort
        return True

    monkeypatch.setattr("click.confirm", answer)
    done = bc("job", "prune", "--older-than", "7d")
    assert (done.code, done.out) == (1, "")
    assert jobs_of(client) == {job}
    assert bc("job", "prune", "--older-than", "7d").out == f"{job} deleted\n"
    assert asked == ["Delete 1 job (1 Finished)?"] * 2


def test_objects_only_if_asked(
    bc: Run, client: Client, describe: Callable[..., dict[str, Any]], pass_days: Callable[[int], None]
) -> None:
    description = describe({"A": []}, A="print('result')")
    description["TaskDag"]["TaskDescMap"]["A"] |= {
        "StdoutRedirectPath": "oss://mine/logs/",
        "StderrRedirectPath": "oss://mine/logs",
    }
    first, second, third = (client.create_job(description).JobId for _ in range(3))
    for job in (first, second, third):
        client.wait(job, check=True, timeout=60)
    client.objects.put("oss://mine/logs/data", b"stays")

    def logs(job: str) -> list[str]:
        return [uri for uri, _ in client.objects.list("oss://mine/logs/") if job in uri]

    client.delete_job(third)
    pass_days(8)
    assert bc("job", "prune", "--older-than", "7d", "--state", "Failed", "--with-objects", "-y").code == 0
    assert logs(first)
    assert bc("job", "prune", "--older-than", "7d", "--with-objects", "--yes").code == 0
    assert jobs_of(client) == set()
    assert (logs(first), logs(second)) == ([], [])
    assert logs(third), "not those of another job"
    assert client.objects.exists("oss://mine/logs/data")
    again = client.create_job(description).JobId
    client.wait(again, check=True, timeout=60)
    assert bc("job", "prune", "--older-than", "7d", "--yes").code == 0
    assert logs(again), "objects stay unless asked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--older-than", "7"], "'7' is not a number with a unit: s, m, h, d or w"),
        (["--older-than", "-7d"], "is not a number with a unit"),
        (["--older-than", "7d", "--state", "Running"], "is not one of"),
        ([], "--older-than"),
    ],
)
def test_usage(bc: Run, data_dir: object, arguments: list[str], message: str) -> None:
    done = bc("job", "prune", *arguments)
    assert done.code == 2
    assert message in done.err


def test_ages_and_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    context: Any = None
    ages = {"45s": 45, "90m": 5400, "1.5h": 5400, "7d": 7 * DAY, "2w": 14 * DAY}
    assert {text: times.read_age(context, context, text) for text in ages} == ages
    monkeypatch.setattr(times, "time", SimpleNamespace(time=lambda: 1000.0))
    assert times.read_moment(context, context, "10m") == 400.0
    assert times.read_moment(context, context, "1970-01-01T00:05:00Z") == 300.0
    local = datetime.fromtimestamp(5000, UTC).astimezone().replace(tzinfo=None).isoformat()
    assert times.read_moment(context, context, local) == 5000.0
