"""Logs of Finished jobs in one file: which move, and that all of them are read as before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from batchcompute_local.process.kept_logs import KeptLogs

JOB = "job-1"


@pytest.fixture
def kept(tmp_path: Path) -> KeptLogs:
    return KeptLogs(tmp_path / "logs.sqlite3")


def make(folder: Path, texts: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return folder


def read(kept: KeptLogs, name: str, attempt: int | None = None, job: str = JOB) -> bytes | None:
    log = kept.open(job, name, attempt)
    if log is None:
        return None
    with log:
        return log.read()


def test_logs_move_and_are_read_as_before(kept: KeptLogs, tmp_path: Path) -> None:
    texts = {
        f"stdout.{JOB}.A.0": b"one\xff" * 1000,
        f"stderr.{JOB}.A.0": b"",
        f"stdout.{JOB}.A.0.attempt-1": b"first",
        f"stdout.{JOB}.A.0.attempt-3": b"third",
        f"stdout.{JOB}.A.01": b"another instance",
    }
    folder = make(tmp_path / "work" / JOB, texts)
    assert kept.pack([folder, make(tmp_path / "work" / "job-2", {})]) == [JOB]
    assert list((tmp_path / "work").iterdir()) == []
    assert os.stat(tmp_path / "logs.sqlite3").st_mode & 0o077 == 0
    name = f"stdout.{JOB}.A.0"
    assert read(kept, name) == texts[name]
    assert read(kept, f"stderr.{JOB}.A.0") == b"", "an empty log is no missing log"
    assert [read(kept, name, attempt) for attempt in (1, 3, 4)] == [b"first", b"third", texts[name]]
    with pytest.raises(LookupError, match=r"no log of attempt 2; attempts with a log: 1, 3, 4$"):
        kept.open(JOB, name, 2)
    assert read(kept, f"stdout.{JOB}.A.7") is None
    assert read(kept, name, 1, job="job-3") is None


def test_nothing_is_packed_yet(kept: KeptLogs, tmp_path: Path) -> None:
    assert read(kept, f"stdout.{JOB}.A.0") is None
    assert kept.list_jobs() == []
    kept.forget([JOB])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(kept: KeptLogs, tmp_path: Path) -> None:
    (tmp_path / "logs.sqlite3").write_bytes(b"x" * 5000)
    with pytest.raises(OSError, match=r"logs\.sqlite3 cannot be read"):
        kept.open(JOB, f"stdout.{JOB}.A.0", None)


def test_what_is_not_a_few_small_logs_stays(kept: KeptLogs, tmp_path: Path) -> None:
    log = {f"stdout.{JOB}.A.0": b"text"}
    folders = [
        make(tmp_path / "folder" / JOB, log),
        make(tmp_path / "link" / JOB, log),
        make(tmp_path / "fifo" / JOB, log),
        make(tmp_path / "name" / JOB, {**log, "result": b"mine"}),
        make(tmp_path / "large" / JOB, {f"stdout.{JOB}.A.0": b"x" * (1 << 20)}),
        make(tmp_path / "many" / JOB, {f"stdout.{JOB}.A.{number}": b"" for number in range(300)}),
    ]
    (folders[0] / "A@0").mkdir()
    (folders[1] / f"stderr.{JOB}.A.0").symlink_to(tmp_path)
    os.mkfifo(folders[2] / f"stderr.{JOB}.A.0")
    before = [sorted(os.listdir(folder)) for folder in folders]
    assert kept.pack(folders) == []
    assert [sorted(os.listdir(folder)) for folder in folders] == before


def test_logs_of_a_deleted_job_go(kept: KeptLogs, tmp_path: Path) -> None:
    jobs = [f"job-{number}" for number in range(20)]
    for job in jobs:
        make(tmp_path / "work" / job, {f"stdout.{job}.A.0": os.urandom(10_000)})
    kept.pack(tmp_path / "work" / job for job in jobs)
    assert kept.list_jobs() == sorted(jobs)
    full = _size(kept)
    other = KeptLogs(tmp_path / "logs.sqlite3")  # there is another connection
    other.forget(jobs[1:])
    other.close()
    assert kept.list_jobs() == ["job-0"]
    assert read(kept, "stdout.job-0.A.0", job="job-0") is not None
    assert _size(kept) < full / 5, "the space is given back"


def _size(kept: KeptLogs) -> int:
    """The size of the file, after all that was written has reached it."""
    kept.close()
    return kept._path.stat().st_size
