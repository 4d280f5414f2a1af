"""Copies of the database, and the check that finds damage in one."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from batchcompute_local.damage import DamageError
from batchcompute_local.errors import DaemonError
from batchcompute_local.jobs.copies import check_database, choose_superfluous, copy_database, list_copies
from batchcompute_local.jobs.opening import describe_age, open_store
from batchcompute_local.jobs.wal import find_torn
from batchcompute_local.paths import Layout

from tests.support.descriptions import describe
from tests.support.engine import World


def test_a_copy_has_one_moment_of_a_database_that_is_written(world: World, tmp_path: Path) -> None:
    for _ in range(20):
        world.create(describe({"A": {"InstanceCount": 5}}))
    done = threading.Event()
    made: list[Path | None] = []

    def copy() -> None:
        made.append(copy_database(world.path, tmp_path / "copies", 1000.0))
        done.set()

    thread = threading.Thread(target=copy)
    thread.start()
    count = 0
    while not done.is_set():
        world.create(describe({"A": {}}))
        count += 1
    thread.join()
    (found,) = list_copies(tmp_path / "copies")
    assert 20 <= found.jobs <= 20 + count
    assert found.path.name == "state-1970-01-01T001640Z.sqlite3"
    assert found.path == made[0]
    assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == [found.path.name]
    assert found.path.stat().st_mode & 0o777 == 0o600
    check_database(found.path, None)


def test_nothing_is_copied_if_nothing_has_changed(world: World, tmp_path: Path) -> None:
    world.create(describe({"A": {}}))
    assert copy_database(world.path, tmp_path / "c", 1000.0) is not None
    assert copy_database(world.path, tmp_path / "c", 5000.0) is None
    world.create(describe({"A": {}}))
    assert copy_database(world.path, tmp_path / "c", 9000.0) is not None
    assert [copy.jobs for copy in list_copies(tmp_path / "c")] == [2, 1]


FLIPS = {
    "jobs": "total_time = total_time + 1",
    "descriptions": "text = replace(text, 'main.py', 'mein.py')",
    "tasks": "ended = ended + 1",
    "instances": "exit_code = 1",
    "attempts": "reason = 'x'",
}


def _finish(world: World, path: Path) -> str:
    """A Finished job whose instance was stopped once, and others; all are in a copy."""
    job_id = world.create(describe({"A": {}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    world.end(f"{job_id}.0.0.1", code=1)
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))
    world.end(f"{job_id}.0.0.2")
    assert world.job(job_id)["State"] == "Terminated"
    assert copy_database(world.path, path, 1000.0) is not None
    world.create(describe({"A": {}}))
    return job_id


@pytest.mark.parametrize("table", FLIPS)
def test_a_flipped_bit_in_a_finished_job_is_found(world: World, tmp_path: Path, table: str) -> None:
    job_id = _finish(world, tmp_path / "c")
    with closing(sqlite3.connect(world.path)) as db:
        assert db.execute(f"UPDATE {table} SET {FLIPS[table]}").rowcount
        db.commit()
    said = f"and state-1970-01-01T001640Z.sqlite3 differ in jobs that are Finished and never change: {job_id}. A bit"
    with pytest.raises(DamageError, match=said):
        copy_database(world.path, tmp_path / "c", 9000.0)
    assert len(list_copies(tmp_path / "c")) == 1


def test_a_row_that_is_missing_is_found(world: World, tmp_path: Path) -> None:
    job_id = _finish(world, tmp_path / "c")
    with closing(sqlite3.connect(world.path)) as db:
        db.execute("DELETE FROM instances WHERE job = 1")
        db.commit()
    with pytest.raises(DamageError, match=job_id):
        copy_database(world.path, tmp_path / "c", 9000.0)


def test_what_users_do_is_no_damage(world: World, tmp_path: Path) -> None:
    gone, other = _finish(world, tmp_path / "c"), _finish(world, tmp_path / "d")
    failed = world.create(describe({"A": {}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, failed))
    assert copy_database(world.path, tmp_path / "c", 5000.0) is not None
    world.do(lambda turn: world.service.delete_job(turn, 1, gone))
    world.do(lambda turn: world.service.update_job_priority(turn, 1, failed, 7))
    world.do(lambda turn: world.service.start_job(turn, 1, failed))
    assert copy_database(world.path, tmp_path / "c", 9000.0) is not None
    assert other in world.do(lambda turn: world.service.list_jobs(turn, 1))


def test_a_restored_database_is_no_damage(world: World, tmp_path: Path) -> None:
    """The newest copy has a job as Finished that came back Stopped, and was started again."""
    job_id = world.create(describe({"A": {}}))
    world.do(lambda turn: world.service.stop_job(turn, 1, job_id))
    world.end(f"{job_id}.0.0.1", code=1)
    with closing(sqlite3.connect(world.path)) as db, closing(sqlite3.connect(tmp_path / "finished")) as copy:
        db.backup(copy)
        copy.execute("UPDATE jobs SET state = 3")
        copy.commit()
    assert copy_database(tmp_path / "finished", tmp_path / "c", 1000.0) is not None
    assert copy_database(world.path, tmp_path / "c", 5000.0) is not None
    (tmp_path / "c/state-1970-01-01T012320Z.sqlite3").unlink()
    world.do(lambda turn: world.service.start_job(turn, 1, job_id))
    world.end(f"{job_id}.0.0.2")
    assert world.job(job_id)["State"] == "Terminated"
    assert copy_database(world.path, tmp_path / "c", 9000.0) is not None


def test_a_copy_that_is_cancelled_leaves_nothing(world: World, tmp_path: Path) -> None:
    world.create(describe({"A": {}}))
    assert copy_database(world.path, tmp_path / "c", 1000.0, lambda: True) is None
    assert list((tmp_path / "c").iterdir()) == []


def test_which_copies_stay() -> None:
    hour, day = 3600, 86400
    start = 1000 * day
    times = [(start - n * hour // 2, 10) for n in range(24 * 2 * 10)]  # every half an hour for ten days
    gone = choose_superfluous(times, hourly=24, daily=7, most_bytes=10_000)
    stay = [times[n][0] for n in range(len(times)) if n not in gone]
    assert stay[0] == start
    assert len(stay) == 24 + 7 - 2  # the newest of a day may be one of the hours too
    assert len({each // hour for each in stay}) == len(stay)
    assert start - stay[-1] < 7 * day
    gone = choose_superfluous(times, 24, 7, most_bytes=25)
    assert [times[n][0] for n in range(len(times)) if n not in gone] == stay[:2]
    assert choose_superfluous(times[:3], 24, 7, most_bytes=1) == [1, 2], "the newest stays whatever its size"


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _no_database(path: Path) -> None:
    path.write_bytes(b"text" * 5000)


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def _no_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 0")


def _no_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE instances")


def _no_generator(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM meta")


def _zeros(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(4096))


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _gone(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[Callable[[Path], None], str] = {
    _empty: "is empty",
    _no_database: "is damaged: file is not a database",
    _newer: "has schema 99, and this version of the service knows 1 to ",
    _no_version: "has schema 0",
    _no_table: "is damaged: its table instances is not whole",
    _no_generator: "does not say with what the ids of its jobs begin",
    _zeros: "is damaged: ",
    _cut: "is damaged: ",
    _gone: "is missing, but there are copies of it",
    _folder: "is a directory",
}


@pytest.mark.parametrize("with_copy", [True, False])
@pytest.mark.parametrize("spoil", DAMAGES)
def test_a_damaged_database_is_refused_with_the_cure(
    world: World, tmp_path: Path, spoil: Callable[[Path], None], with_copy: bool
) -> None:
    layout = Layout.at(tmp_path)
    world.create(describe({"A": {"InstanceCount": 3}}))
    if with_copy:
        copy_database(world.path, layout.copies, 1000.0)
    elif spoil is _gone:
        layout.work("job-" + "0" * 32).mkdir(parents=True)
    world.engine.store.close()
    spoil(world.path)
    before = world.path.read_bytes() if world.path.is_file() else b""
    with pytest.raises(DaemonError) as seen:
        open_store(layout)
    text = str(seen.value)
    if with_copy or spoil is not _gone:
        assert DAMAGES[spoil] in text
    assert str(layout.database) in text
    cure = (
        "The newest good copy is state-1970-01-01T001640Z.sqlite3" if with_copy else "`batchcompute local reset --force"
    )
    assert cure in text
    assert (world.path.read_bytes() if world.path.is_file() else b"") == before
    world.path = tmp_path / "other.sqlite3"
    world.crash(world.executor)  # closed by the fixture


def test_a_job_that_cannot_be_read_is_damage(world: World, tmp_path: Path) -> None:
    world.create(describe({"A": {}}))
    world.engine.store.close()
    with closing(sqlite3.connect(world.path)) as db, db:
        db.execute("UPDATE descriptions SET text = '{'")
    store = open_store(Layout.at(tmp_path))
    with pytest.raises(DamageError, match=r"has rows of job job-[0-9A-F]+ that cannot be read: JSONDecodeError"):
        store.active()
    store.close()
    world.path = tmp_path / "other.sqlite3"
    world.crash(world.executor)


def test_a_new_folder_gets_a_database_at_once_or_none(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    (tmp_path / "state.sqlite3.new").write_bytes(b"left by a crash")
    store = open_store(layout)
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.sqlite3"]
    open_store(layout).close()


def test_damage_in_the_write_ahead_log_is_found(world: World, tmp_path: Path) -> None:
    for _ in range(5):
        world.create(describe({"A": {}}))
    content = Path(f"{world.path}-wal").read_bytes()
    index = Path(f"{world.path}-shm").read_bytes()
    copy = tmp_path / "copy"
    copy.touch()

    def look(log: bytes, index: bytes = b"") -> str:
        Path(f"{copy}-wal").write_bytes(log)
        Path(f"{copy}-shm").write_bytes(index)
        return find_torn(copy)

    frame = 4096 + 24
    frames = (len(content) - 32) // frame
    assert frames > 5
    assert look(content) == look(content, index) == look(b"", b"") == ""
    assert look(content + content[32 : 32 + frame + 9], index) == "", (
        "a process that is killed leaves a part of a commit"
    )
    for size in (0, 20, 32, 32 + frame // 2, 32 + frame, len(content) - 100):
        assert look(content[:size]) == "", size  # without the index nobody can know
        assert "its write-ahead log" in look(content[:size], index), size
    for at in (32 + 4, 32 + 10, 32 + 20, 32 + 2000, 32 + frame + 7):
        changed = bytearray(content)
        changed[at] ^= 1
        assert "in its write-ahead log is damaged" in look(bytes(changed)), at
    changed = bytearray(content)
    changed[17] ^= 1
    assert look(bytes(changed)) == "the head of its write-ahead log is damaged"
    assert look(content, bytes(len(index))) == look(content, index[:-5]) == "", "a damaged index says nothing"
    assert find_torn(tmp_path / "absent") == ""


def test_a_log_that_was_copied_into_the_database_may_be_gone(world: World, tmp_path: Path) -> None:
    world.create(describe({"A": {}}))
    with closing(sqlite3.connect(world.path)) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        index = Path(f"{world.path}-shm").read_bytes()
    Path(f"{tmp_path}/copy-shm").write_bytes(index)
    assert find_torn(tmp_path / "copy") == ""


def test_an_age_in_words() -> None:
    found = [describe_age(seconds) for seconds in (-5, 0, 119, 120, 7199, 7200, 200_000)]
    assert found == ["0 seconds", "0 seconds", "119 seconds", "2 minutes", "119 minutes", "2 hours", "2 days"]


def test_what_a_restored_copy_does_not_know_is_kept(world: World) -> None:
    job_id = world.create(describe({"A": {}}))
    with closing(sqlite3.connect(world.path)) as db, db:
        db.execute("INSERT INTO meta VALUES ('unknown job-7', '')")
    names = (job_id, "job-7", "job-8")
    assert world.do(lambda turn: [turn.keeps(name) for name in names]) == [True, True, False]
