"""A runner that is killed while it begins: the next one takes its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local import containment
from batchcompute_local.containment import (
    UnavailableError,
    kill_group,
    list_processes,
    list_subgroups,
    name_folder,
    remove_group,
)
from batchcompute_local.filelocks import is_locked
from batchcompute_local.paths import Layout
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.settings import Settings

from tests.support.waits import wait_for

JOB = f"job-{os.urandom(8).hex()}"
"""A runner ends all programs whose attempts begin so."""
KILLED = """
import os, signal, sys
from batchcompute_local import containment
from batchcompute_local.runner import runner

def end(group):
    os.kill(os.getpid(), signal.SIGKILL)

containment.list_processes = end
runner.main(sys.argv[1], sys.argv[2], "5", "auto", "1")
"""
"""A runner that is killed while it tries out whether it can make cgroups: a process of its own is in one then."""


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Path]:
    """The folder of groups for the data folder `tmp_path`."""
    try:
        folder = containment.make_folder(tmp_path)
    except UnavailableError as error:
        pytest.skip(f"no writable cgroup v2: {error}")
    assert folder.name == name_folder(tmp_path)
    yield folder
    kill_group(folder)
    wait_for(lambda: remove_group(folder), "the end of what is in the groups")


def test_a_runner_that_is_killed_in_its_trial_leaves_nobody_with_its_lock(groups: Path, tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), JOB], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [group.name.partition("-")[0] for group in list_subgroups(groups)] == ["trial"]
    wait_for(lambda: not list_processes(groups), "the end of the process in the trial's group", 5.0)
    assert not is_locked(layout.runner_lock)
    executor = ProcessExecutor(layout, Settings(runner_linger_seconds=0.2), JOB, lambda job: True)
    executor.open(lambda event: None)
    assert not list_subgroups(groups), "the next runner removes the group"
    executor.close()
    wait_for(lambda: not layout.runner_socket.exists(), "the runner's end")
