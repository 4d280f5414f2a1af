"""What the service does by itself to finished jobs: it deletes old ones, and packs the logs of Finished ones."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import housekeeping
from batchcompute_local.client import control
from batchcompute_local.errors import SettingsError
from batchcompute_local.housekeeping import Housekeeping
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.paths import Layout
from batchcompute_local.process.kept_logs import KeptLogs
from batchcompute_local.settings import read_settings

from batchcompute import Client
from tests.support.descriptions import describe
from tests.support.engine import World
from tests.support.service import Cloud
from tests.support.waits import wait_for

DAY = 86400.0


class Desk:
    """Housekeeping over a service without processes. Its clock begins at 1000 seconds."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.layout = Layout.at(folder)
        self.now = 1000.0
        world.clock = lambda: self.now
        world.engine.start()
        self.keepers: list[Housekeeping] = []

    def keep(self, **days: float) -> Housekeeping:
        """Housekeeping with these settings."""
        settings = replace(self.world.settings, **days)  # type: ignore[arg-type]  # names of days only
        self.keepers.append(Housekeeping(self.layout, settings, self.world.engine, lambda: self.now))
        return self.keepers[-1]

    def ask(self, run: Callable[[Turn], Any]) -> Any:
        return self.world.engine.submit(run).result(30)

    def end_job(self, code: int | None = 0) -> str:
        """Run a job of one instance; return its id, once it has ended. None stops it."""
        service, executor = self.world.service, self.world.executor
        plan = read_description(describe({"A": {}}), self.world.settings)
        job = str(self.ask(lambda turn: service.create_job(turn, 1, plan))["ResourceId"])
        attempt = wait_for(lambda: [one.attempt for one in executor.launched if one.job == job], "its launch")[0]
        if code is None:
            self.ask(lambda turn: service.stop_job(turn, 1, job))
        executor.end(attempt, code or 0)
        wait_for(lambda: self.ask(lambda turn: service.get_job(turn, 1, job)["EndTime"]), "its end")
        return job

    def write_log(self, job: str, text: str = "text") -> Path:
        """Write the log of the job's instance; return its folder."""
        folder = self.layout.work(job)
        folder.mkdir(parents=True)
        (folder / f"stdout.{job}.A.0").write_text(text)
        return folder

    def jobs(self) -> set[str]:
        return set(self.ask(lambda turn: self.world.service.list_jobs(turn, 1)))


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(world, tmp_path)
    yield made
    for each in made.keepers:
        each.close()
    world.engine.close()


def test_old_jobs_are_deleted_by_state(desk: Desk) -> None:
    old = {name: desk.end_job(code) for name, code in {"Finished": 0, "Failed": 1, "Stopped": None}.items()}
    desk.now += 2 * DAY
    new = desk.end_job()
    desk.keep().delete_old()
    assert desk.jobs() == {*old.values(), new}, "by default all stay"
    desk.keep(keep_failed_days=1, keep_stopped_days=3).delete_old()
    assert desk.jobs() == {old["Finished"], old["Stopped"], new}
    desk.keep(keep_finished_days=1.5, keep_stopped_days=1.5).delete_old()
    assert desk.jobs() == {new}
    forgotten = desk.world.executor.forgotten
    wait_for(lambda: set(forgotten) == set(old.values()), "their folders")


def test_many_jobs_are_deleted_in_pieces(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "_PIECE", 3)
    for _ in range(7):
        desk.end_job()
    desk.now += DAY
    turns: list[int] = []
    delete_old = Turn.delete_old

    def count(turn: Turn, **more: Any) -> list[str]:
        turns.append(len(gone := delete_old(turn, **more)))
        return gone

    monkeypatch.setattr(Turn, "delete_old", count)
    with caplog.at_level(logging.INFO):
        desk.keep(keep_finished_days=0.5).delete_old()
    assert desk.jobs() == set()
    assert turns == [3, 3, 1]
    assert "deleted 3 jobs that have been Finished for more than 0.5 days" in caplog.text


def test_logs_of_finished_jobs_are_packed(desk: Desk) -> None:
    finished, failed = desk.end_job(), desk.end_job(1)
    desk.now += 100
    fresh = desk.end_job()
    folders = [desk.write_log(job) for job in (finished, failed, fresh)]
    desk.keep().pack_logs()
    assert [folder.exists() for folder in folders] == [False, True, True], "a failed job may run again"
    assert KeptLogs(desk.layout.kept_logs).list_jobs() == [finished]
    desk.ask(lambda turn: desk.world.service.start_job(turn, 1, failed))
    desk.now += 100
    desk.keep().pack_logs()
    assert [folder.exists() for folder in folders] == [False, True, False]


def test_copies_for_mappings_of_finished_jobs_are_removed(desk: Desk) -> None:
    finished, failed = desk.end_job(), desk.end_job(1)
    copies = [desk.write_log(job) / ".mapped/one/objects" for job in (finished, failed)]
    for copy in copies:
        copy.mkdir(parents=True)
        (copy / "input").write_text("downloaded")
    desk.now += 100
    desk.keep().pack_logs()
    assert [copy.exists() for copy in copies] == [False, True]
    assert KeptLogs(desk.layout.kept_logs).list_jobs() == [finished]


def test_a_folder_that_stays_is_read_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    job = desk.end_job()
    desk.now += 100
    (desk.write_log(job) / "result").touch()
    asked: list[Sequence[Path]] = []
    pack = KeptLogs.pack

    def note(kept: KeptLogs, folders: Sequence[Path]) -> list[str]:
        asked.append(folders)
        return pack(kept, folders)

    monkeypatch.setattr(KeptLogs, "pack", note)
    keeper = desk.keep()
    keeper.pack_logs()
    keeper.pack_logs()
    assert asked == [[desk.layout.work(job)]]


def test_packed_logs_of_jobs_that_are_gone_are_removed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may be deleted while its logs are packed, or right before a crash."""
    first, second, third = (desk.end_job() for _ in range(3))
    desk.now += 100
    for job in (first, second, third):
        desk.write_log(job)
    pack = KeptLogs.pack

    def delete_and_pack(kept: KeptLogs, folders: Sequence[Path]) -> list[str]:
        desk.ask(lambda turn: desk.world.service.delete_job(turn, 1, second))
        return pack(kept, folders)

    monkeypatch.setattr(KeptLogs, "pack", delete_and_pack)
    desk.keep().pack_logs()
    kept = KeptLogs(desk.layout.kept_logs)
    assert kept.list_jobs() == [first, third]
    desk.ask(lambda turn: desk.world.service.delete_job(turn, 1, third))
    desk.keep().forget_gone()
    assert kept.list_jobs() == [first]


def test_a_finished_job_costs_no_file(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 jobs that print a line, as a user sees them, and the files and bytes that they cost."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.up()
    cloud.program("print('a line')")
    control.stop(cloud.root)
    before = _measure(cloud.root)
    cloud.up()
    with Client("local") as client:
        jobs = [cloud.create({"A": {}}) for _ in range(100)]
        for job in jobs:
            client.wait(job, check=True, timeout=60)
        control.stop(cloud.root)
        _, with_files = _measure(cloud.root)
        layout = Layout.at(cloud.root)
        with closing(sqlite3.connect(layout.database)) as database, database:
            database.execute("UPDATE jobs SET ended = ended - 100")  # a while passes
        cloud.up()
        wait_for(lambda: not [*cloud.root.glob("work/job-*")], "the folders to go")
        control.stop(cloud.root)
        files, size = (after - earlier for after, earlier in zip(_measure(cloud.root), before, strict=True))
        assert files <= 10, "not one for each job"
        assert 0 < size < (with_files - before[1]) / 2
        for job in (jobs[0], jobs[-1]):
            assert client.read_log(job, "A", 0, "stdout") == b"a line\n"
            assert client.read_log(job, "A", 0, "stderr") == b""
            assert client.read_log(job, "A", 0, "stdout", attempt=1) == b"a line\n"
            with pytest.raises(LookupError, match=r"attempts with a log: 1\n"):
                client.read_log(job, "A", 0, "stdout", attempt=2)
        client.delete_job(jobs[0])
        wait_for(lambda: jobs[0] not in KeptLogs(layout.kept_logs).list_jobs(), "its logs to go with it")


def _measure(root: Path) -> tuple[int, int]:
    """Files and folders of the data folder, and their bytes on the disk; without packages, logs and what waits to be removed."""
    paths = [*root.glob("*.sqlite3*"), *root.glob("work/job-*"), *root.glob("work/job-*/**/*")]
    return len(paths), sum(path.lstat().st_blocks * 512 for path in paths)


def test_the_service_does_it(cloud: Cloud) -> None:
    cloud.settings("keep_finished_days = 0.0000001\nkeep_failed_days = 0\n")
    cloud.up()
    cloud.program("import sys; sys.exit(len(sys.argv) - 1)")
    finished, failed = cloud.create({"A": {}}), cloud.create({"A": {"ProgramArguments": "bad"}})
    cloud.ended(finished)
    cloud.ended(failed)
    control.stop(cloud.root)
    cloud.up()
    wait_for(lambda: cloud.call("GET", f"/jobs/{finished}")[0] == 404, "the deletion")
    wait_for(lambda: not (cloud.root / "work" / finished).exists(), "the end of its folder")
    assert cloud.job(failed)["State"] == "Failed"


@pytest.mark.parametrize("text", ["keep_finished_days = -1", "keep_failed_days = '7d'", "keep_stoped_days = 1"])
def test_settings_that_are_no_days(tmp_path: Path, text: str) -> None:
    path = tmp_path / "service.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"keep_(finished|failed|stopped)_days"):
        read_settings(path)
