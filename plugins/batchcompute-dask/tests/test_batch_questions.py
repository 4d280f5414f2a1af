"""What the answers of a batch system say of the job of a worker, asked with a stand-in for its command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from batchcompute_dask.clusters import batch
from batchcompute_dask.clusters.batch import Jobs
from batchcompute_dask.settings import read_options
from batchcompute_local.paths import Layout


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Jobs of Slurm."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    options = read_options({"cluster": "slurm", "slurm": {"cores": 1, "memory": "1 GiB"}})
    return Jobs(Layout.at(tmp_path / "data"), options, "tls://h:1")


def answer(folder: Path, script: str) -> None:
    """Have the batch system answer so."""
    (folder / "squeue").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "squeue").chmod(0o700)


def ask(jobs: Jobs, times: int = 1) -> list[bool]:
    """Ask so often whether the job 7 is there."""

    async def go() -> list[bool]:
        return [await jobs._is_queued("7") for _ in range(times)]

    return asyncio.run(go())


def test_a_job_is_gone_when_the_batch_system_fails_six_times_in_a_row(tmp_path: Path, jobs: Jobs) -> None:
    answer(tmp_path, "exit 1")
    assert ask(jobs, 5) == [True] * 5
    answer(tmp_path, "echo 7 debug R")
    assert ask(jobs) == [True]
    answer(tmp_path, "exit 1")
    assert ask(jobs, 6) == [True] * 5 + [False]


def test_a_job_of_which_nothing_is_said_is_gone(tmp_path: Path, jobs: Jobs) -> None:
    answer(tmp_path, "exit 0")
    assert ask(jobs) == [False]


def test_a_batch_system_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_ANSWER_SECONDS", 0.2, raising=False)
    answer(tmp_path, "exec sleep 20")
    assert asyncio.run(asyncio.wait_for(jobs._is_queued("7"), 10))
