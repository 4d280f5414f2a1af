"""A runner with a lease ends its programs, and itself, when nobody renews it: whatever became of who should."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local import procs
from batchcompute_local.clocks import uptime
from batchcompute_local.executors.base import Event, Launch, Returned
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.records import ExitRecord
from batchcompute_local.runner.journal import Journal
from batchcompute_local.runner.lease import Lease
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import pack_files
from tests.support.runner import find_runner, next_event
from tests.support.waits import wait_for

ATTEMPT = "job-lease.0.0.1"
SLEEPS = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
DETACHED = "import subprocess; subprocess.Popen(['sleep', '600'], env={}, start_new_session=True).wait()"
HOLDER = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_lease import open_executor, start
from batchcompute_local.clocks import uptime
executor, events = open_executor(Path(sys.argv[1]))
executor.renew(uptime() + 2.5)
start(executor, Path(sys.argv[1]), sys.argv[2])
print(events.get(), flush=True)
while True:
    executor.renew(uptime() + 2.5)
    time.sleep(0.1)
"""


def open_executor(folder: Path) -> tuple[ProcessExecutor, queue.SimpleQueue[Event]]:
    layout = Layout.at(folder)
    layout.create()
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    settings = Settings(slots=4, grace_seconds=0.3, leftover_seconds=0.3, runner_linger_seconds=60.0)
    executor = ProcessExecutor(layout, settings, "job-lease", lambda job: True)
    executor.open(events.put)
    return executor, events


def start(executor: ProcessExecutor, folder: Path, program: str) -> None:
    ObjectStore(Layout.at(folder).oss).put("oss://t/p.tar.gz", pack_files({"main.py": program}))
    task = TaskSpec("T", 9, "oss://t/p.tar.gz", "main.py", "python", "", 600, "img-local", 1, 1, "", "", {})
    executor.start([Launch(ATTEMPT, "job-lease", task, 0)])


def end_of(events: queue.SimpleQueue[Event]) -> ExitRecord:
    return next_event(events, ExitRecord)


def is_running() -> bool:
    return any(procs.start_time(pid) is not None for pid, _ in procs.attempts("job-lease"))


def programs(folder: Path) -> list[int]:
    """Everything that works below the folder, whatever its environment."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd").startswith(str(folder / "work")):
                found.append(int(name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("program", [SLEEPS, DEAF, DETACHED])
def test_programs_end_with_the_lease_and_the_runner_after_them(tmp_path: Path, program: str) -> None:
    executor, events = open_executor(tmp_path)
    runner = find_runner(tmp_path)
    begun = uptime()
    executor.renew(begun + 1.5)
    start(executor, tmp_path, program)
    record = end_of(events)
    assert record.lease_ended, record
    assert "its lease ended" in record.reason
    assert uptime() >= begun + 1.5
    assert not programs(tmp_path)
    assert "its lease ended" in (tmp_path / "work/job-lease/stderr.job-lease.T.0").read_text()
    wait_for(lambda: find_runner(tmp_path) != runner, "the end of the runner")
    executor.acknowledge([ATTEMPT])
    executor.close()


def test_the_next_runner_has_the_lease_too(tmp_path: Path) -> None:
    executor, events = open_executor(tmp_path)
    executor.renew(uptime() + 8)
    runner = find_runner(tmp_path)
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    wait_for(lambda: find_runner(tmp_path) not in (None, runner) and not executor.trouble)
    start(executor, tmp_path, SLEEPS)
    while not isinstance(event := events.get(timeout=20), ExitRecord):
        if isinstance(event, Returned):  # the executor was not connected to the second one yet
            start(executor, tmp_path, SLEEPS)
    assert event.lease_ended
    wait_for(lambda: find_runner(tmp_path) is None, "its end")
    began = time.monotonic()
    while time.monotonic() < began + 1.0:
        assert find_runner(tmp_path) is None, "there is none before the lease is renewed"
        time.sleep(0.01)
    executor.renew(uptime() + 60)
    wait_for(lambda: find_runner(tmp_path) is not None and not executor.trouble, "a third one")
    executor.acknowledge([ATTEMPT])
    executor.close()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that renews the lease of a runner with a program, and does nothing else."""
    sources = [str(Path(__file__).parent), *sys.path]
    made = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), SLEEPS, *sources], stdout=subprocess.PIPE, text=True
    )
    yield made
    made.kill()
    made.wait()
    if made.stdout is not None:
        made.stdout.close()


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_programs_end_in_time_if_their_worker_is_stopped_or_killed(
    tmp_path: Path, holder: subprocess.Popen[str], fault: signal.Signals
) -> None:
    assert holder.stdout is not None
    assert ATTEMPT in holder.stdout.readline()
    began = time.monotonic()
    while time.monotonic() < began + 3.0:
        assert is_running(), "it goes on for longer than one lease while it is renewed"
        time.sleep(0.05)
    holder.send_signal(fault)
    wait_for(lambda: not is_running(), "the end of the program", 15)
    wait_for(lambda: find_runner(tmp_path) is None, "the end of the runner", 15)
    (record,) = [each for each in Journal(tmp_path / "runner.journal").records if isinstance(each, ExitRecord)]
    assert record.lease_ended, "the next runner tells how it ended"


def test_a_lease_is_never_shorter_than_it_was_and_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("batchcompute_local.runner.lease.uptime", lambda: now[0])
    lease = Lease()
    assert lease.wait() is None
    assert not lease.has_ended()
    lease.renew(110.0)
    lease.renew(105.0)
    now[0] = 109.9
    assert not lease.has_ended()
    assert lease.wait() == pytest.approx(0.1)
    now[0] = 110.0
    assert lease.has_ended()
    lease.renew(200.0)  # its programs are being ended already
    assert lease.has_ended()
    assert lease.wait() is None


def test_a_guard_ends_the_programs_of_a_runner_that_is_killed_with_its_worker(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    assert holder.stdout is not None
    assert ATTEMPT in holder.stdout.readline()
    runner = find_runner(tmp_path)
    assert runner is not None
    holder.send_signal(signal.SIGSTOP)
    os.kill(runner, signal.SIGKILL)
    wait_for(lambda: not is_running(), "the end of the program", 15)
    wait_for(lambda: find_runner(tmp_path) is None, "the end of the guard", 5)
    holder.send_signal(signal.SIGCONT)
    wait_for(lambda: find_runner(tmp_path) not in (None, runner), "the next runner")
    holder.kill()
