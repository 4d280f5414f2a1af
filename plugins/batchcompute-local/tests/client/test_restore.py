"""`batchcompute local restore`: a copy takes the place of a damaged state, and nothing is used twice."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.client.restore import restore
from batchcompute_local.errors import DaemonError
from batchcompute_local.jobs.copies import check_database, copy_database, list_copies
from batchcompute_local.jobs.wal import find_torn
from batchcompute_local.paths import Layout

from tests.support.service import Cloud
from tests.support.waits import wait_for

WAITER = """
import os, sys, time
here = os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/"
open(here + "started." + os.environ["BATCHCOMPUTE_ATTEMPT"], "w").close()
while "wait" in sys.argv and not os.path.exists(here + "go"):
    time.sleep(0.005)
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def layout(cloud: Cloud) -> Layout:
    """The data folder of a service with a program."""
    cloud.settings("slots = 2\ngrace_seconds = 0.2\nrunner_linger_seconds = 1\n")
    cloud.up()
    cloud.program(WAITER)
    return Layout.at(cloud.root)


@pytest.fixture
def run(cloud: Cloud) -> Run:
    """Runs `batchcompute local restore`; its exit code and what it printed."""

    def command(*words: str, answer: str = "") -> tuple[int, str]:
        line = [sys.executable, "-c", "from batchcompute.cli import main; main()", "local", "restore", *words]
        line += ["--data-dir", str(cloud.root)]
        done = subprocess.run(line, capture_output=True, text=True, input=answer, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return command


def _copy(layout: Layout) -> str:
    made = copy_database(layout.database, layout.copies, time.time() - 7200)
    assert made is not None
    return made.name


def _stop(cloud: Cloud) -> None:
    control.stop(cloud.root)
    wait_for(lambda: not (cloud.root / "daemon.sock").exists())


def _started(cloud: Cloud) -> list[str]:
    return sorted(path.name.removeprefix("started.") for path in (cloud.root / "oss/tests").glob("started.*"))


def _instance(cloud: Cloud, job_id: str) -> dict[str, Any]:
    one: dict[str, Any] = cloud.call("GET", f"/jobs/{job_id}/tasks")[1]["A"]["InstanceStatusVector"][0]
    return one


def _has_started(cloud: Cloud, attempt: str) -> bool:
    return attempt in _started(cloud)


def test_a_restore_is_refused_while_the_service_runs(cloud: Cloud, layout: Layout, run: Run) -> None:
    name = _copy(layout)
    for words in ((), ("--dry-run",), ("--copy", name, "--yes")):
        code, text = run(*words)
        assert code == 1
        assert re.search(
            r"a service \(pid \d+\) runs in .* with 0 active jobs; end it first: `batchcompute local stop", text
        )
    assert cloud.call("GET", "/jobs")[0] == 200


def test_active_jobs_come_back_stopped_and_no_name_is_used_twice(cloud: Cloud, layout: Layout, run: Run) -> None:
    done = cloud.create({"A": {}})
    cloud.ended(done)
    held = cloud.create({"A": {"ProgramArguments": "wait"}})
    wait_for(lambda: len(_started(cloud)) == 2, "the programs")
    waiting = cloud.create({"A": {"InstanceCount": 2, "ProgramArguments": "wait"}, "B": {}}, {"A": ["B"]})
    wait_for(lambda: len(_started(cloud)) == 3, "the first of the next job")
    name = _copy(layout)
    # what the copy does not know: two more attempts of one, and a job of which a folder is left
    assert cloud.call("PUT", f"/jobs/{waiting}?Action=Stop")[0] == 200
    for number in (2, 3):
        assert cloud.call("PUT", f"/jobs/{held}?Action=Stop")[0] == 200
        assert cloud.call("PUT", f"/jobs/{held}?Action=Start")[0] == 200
        wait_for(partial(_has_started, cloud, f"{held}.0.0.{number}"), "the next attempt")
    later = cloud.create({"A": {}})
    cloud.ended(later)
    cloud.client.close()
    _stop(cloud)
    for newer in list_copies(layout.copies)[:-1]:  # as if it had been killed
        newer.path.unlink()
    with cloud.root.joinpath("state.sqlite3").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(DaemonError, match=rf"state.sqlite3, is damaged.*The newest good copy is {name}, 2 hours old"):
        control.ensure_running(cloud.root)

    before = sorted(path.name for path in cloud.root.iterdir())
    code, text = run("--dry-run")
    assert (code, "would be restored" in text) == (0, True), text
    assert f"{name}  " in text
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["COPY", "MADE", "AGE", "JOBS", "ACTIVE", "SIZE"]
    assert (lines[1][0], lines[1][-3:-1]) == (name, ["3", "2"])
    assert sorted(path.name for path in cloud.root.iterdir()) == before
    assert list(procs.attempts(held)), "a dry run ends no program"
    code, text = run(answer="y\n")
    assert (code, "no terminal to ask on; use --yes" in text) == (2, True)
    code, text = run("--dry-run", "--json")
    assert (code, json.loads(text)["stopped"], json.loads(text)["copies"][0]["jobs"]) == (0, [held, waiting], 3)
    assert sorted(path.name for path in cloud.root.iterdir()) == before

    code, text = run("-y")
    assert code == 0, text
    assert not list(procs.attempts(held))
    assert {job: f"{job} is Stopped" in text for job in (done, held, waiting)} == {
        done: False,
        held: True,
        waiting: True,
    }
    assert f"work/{later} stays: the copy does not know this job" in text
    (kept,) = cloud.root.glob("state.sqlite3.damaged-*")
    assert kept.stat().st_size == 5000
    (cloud.root / "oss/tests/go").touch()
    ran = _started(cloud)
    cloud.up()
    assert {job: cloud.job(job)["State"] for job in (done, held, waiting)} == {
        done: "Terminated",
        held: "Stopped",
        waiting: "Stopped",
    }
    assert _started(cloud) == ran, "nothing runs until somebody starts it"
    assert (cloud.root / "work" / later).is_dir(), "not even the tidy at the start removes it"
    assert cloud.call("GET", f"/jobs/{later}")[0] == 404
    new = cloud.create({"A": {}})
    assert new > later
    cloud.ended(new)
    for job in (held, waiting):
        assert cloud.call("PUT", f"/jobs/{job}?Action=Start")[0] == 200
        assert cloud.ended(job)["State"] == "Terminated"
    found = _started(cloud)
    assert f"{held}.0.0.4" in found
    assert len(set(found) - set(ran)) == 5, "the new one, the held one, and three instances of the other"


def test_the_reason_is_the_age_of_the_copy(cloud: Cloud, layout: Layout) -> None:
    for _ in range(2):
        cloud.create({"A": {"ProgramArguments": "wait"}})
    wait_for(lambda: len(_started(cloud)) == 2, "the programs")
    job = cloud.create({"A": {}})  # no slot is free
    _copy(layout)
    _stop(cloud)
    stopped = restore(cloud.root).stopped
    assert job in stopped
    with closing(sqlite3.connect(layout.database)) as db:
        reasons = {row[0] for row in db.execute("SELECT reason FROM instances WHERE state = 5")}
        assert reasons == {"the state of all jobs was restored from a copy that was 2 hours old"}
    cloud.up()
    assert cloud.call("PUT", f"/jobs/{job}?Action=Start")[0] == 200
    assert cloud.ended(job)["State"] == "Terminated"
    assert f"{job}.0.0.1" in _started(cloud)


def test_a_damaged_write_ahead_log_and_the_database_without_it(cloud: Cloud, layout: Layout, run: Run) -> None:
    jobs = [cloud.create({"A": {}}) for _ in range(3)]
    for job in jobs:
        cloud.ended(job)
    cloud.down()
    wait_for(lambda: not control.is_locked(layout.lock), "the daemon's end")
    wal = cloud.root / "state.sqlite3-wal"
    content = bytearray(wal.read_bytes())
    content[-4096 * 3] ^= 1
    wal.write_bytes(content)
    assert find_torn(layout.database)
    with pytest.raises(
        DaemonError, match=r"frame \d+ of \d+ in its write-ahead log is damaged.*There is no copy of it"
    ):
        control.ensure_running(cloud.root)
    assert wal.read_bytes() == content, "nothing was changed"
    code, text = run("--yes")
    assert (code, "itself can be read: `--copy state.sqlite3` takes what is whole of it" in text) == (1, True), text
    assert wal.read_bytes() == content
    code, text = run("--copy", "state.sqlite3", "--yes")
    assert code == 0, text
    (kept,) = cloud.root.glob("state.sqlite3.damaged-*Z")
    assert Path(f"{kept}-wal").read_bytes() == content
    cloud.up()
    assert cloud.call("GET", f"/jobs/{jobs[0]}")[0] == 200


def test_a_copy_that_is_not_there_is_named(cloud: Cloud, layout: Layout, run: Run) -> None:
    name = _copy(layout)
    _stop(cloud)
    code, text = run("--copy", "state-x", "--yes")
    assert (code, f"there is no good copy 'state-x' in {layout.copies}; there are: {name}" in text) == (1, True), text
    for path in layout.copies.iterdir():
        path.write_bytes(b"damaged too")
    layout.database.write_bytes(b"")
    code, text = run("--yes")
    assert (code, f"there is no good copy in {layout.copies}" in text) == (1, True), text


def test_the_service_makes_a_copy_at_its_end_and_only_if_something_changed(cloud: Cloud, layout: Layout) -> None:
    cloud.ended(cloud.create({"A": {}}))
    for _ in range(2):
        _stop(cloud)
        (copy,) = list_copies(layout.copies)
        assert (copy.jobs, copy.active) == (1, 0)
        check_database(copy.path, None)
        cloud.up()


def test_no_copies_are_made_if_the_settings_say_so(cloud: Cloud) -> None:
    cloud.settings("hourly_copies = 0\ndaily_copies = 0\n")
    cloud.up()
    cloud.program(WAITER)
    cloud.ended(cloud.create({"A": {}}))
    _stop(cloud)
    assert not (cloud.root / "copies").exists()


def test_a_reset_removes_the_copies_too(cloud: Cloud, layout: Layout) -> None:
    from batchcompute_local.client.reset import reset

    _copy(layout)
    layout.database.exists()
    _stop(cloud)
    layout.database.write_bytes(b"")
    reset(cloud.root, force=True)
    assert not layout.copies.exists()
    cloud.up()
    assert os.path.exists(layout.database)
