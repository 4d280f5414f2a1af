"""The daemon's life, with real processes: start, idle end, logs through crashes.

What is the same on a cluster is in test_both_executors.py of batchcompute-dask.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from batchcompute_local import __version__
from batchcompute_local.client import control
from batchcompute_local.errors import DaemonError

from tests.support.descriptions import PACKAGE
from tests.support.service import Cloud
from tests.support.waits import wait_for

WAITER = """
import os, sys, time
here = os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/"
open(here + "started." + os.environ["BATCHCOMPUTE_ATTEMPT"], "w").close()
print("begun", flush=True)
while not os.path.exists(here + "go"):
    time.sleep(0.005)
print("done", flush=True)
"""


def _started(cloud: Cloud) -> list[str]:
    return sorted(path.name for path in (cloud.root / "oss" / "tests").glob("started.*"))


def test_two_clients_at_once_get_one_daemon(cloud: Cloud) -> None:
    code = (
        "import sys; from pathlib import Path; from batchcompute_local import control;"
        "control.ensure_running(Path(sys.argv[1])); print(control.status(Path(sys.argv[1]))['pid'])"
    )
    command = [sys.executable, "-c", code, str(cloud.root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    # reading to the end of the pipe also shows that the daemon does not keep it open
    pids = {process.communicate(timeout=60)[0] for process in both}
    assert len(pids) == 1
    assert cloud.root.stat().st_mode & 0o777 == 0o700
    for name in ("daemon.sock", "credentials.json", "state.sqlite3", "daemon.log"):
        assert (cloud.root / name).stat().st_mode & 0o077 == 0, name


def test_it_ends_when_idle_and_leaves_no_process(cloud: Cloud) -> None:
    cloud.settings("idle_seconds = 0.3\n")
    pid = cloud.up()
    wait_for(lambda: not Path("/proc", str(pid)).exists(), "the idle end")
    assert not (cloud.root / "daemon.sock").exists()
    wait_for(lambda: cloud.runner_pid() is None, "the runner's end")
    assert control.status(cloud.root) is None
    with pytest.raises((FileNotFoundError, ConnectionError)):
        control.connect(cloud.root)
    assert cloud.up() != pid


def test_a_path_longer_than_an_address(tmp_path: Path, cloud: Cloud) -> None:
    cloud.root = tmp_path / ("long" * 30)
    cloud.oss.root = cloud.root / "oss"
    cloud.up()
    cloud.program("print(1)")
    assert cloud.ended(cloud.create({"A": {}}))["State"] == "Terminated"


def test_logs_of_earlier_attempts_stay(cloud: Cloud) -> None:
    """Attempts that fail, one whose package is gone, and one that is lost with service and runner."""
    cloud.settings("kept_attempts = 3")
    pid = cloud.up()
    fails = "import os, sys\nsys.exit('rare error of ' + os.environ['BATCHCOMPUTE_ATTEMPT'].rpartition('.')[2])"
    cloud.program(fails)
    redirected = {"StderrRedirectPath": "oss://tests/logs"}
    job_id = cloud.create({"A": redirected})
    for _ in range(2):
        cloud.ended(job_id)
        assert cloud.call("PUT", f"/jobs/{job_id}?Action=Start")[0] == 200
    cloud.ended(job_id)
    cloud.oss.delete(PACKAGE)
    assert cloud.call("PUT", f"/jobs/{job_id}?Action=Start")[0] == 200
    cloud.ended(job_id)
    cloud.program(WAITER)
    assert cloud.call("PUT", f"/jobs/{job_id}?Action=Start")[0] == 200
    wait_for(lambda: _started(cloud) and cloud.log(job_id, "A"))
    runner = wait_for(cloud.runner_pid)
    os.kill(pid, signal.SIGKILL)
    os.kill(runner, signal.SIGKILL)
    cloud.up()
    wait_for(lambda: len(_started(cloud)) == 2, "the next attempt")
    (cloud.root / "oss" / "tests" / "go").touch()
    assert cloud.ended(job_id)["State"] == "Terminated"
    folder, name = cloud.root / "oss" / "tests" / "logs", f"stderr.{job_id}.A.0"
    texts = {path.name.removeprefix(name): path.read_text() for path in folder.iterdir()}
    assert sorted(texts) == ["", ".attempt-3", ".attempt-4", ".attempt-5"], "three earlier ones stay"
    assert texts[".attempt-3"].startswith("rare error of 3\n")
    assert "cannot be read" in texts[".attempt-4"]
    own = cloud.root / "work" / job_id
    lost = own / f"stdout.{job_id}.A.0.attempt-5"
    assert lost.read_text() == "begun\n"
    assert cloud.log(job_id, "A") == "begun\ndone\n"
    assert cloud.call("DELETE", f"/jobs/{job_id}") == (200, None)
    wait_for(lambda: not own.exists())
    assert len(list(folder.iterdir())) == 4, "objects stay"


def test_an_idle_daemon_of_another_version_is_replaced(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = cloud.up()
    monkeypatch.setattr(control, "__version__", __version__ + ".dev1")
    control.ensure_running(cloud.root)
    found = control.status(cloud.root)
    assert found is not None
    assert found["pid"] != pid


def test_a_daemon_that_cannot_start_says_why(cloud: Cloud) -> None:
    cloud.settings("slotz = 3\n")
    with pytest.raises(DaemonError, match=r"slotz.*did you mean 'slots'"):
        cloud.up()
    (cloud.root / "service.toml").unlink()
    (cloud.root / "state.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(DaemonError, match="file is not a database"):
        cloud.up()
