"""The daemon notices when its address, its lock, its folder or the clock is taken from under it, and heals or says so."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.clocks import SteadyClock
from batchcompute_local.filelocks import find_holder, open_lock
from batchcompute_local.jobs.engine import Engine
from batchcompute_local.jobs.idempotency import KEPT_SECONDS, once
from batchcompute_local.jobs.store import Store
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.paths import Layout
from batchcompute_local.self_watch import SelfWatch

from tests.support.engine import FakeExecutor
from tests.support.service import Cloud
from tests.support.waits import wait_for


def test_a_socket_that_was_removed_is_made_again(cloud: Cloud) -> None:
    pid = cloud.up()
    layout = Layout.at(cloud.root)
    for path in (layout.socket, layout.programs_socket):
        with control.connect(cloud.root) as before:
            path.unlink()
            wait_for(path.exists, f"{path} again", 5.0)
            before.sendall(b"GET /-/status HTTP/1.1\r\nHost: local\r\n\r\n")  # a connection that was there goes on
            assert before.recv(100).startswith(b"HTTP/1.1 200")
    found = control.status(cloud.root)
    assert found is not None
    assert found["pid"] == pid
    assert cloud.call("GET", "/images")[0] == 200
    assert layout.log.read_text().count("was removed or replaced; it is made again") == 2


def test_a_socket_that_was_replaced_is_made_again(cloud: Cloud) -> None:
    cloud.up()
    path = Layout.at(cloud.root).socket
    path.unlink()
    path.touch()
    wait_for(lambda: control.status(cloud.root), "the service", 5.0)
    assert cloud.call("GET", "/images")[0] == 200
    control.stop(cloud.root)
    assert not path.exists()


def test_a_lock_file_that_was_removed_is_locked_again(cloud: Cloud) -> None:
    pid = cloud.up()
    layout = Layout.at(cloud.root)
    layout.lock.unlink()
    wait_for(lambda: find_holder(layout.lock) == pid if layout.lock.exists() else False, "the lock", 5.0)
    control.ensure_running(cloud.root)
    assert (control.status(cloud.root) or {})["pid"] == pid


def test_a_daemon_whose_folder_is_gone_ends(cloud: Cloud) -> None:
    pid = cloud.up()
    moved = cloud.root.with_name("moved")
    cloud.root.rename(moved)
    wait_for(lambda: procs.start_time(pid) is None, "its end", 10.0)
    assert "was moved or removed: the daemon ends" in (moved / "daemon.log").read_text()
    control.ensure_running(cloud.root)  # another one, in a folder of its own
    assert (control.status(cloud.root) or {})["pid"] != pid
    shutil.rmtree(moved)


def test_the_socket_of_the_runner_is_made_again(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("print('done')")
    cloud.ended(cloud.create({"A": {}}))
    runner, path = cloud.runner_pid(), Layout.at(cloud.root).runner_socket
    path.unlink()
    wait_for(path.exists, "the socket of the runner", 10.0)
    os.kill(cloud.up(), signal.SIGKILL)
    wait_for(lambda: control.status(cloud.root) is None, "the end of the daemon")
    cloud.up()
    assert cloud.ended(cloud.create({"A": {}}))["NumFinishedInstance"] == 1
    assert cloud.runner_pid() == runner


class _Times:
    def __init__(self) -> None:
        self.wall, self.up = 1_800_000_000.0, 1000.0

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.up)


@pytest.mark.parametrize("hours", [-100.0, -1.0, 1.0, 100.0])
def test_a_jump_of_the_clock_is_said_until_it_is_put_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, hours: float
) -> None:
    times = _Times()
    layout = Layout.at(tmp_path)
    lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    watch = SelfWatch(layout, lock, times.clock(), lambda: "")
    with caplog.at_level(logging.WARNING):
        for _ in range(100):  # a clock that is slowed or hurried does not jump
            times.up, times.wall = times.up + 10, times.wall + 10.01
            assert watch.look()
        assert not caplog.records
        assert not watch.troubles()
        times.wall += hours * 3600
        assert watch.look()
        assert watch.look()
    way = "ahead" if hours > 0 else "back"
    assert [each.getMessage() for each in caplog.records] == [
        f"the clock of this machine was set {way} by {abs(hours) * 3600:.0f} seconds"
    ]
    assert f"was set {way} by" in watch.troubles()[0]
    times.wall -= hours * 3600
    assert watch.look()
    assert not watch.troubles()
    os.close(lock)


def test_a_folder_in_the_place_of_the_lock_ends_the_daemon_with_a_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout.at(tmp_path)
    lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    watch = SelfWatch(layout, lock, _Times().clock(), lambda: "")
    layout.lock.unlink()
    layout.lock.mkdir()
    assert not watch.look()
    assert f"{layout.lock} was replaced, and cannot be used: Is a directory" in caplog.text
    os.close(lock)


def test_a_lock_that_is_a_link_is_its_lock(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout.at(tmp_path)
    layout.lock.symlink_to(tmp_path / "elsewhere")
    lock = open_lock(layout.lock)
    fcntl.flock(lock, fcntl.LOCK_EX)
    watch = SelfWatch(layout, lock, _Times().clock(), lambda: "")
    assert watch.look()
    assert not caplog.records
    os.close(lock)


def test_a_clock_that_is_set_ahead_makes_nothing_old() -> None:
    times = _Times()
    clock = times.clock()
    times.wall += 100 * 86400
    assert clock.least() == 1_800_000_000.0
    times.up += 60
    assert clock.least() == 1_800_000_060.0
    times.wall -= 200 * 86400
    assert clock.least() == times.wall


class _Lives:
    """Daemons, one after the other, over one store."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.sqlite3"
        self.times = _Times()
        self.boot = "one"
        self.done = 0
        self.start()

    def start(self) -> None:
        self.store = Store(self.path, 10)
        times = self.times
        begin = self.store.begin_of_boot(self.boot, times.clock().begin, times.wall)
        self.engine = Engine(self.store, FakeExecutor(), 2, lambda: times.wall, steady=lambda: begin + times.up)
        self.engine.recover()

    def restart(self, is_reboot: bool = False) -> None:
        self.store.close()
        if is_reboot:
            self.times.up, self.boot = 10.0, f"{self.boot}, then another"
        self.start()

    def wait(self, seconds: float) -> None:
        self.times.wall, self.times.up = self.times.wall + seconds, self.times.up + seconds

    def run(self, token: str = "token") -> int:
        """How often the request of this token was done."""

        def do(turn: Turn) -> int:
            self.done += 1
            return self.done

        future = self.engine.submit(lambda turn: once(turn, 1, token, "digest", do))
        self.engine.turn()
        return int(future.result(0))


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[_Lives]:
    made = _Lives(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("days", [-20, -1, 1, 20])
def test_a_token_is_kept_for_a_day_whatever_becomes_of_the_clock(lives: _Lives, days: int, is_restarted: bool) -> None:
    assert lives.run() == 1
    lives.times.wall += days * KEPT_SECONDS
    if is_restarted:
        lives.restart()
    lives.wait(KEPT_SECONDS - 1)
    if is_restarted:
        lives.restart()
    assert lives.run() == 1
    assert lives.run("other") == 2
    lives.times.wall -= days * KEPT_SECONDS
    lives.wait(2)
    if is_restarted:
        lives.restart()
    assert lives.run() == 3
    assert lives.run("other") == 2


def test_a_token_from_the_future_is_forgotten_a_day_after_the_reboot(lives: _Lives) -> None:
    lives.times.wall += 365 * 86400
    lives.restart(is_reboot=True)
    assert lives.run() == 1
    lives.times.wall -= 365 * 86400
    lives.restart(is_reboot=True)
    assert lives.run() == 1
    lives.wait(KEPT_SECONDS + 1)
    assert lives.run() == 2
    lives.restart(is_reboot=True)
    lives.wait(KEPT_SECONDS - 1)
    assert lives.run() == 2
