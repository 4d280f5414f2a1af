"""What is known of jobs and attempts without the database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from batchcompute_local.client.traces import find_traces, list_job_folders
from batchcompute_local.paths import Layout

from tests.support.descriptions import describe
from tests.support.engine import World

JOB = "job-00000000" + "6B08A0B3B17C00E8" + "0000000"


def _id(number: int) -> str:
    return f"{JOB}{number}"


def test_every_place_is_searched(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.work(_id(1)).mkdir(parents=True)
    (layout.work(_id(1)) / "Find@3").mkdir()
    for name in (f"stdout.{_id(1)}.Find.0.attempt-4", f"stderr.{_id(1)}.Find.0", f"stdout.{_id(1)}.a.b.7"):
        (layout.work(_id(1)) / name).touch()
    stderr = layout.work(_id(1)) / f"stderr.{_id(1)}.Find.1"
    stderr.write_text("x" * 9000 + "\nbatchcompute: ended with exit code 1 after 2 s, attempt 6 on host\n")
    (layout.oss / "b" / "logs").mkdir(parents=True)
    (layout.oss / "b" / "logs" / f"stdout.{_id(2)}.T.0.attempt-2").touch()
    layout.journal.write_bytes(b'{"event":"exited","attempt":"' + f"{_id(3)}.0.5.8".encode() + b'", torn \xff')
    layout.journal.with_name("runner.journal.damaged-2026-01-01T000000Z").write_text(json.dumps(f"{_id(4)}.1.0.2"))
    layout.log.write_text(f"... {_id(5)}.0.0.9 failed before it began; and {_id(6)} is no job\n")
    layout.attempts.mkdir()
    (layout.attempts / f"{_id(7)}.0.0.1").touch()
    with closing(sqlite3.connect(layout.kept_logs)) as db, db:
        db.execute("CREATE TABLE logs (job TEXT, name TEXT)")
        db.execute("INSERT INTO logs VALUES (?, 'n')", (_id(8),))
    (tmp_path / "work" / "no-job").mkdir()
    found = find_traces(layout, [])
    assert found.jobs == {_id(number) for number in range(1, 9)}
    assert found.logs == {_id(8)}
    assert found.attempts == {
        (_id(1), "Find", 0): 5,
        (_id(1), "Find", 1): 6,
        (_id(1), "Find", 3): 1,
        (_id(1), "a.b", 7): 1,
        (_id(2), "T", 0): 3,
        (_id(3), 0, 5): 8,
        (_id(4), 1, 0): 2,
        (_id(5), 0, 0): 9,
        (_id(7), 0, 0): 1,
    }
    assert list_job_folders(layout) == [layout.work(_id(1))]


def test_a_damaged_database_says_what_it_can(world: World, tmp_path: Path) -> None:
    jobs = [world.create(describe({"A": {"InstanceCount": 2}})) for _ in range(3)]
    world.end(f"{jobs[0]}.0.0.1")
    path = tmp_path / "former"
    for end in ("", "-wal"):
        Path(f"{path}{end}").write_bytes(Path(f"{world.path}{end}").read_bytes())
    whole = find_traces(Layout.at(tmp_path / "none"), [path])
    assert whole.jobs == set(jobs)
    assert whole.attempts[jobs[0], 0, 0] == 1
    path.write_bytes(path.read_bytes()[:100] + bytes(5000))
    assert find_traces(Layout.at(tmp_path / "none"), [path]).jobs <= set(jobs)
