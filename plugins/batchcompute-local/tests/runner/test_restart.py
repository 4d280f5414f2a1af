"""The runner starts a daemon again that was lost, with pauses, and never one that somebody ended or replaced."""

from __future__ import annotations

import fcntl
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local import known_state, procs
from batchcompute_local.client import control
from batchcompute_local.filelocks import is_locked
from batchcompute_local.http.network import Address
from batchcompute_local.paths import Layout
from batchcompute_local.records import Introduce
from batchcompute_local.runner.restart import DaemonStarter

from tests.support.service import Cloud
from tests.support.waits import wait_for

HOLD = """
import os, time
while not os.path.exists(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/go"):
    time.sleep(0.005)
"""


BREAKS = """
import os, sys
from batchcompute_local import daemon
from batchcompute_local.jobs.effects import Effects

carry_out = Effects.carry_out

def fail(effects, executor):
    if os.path.exists(sys.argv[2] + "/break"):
        raise RuntimeError("a bug")
    carry_out(effects, executor)

Effects.carry_out = fail
sys.exit(daemon.main(sys.argv[1:]))
"""


class Desk:
    """A starter with a clock of its own; the daemon is `/bin/false`, which ends at once."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout.at(folder)
        self.layout.create()
        self.started: set[int] = set()
        self.starter = DaemonStarter(self.layout, self.started)
        self.now = 1000.0

    def lose(self, connected: float = 0.0, is_wanted: bool = True, argv: str = "/bin/false") -> None:
        """A daemon comes, introduces itself, and breaks off after so many seconds."""
        self.starter.note_connected(self.now)
        self.starter.introduce(Introduce((argv,), {}))
        self.now += connected
        self.starter.note_lost(self.now, is_wanted)

    def attempt(self) -> tuple[float, str]:
        """Have the clock go on until it is time, and the daemon end; how long that was, and what was said of it."""
        began = self.now
        while "is started" not in (said := self.starter.work(self.now)) and "cannot start" not in said:
            wait = self.starter.wait(self.now)
            assert wait is not None
            self.now += max(wait, 0.001)
        pause = self.now - began
        while self.starter.wait(self.now) == 0.05 and not (more := self.starter.work(self.now)):
            time.sleep(0.001)
        return pause, said if "cannot" in said else more


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for pid in made.started:
        os.waitpid(pid, 0)


def test_pauses_double_up_to_a_minute(desk: Desk) -> None:
    desk.lose()
    found = [desk.attempt() for _ in range(9)]
    assert [round(pause) for pause, _ in found] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert found[0][1] == "the daemon did not start, see above; it is tried again in 1 seconds"
    assert found[-1][1].endswith("in 60 seconds")
    desk.lose(connected=5.0)
    assert round(desk.attempt()[0]) == 60, "one that breaks off soon is no reason to hurry"
    desk.lose(connected=61.0)
    assert round(desk.attempt()[0]) == 0


def test_a_command_that_is_gone(desk: Desk) -> None:
    desk.lose(argv="/nowhere/python")
    assert desk.attempt()[1].startswith("the daemon is gone, and /nowhere/python cannot start another: No such file")


def test_when_none_is_started(desk: Desk) -> None:
    desk.lose(is_wanted=False)
    assert (desk.starter.wait(desk.now), desk.starter.work(desk.now)) == (None, "")
    desk.starter.note_connected(desk.now)
    desk.starter.note_lost(desk.now, True)  # a client that is no daemon, or one that introduced itself not yet
    assert desk.starter.wait(desk.now) is None
    desk.starter.note_connected(desk.now)
    desk.starter.introduce(Introduce(("/bin/false",), {}))
    desk.starter.forget()
    desk.starter.note_lost(desk.now, True)
    assert desk.starter.wait(desk.now) is None
    desk.lose()
    desk.starter.note_connected(desk.now)  # another one was quicker
    assert (desk.starter.wait(desk.now), desk.starter.work(desk.now)) == (None, "")
    assert not desk.started


@pytest.mark.parametrize("name", ["start_lock", "lock"])
def test_none_is_started_beside_another_one(desk: Desk, name: str) -> None:
    desk.lose()
    handle = os.open(getattr(desk.layout, name), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    for _ in range(5):
        assert desk.starter.work(desk.now) == ""
        desk.now += desk.starter.wait(desk.now) or 0.0
    assert not desk.started
    assert not is_locked(desk.layout.start_lock) or name == "start_lock"
    os.close(handle)
    assert "is started" in desk.starter.work(desk.now)


def test_a_daemon_that_is_starting_keeps_the_start_lock_of_a_runner_that_is_gone(desk: Desk) -> None:
    desk.starter.note_connected(desk.now)
    desk.starter.introduce(Introduce(("/bin/sh", "-c", "exec sleep 60"), {}))
    desk.starter.note_lost(desk.now, True)
    assert "is started" in desk.starter.work(desk.now)
    (pid,) = desk.started
    desk.starter._release()  # what the system does with the files of a process that is killed
    assert is_locked(desk.layout.start_lock)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_locked(desk.layout.start_lock), "the lock")


def _lose_daemon(cloud: Cloud, pid: int) -> None:
    cloud.client.close()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: procs.start_time(pid) is None, "its end")


def test_a_job_goes_on_without_a_client(cloud: Cloud) -> None:
    cloud.settings("slots = 1\nidle_seconds = 0.2\n")
    pid = cloud.up()
    cloud.program(HOLD)
    job = cloud.create({"A": {"InstanceCount": 3}})
    begun = cloud.root / "work" / job / f"stdout.{job}.A.0"
    wait_for(begun.exists, "the program")
    _lose_daemon(cloud, pid)
    other = wait_for(lambda: control.status(cloud.root), "the next daemon")["pid"]
    runner = wait_for(cloud.runner_pid)
    assert Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[1] == str(runner)
    assert known_state.environment().keys() >= {
        word.partition("=")[0] for word in Path(f"/proc/{other}/environ").read_text().split("\0") if word
    }
    (cloud.root / "oss/tests/go").touch()
    wait_for(lambda: (cloud.root / "daemon.log").read_text().count("idle for 0.2 seconds"), "the idle end")
    wait_for(lambda: control.status(cloud.root) is None, "its end")
    cloud.up()
    assert cloud.ended(job)["State"] == "Terminated"
    for number in range(3):
        assert "attempt" not in cloud.log(job, "A", number, "stderr")


def test_a_stop_while_it_is_away_counts(cloud: Cloud) -> None:
    """The runner cannot start it, and would try again, each second at first, until it has ended itself."""
    cloud.settings("runner_linger_seconds = 3\n")
    pid = cloud.up()
    cloud.program(HOLD)
    job = cloud.create({"A": {}})
    wait_for((cloud.root / "work" / job / f"stdout.{job}.A.0").exists, "the program")
    cloud.settings("slots = 0\n")  # not valid, so the daemon does not start
    _lose_daemon(cloud, pid)
    log = cloud.root / "daemon.log"
    wait_for(lambda: "runner: the daemon did not start, see above" in log.read_text(), "the failure")
    assert not control.stop_for_good(cloud.root)
    cloud.settings("")
    (cloud.root / "oss/tests/go").touch()
    tried = log.read_text().count("is started")
    wait_for(lambda: cloud.runner_pid() is None, "the runner's end")
    assert log.read_text().count("is started") == tried
    assert control.status(cloud.root) is None
    cloud.up()
    assert cloud.ended(job)["State"] == "Terminated"


def test_a_port_is_opened_again_and_left_to_whoever_serves_it(cloud: Cloud) -> None:
    words = [sys.executable, "-c", "from batchcompute.cli import main; main()", "serve", "--data-dir", str(cloud.root)]
    with subprocess.Popen([*words, "--port=0"], stdout=-1, text=True) as first:
        assert first.stdout is not None
        line = first.stdout.readline()
        cloud.program(HOLD)
        job = cloud.create({"A": {}})
        wait_for((cloud.root / "work" / job / f"stdout.{job}.A.0").exists, "the program")
        cloud.client.close()
        first.kill()
    found = wait_for(lambda: control.status(cloud.root), "the next daemon")
    assert (f"Listening on {found['url']}\n", found["restarted"]) == (line, True)
    port = line.strip().rpartition(":")[2]
    with subprocess.Popen([*words, f"--port={port}"], stdout=-1, text=True) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == line
        found = wait_for(lambda: control.status(cloud.root))
        assert (found["pid"], "restarted" in found) == (second.pid, False)
        (cloud.root / "oss/tests/go").touch()
        assert cloud.ended(job)["State"] == "Terminated"
        second.terminate()


def test_the_options_of_a_port() -> None:
    address = Address("127.0.0.1", 0, None, None, True)
    with address.listen() as sock:
        port = sock.getsockname()[1]
        assert address.options(sock) == ["--host=127.0.0.1", f"--port={port}", "--insecure-bind"]
        full = Address("::1", 1, Path("/c.pem"), Path("/k.pem"))
        assert full.options(sock)[2:] == ["--certfile=/c.pem", "--keyfile=/k.pem"]


def test_a_daemon_that_ends_by_an_error_of_its_own_is_started_again(cloud: Cloud) -> None:
    with subprocess.Popen([sys.executable, "-c", BREAKS, "--data-dir", str(cloud.root)], stderr=-3) as first:
        wait_for(lambda: control.status(cloud.root), "the daemon")
        cloud.program(HOLD)
        job = cloud.create({"A": {}})
        wait_for((cloud.root / "work" / job / f"stdout.{job}.A.0").exists, "the program")
        (cloud.root / "break").touch()
        with pytest.raises((OSError, ValueError, http.client.HTTPException)):  # no answer, or none of ours
            cloud.create({"A": {}})
        assert first.wait(20) == 1
        (cloud.root / "break").unlink()
    cloud.client.close()
    found = wait_for(lambda: control.status(cloud.root), "the next daemon")
    assert found["restarted"] is True
    (cloud.root / "oss/tests/go").touch()
    assert cloud.ended(job)["State"] == "Terminated"
    log = (cloud.root / "daemon.log").read_text()
    assert "the daemon ends: the engine or its executor has failed; see above" in log
    assert log.count("another one is started") == 1
