"""How processes are identified: marks and start times."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batchcompute_local import mark as mark_module, procs
from batchcompute_local.mark import Marks
from batchcompute_local.paths import ENV_ATTEMPT, Layout
from batchcompute_local.records import StartRecord
from batchcompute_local.runner.leftovers import Leftovers
from batchcompute_local.runner.orphans import find_orphans


def test_start_times_tell_processes_apart() -> None:
    assert procs.start_time(os.getpid()) == procs.start_time(os.getpid())
    before = procs.ticks()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert not procs.is_born(os.getpid(), [before, before + 1])
    assert not procs.is_born(os.getppid(), [before, before + 1])
    deadline = time.monotonic() + 10
    while procs.start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert procs.start_time(pid) is None  # a zombie is not there any more
    os.waitpid(pid, 0)


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0]


def test_marks_are_inherited() -> None:
    marks, usual, waiting = Marks(), _limit(), "import sys; print(flush=True); sys.stdin.read()"
    with marks.set_mark("a") as mark:
        assert 0 < mark < usual
        assert _limit() == mark
        bearer = subprocess.Popen([sys.executable, "-c", waiting], stdin=-1, stdout=-1, env={})
    assert _limit() == usual
    assert bearer.stdout is not None
    bearer.stdout.readline()
    assert find_orphans(marks, [], []) == {"a": [bearer.pid]}
    assert find_orphans(marks, [bearer.pid], []) == {}
    marks.release(mark)
    assert find_orphans(marks, [], []) == {}
    bearer.communicate()


def test_a_service_in_a_program_has_other_marks_than_the_outer_one() -> None:
    marks = Marks()
    code = """
import resource
import signal
from batchcompute_local.mark import Marks, has_mark
import os
print(resource.getrlimit(resource.RLIMIT_MSGQUEUE)[0], has_mark(os.getpid()))
with Marks().set_mark("inner") as mark:
    print(mark, has_mark(os.getpid()))
"""
    with marks.set_mark("a"), marks.set_mark("b") as last:
        inner = subprocess.run([sys.executable, "-c", code], stdout=-1, check=True).stdout.decode().split()
    assert inner[:2] == [str(last), "False"]
    assert int(inner[2]) <= _limit() - mark_module._SPAN
    assert inner[3] == "False", "its own limit is the lowest of them, so nothing below it has been given away"


def test_without_a_mark_left_none_is_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mark_module, "_SPAN", 2)
    marks, usual = Marks(), _limit()
    found = []
    for attempt in "abcd":
        with marks.set_mark(attempt) as mark:
            found.append(mark)
            assert _limit() == (mark or usual)
    assert found[2:] == [0, 0]
    assert len(set(found)) == 3
    marks.release(found[0])
    with pytest.raises(OSError, match="not started"), marks.set_mark("e"):
        raise OSError("not started")
    with marks.set_mark("f") as mark:
        assert mark == found[0]


def test_a_journal_without_times_of_birth_is_read(tmp_path: Path) -> None:
    record = StartRecord("job-x.0.0.1", 1.0, "h", pid=os.getpid(), boot=procs.boot_id())
    leftovers = Leftovers([record], "job-x", Layout.at(tmp_path), ())
    assert leftovers.collect() == ["job-x.0.0.1"]  # it is somebody else's process


def test_programs_of_another_runner_of_the_same_service_are_left_alone(tmp_path: Path) -> None:
    """Two nodes may be on one machine: their attempts begin alike, their attempt files are in different folders."""
    layout = Layout.at(tmp_path / "ours")
    folders = {"job-twins.0.0.1": layout.attempts, "job-twins.0.1.1": tmp_path / "theirs/attempts"}
    programs = {
        attempt: subprocess.Popen(
            ["/bin/sleep", "60"], env={procs.ATTEMPT_VARIABLE: attempt, ENV_ATTEMPT: f"{folder}/{attempt}"}
        )
        for attempt, folder in folders.items()
    }
    try:
        deadline = time.monotonic() + 10
        while len(list(procs.attempts("job-twins"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        leftovers = Leftovers([], "job-twins", layout, ())
        assert leftovers.live() == ["job-twins.0.0.1"]
        leftovers.collect()
        assert programs["job-twins.0.0.1"].wait(10) == -signal.SIGKILL
        assert programs["job-twins.0.1.1"].poll() is None
    finally:
        for program in programs.values():
            program.kill()
            program.wait()


def test_a_group_that_is_empty_and_cannot_be_removed_holds_up_no_attempt(tmp_path: Path) -> None:
    group = tmp_path / "group"
    (group / "not ours").mkdir(parents=True)
    (group / "not ours" / "file").touch()
    begun = StartRecord("job-x.0.0.1", 1.0, "h", pid=2**22 + 1, boot=procs.boot_id(), group=str(group))
    leftovers = Leftovers([begun], "job-x", Layout.at(tmp_path), [group])
    assert leftovers.collect() == ["job-x.0.0.1"]
    assert not leftovers
    assert leftovers.wait(), "it tries to remove the group again"
