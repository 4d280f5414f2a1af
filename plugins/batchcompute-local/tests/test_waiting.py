"""A call's timeout holds from its first instruction: the service is stopped, starting, absent or full, or its locks are held.

A refusal is no absence: no second daemon is started beside one that lives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from batchcompute_local import filelocks, unixsocket
from batchcompute_local.client import control
from batchcompute_local.errors import DaemonError
from batchcompute_local.paths import Layout

from batchcompute import Client
from batchcompute.errors import BatchComputeError, ConnectError, RequestTimeoutError
from tests.support.service import Cloud
from tests.support.waits import wait_for

TIMEOUT = 1.0
MARGIN = 0.5
HOLD = """
import pathlib, sys
from batchcompute_local.filelocks import locked
with locked(pathlib.Path(sys.argv[1])):
    print(1, flush=True)
    sys.stdin.read()
"""


def _late(cloud: Cloud, call: Callable[[Client], object], timeout: float = TIMEOUT) -> BatchComputeError:
    """Do a call of a new client that is to end with an error at its timeout, by this process's own clock."""
    client = Client("local")
    began = time.monotonic()
    with pytest.raises((RequestTimeoutError, ConnectError)) as caught:
        call(client)
    took = time.monotonic() - began
    client.close()
    assert took < timeout + MARGIN, f"{took:.2f} s: {caught.value}"
    return caught.value


def _list(client: Client) -> object:
    return client.list_images(timeout=TIMEOUT)


@pytest.fixture
def here(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    return cloud


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """Another process holds that lock; its pid."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_held_start_lock_ends_no_later_than_the_call(here: Cloud) -> None:
    layout = Layout.at(here.root)
    layout.create()
    with _held(layout.start_lock) as pid:
        error = _late(here, _list)
        assert f"process {pid} holds {layout.start_lock}" in str(error)
    assert control.status(here.root) is None
    with Client("local") as client:
        client.list_images(timeout=30)


def _slow_start(here: Cloud, folder: Path) -> tuple[Path, Path]:
    """Let each start append a line to the first file, and wait for the second."""
    slow, begun, go = (folder / name for name in ("slow", "begun", "go"))
    slow.write_text(
        f'#!/bin/sh\necho begun >> {begun}\nuntil [ -e {go} ]; do sleep 0.02; done\nexec {sys.executable} "$@"\n'
    )
    slow.chmod(0o700)
    here.settings(f'interpreter = "{slow}"\n')
    return begun, go


def test_a_start_is_begun_once_though_its_client_is_killed(here: Cloud, tmp_path: Path) -> None:
    begun, go = _slow_start(here, tmp_path)
    client = os.fork()
    if client == 0:
        control.ensure_running(here.root)
        os._exit(0)
    wait_for(begun.exists, "the start")
    os.kill(client, signal.SIGKILL)
    os.waitpid(client, 0)
    for _ in range(2):
        with pytest.raises(RequestTimeoutError, match=r"start\.lock"):
            control.ensure_running(here.root, time.monotonic() + 0.2)
    go.touch()
    control.ensure_running(here.root)
    assert control.status(here.root) is not None
    assert begun.read_text() == "begun\n"
    assert not filelocks.is_locked(Layout.at(here.root).start_lock)


def test_a_start_goes_on_after_the_time_of_its_client(here: Cloud, tmp_path: Path) -> None:
    begun, go = _slow_start(here, tmp_path)
    with pytest.raises(RequestTimeoutError, match="is starting since"):
        control.ensure_running(here.root, time.monotonic() + 0.2)
    with pytest.raises(RequestTimeoutError, match=r"start\.lock"):
        control.ensure_running(here.root, time.monotonic() + 0.2)
    go.touch()
    control.ensure_running(here.root)
    assert begun.read_text() == "begun\n"


def test_a_stopped_service_is_named_and_no_other_one_starts(here: Cloud) -> None:
    pid = here.up()
    with _stopped(pid):
        error = _late(here, _list)
        assert f"process {pid} is the service in {here.root}, and it does not answer" in str(error)
        assert str(filelocks.find_holder(Layout.at(here.root).lock)) == str(pid)
        assert control.find_silent(here.root) == f"process {pid}"
    assert "starting" not in str(error)
    with Client("local") as client:
        client.list_images(timeout=30)
    found = control.status(here.root)
    assert found is not None
    assert found["pid"] == pid


def test_a_client_that_is_connected_times_out_as_well(here: Cloud) -> None:
    pid = here.up()
    with Client("local") as client:
        client.list_images(timeout=30)
        with _stopped(pid):
            began = time.monotonic()
            with pytest.raises(RequestTimeoutError):
                client.list_images(timeout=TIMEOUT)
            assert time.monotonic() - began < TIMEOUT + MARGIN


def test_a_service_whose_queue_is_full_is_not_absent(here: Cloud) -> None:
    """Connecting to a Unix socket blocks when its queue is full."""
    layout = Layout.at(here.root)
    layout.create()
    with _held(layout.lock) as pid, unixsocket.listen(layout.socket, 1):
        waiting = []
        try:
            while True:
                waiting.append(unixsocket.connect(layout.socket, 0.0))
        except TimeoutError:
            pass
        (layout.credentials).write_text('{"access_key_id": "k", "access_key_secret": "s"}')
        error = _late(here, _list)
        assert f"process {pid} is the service" in str(error)
        for sock in waiting:
            sock.close()
    assert not layout.log.exists()  # nothing was started


def test_a_start_goes_on_after_its_caller_left_and_serves_the_next(here: Cloud) -> None:
    with pytest.raises(RequestTimeoutError, match="is starting since") as caught:
        control.ensure_running(here.root, time.monotonic() + 0.02)
    assert caught.value.sent is False
    wait_for(lambda: control.status(here.root), "the service that was started")
    wait_for(lambda: "listening" in Layout.at(here.root).log.read_text(), "its line in the log")
    with Client("local") as client:
        client.list_images(timeout=30)
    assert Layout.at(here.root).log.read_text().count("listening") == 1


def test_without_a_timeout_the_wait_has_a_limit_of_ours(here: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = here.up()
    monkeypatch.setattr(control, "START_SECONDS", 0.3)
    with _stopped(pid), pytest.raises(DaemonError, match=f"process {pid} is the service in .* does not answer"):
        control.ensure_running(here.root)


def test_a_thread_does_not_wait_for_the_longer_wait_of_another(here: Cloud) -> None:
    layout = Layout.at(here.root)
    layout.create()
    client = Client("local")

    def wait_longer() -> None:
        with suppress(BatchComputeError):
            client.list_images(timeout=4 * TIMEOUT)

    with _held(layout.start_lock):
        other = threading.Thread(target=wait_longer)
        other.start()
        began = time.monotonic()
        with pytest.raises((RequestTimeoutError, ConnectError)):
            client.list_images(timeout=TIMEOUT / 2)
        assert time.monotonic() - began < TIMEOUT / 2 + MARGIN
    other.join()
    client.close()


def test_a_stop_says_that_the_service_does_not_answer(here: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = here.up()
    monkeypatch.setattr(control, "_STOP_SECONDS", 0.3)
    with _stopped(pid), pytest.raises(DaemonError, match=f"process {pid} is the service .*`kill -9 {pid}` ends it"):
        control.stop(here.root)
    assert control.status(here.root) is not None


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_a_daemon_goes_on_whose_starter_dies(here: Cloud, delay: float) -> None:
    code = "from batchcompute import Client; print(1, flush=True); Client('local').list_images()"
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    starter.stdout.readline()
    layout = Layout.at(here.root)
    wait_for(lambda: layout.log.exists() or starter.poll() is not None, "the start")
    time.sleep(delay)  # the moments in which the attack found it
    starter.kill()
    starter.communicate()
    wait_for(lambda: control.status(here.root), "the daemon", 15.0)
    assert "BrokenPipe" not in layout.log.read_text()


def test_many_clients_at_once_get_answers_from_one_daemon(here: Cloud) -> None:
    code = """
import sys, threading
from batchcompute import Client
problems = []
def call():
    try:
        with Client("local") as client:
            client.list_images(timeout=60)
    except BaseException as error:
        problems.append(error)
threads = [threading.Thread(target=call) for _ in range(10)]
[each.start() for each in threads]
[each.join() for each in threads]
sys.exit("; ".join(map(str, problems)) or 0)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(10)]
    said = [each.communicate(timeout=120)[1].decode() for each in processes]
    assert [each.returncode for each in processes] == [0] * 10, said
    assert Layout.at(here.root).log.read_text().count("listening") == 1
