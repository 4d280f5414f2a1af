"""A runner that hangs holds up no request: it is noticed, said, not replaced while its programs may run, and taken over later."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from batchcompute_local import unixsocket
from batchcompute_local.client import control
from batchcompute_local.paths import Layout
from batchcompute_local.process import outbox

from tests.support.service import Cloud
from tests.support.waits import wait_for


def test_requests_are_answered_while_the_runner_is_stopped(cloud: Cloud) -> None:
    cloud.settings("slots = 40\n")
    cloud.up()
    cloud.program("print('done')")
    first = cloud.create({"A": {}})
    cloud.ended(first)
    runner = cloud.runner_pid()
    assert runner is not None
    os.kill(runner, signal.SIGSTOP)
    try:
        large = {f"V{number}": "x" * 30_000 for number in range(4)}
        job = cloud.create({"A": {"InstanceCount": 40, "EnvironmentVariables": large}})
        assert cloud.call("GET", "/images")[0] == 200
        assert cloud.job(job)["State"] in ("Waiting", "Running")
        said = wait_for(lambda: (control.status(cloud.root) or {}).get("troubles"), "what is wrong", 15.0)
        assert said[0].startswith(f"the runner (pid {runner}) does not answer for ")
        wait_for(
            lambda: f"the runner (pid {runner}) does not answer" in Layout.at(cloud.root).log.read_text(), "the log"
        )
        assert cloud.call("GET", "/jobs")[0] == 200
        assert cloud.runner_pid() == runner
    finally:
        os.kill(runner, signal.SIGCONT)
    assert cloud.ended(job)["State"] == "Finished" or cloud.job(job)["NumFinishedInstance"] == 40
    wait_for(lambda: not (control.status(cloud.root) or {})["troubles"], "the end of it")


def test_a_stopped_runner_that_is_killed_is_taken_over(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("print('done')")
    cloud.ended(cloud.create({"A": {}}))
    runner = cloud.runner_pid()
    assert runner is not None
    os.kill(runner, signal.SIGSTOP)
    job = cloud.create({"A": {"InstanceCount": 3}})
    os.kill(runner, signal.SIGKILL)
    assert cloud.ended(job)["NumFinishedInstance"] == 3


def test_the_runner_hangs_up_on_a_daemon_that_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchcompute_local.records import Lost
    from batchcompute_local.runner.runner import Runner

    layout = Layout.at(tmp_path)
    layout.create()
    before = signal.getsignal(signal.SIGCHLD)
    runner = Runner(layout, "job-", 0.1, False)
    try:
        with unixsocket.connect(layout.runner_socket) as sock:
            runner._accept()
            assert isinstance(runner._daemon, socket.socket)
            for _ in range(3):
                runner._events.extend(Lost("x" * 1000) for _ in range(4000))
                runner._send()
            assert runner._daemon is None
            assert not runner._output
            while sock.recv(1 << 20):  # what was sent, and then the end
                pass
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, before)
        for each in (runner._listener, runner._wake, runner._wakeup):
            each.close()
        runner._selector.close()


def test_seconds_are_few() -> None:
    assert outbox.PING_SECONDS + outbox.SILENT_SECONDS < 10
