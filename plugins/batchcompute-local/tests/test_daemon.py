"""The daemon's life, with real processes: start, idle end, crashes of the daemon and of the runner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import __version__, procs
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


def _instance(cloud: Cloud, job_id: str) -> dict[str, Any]:
    one: dict[str, Any] = cloud.call("GET", f"/jobs/{job_id}/tasks")[1]["A"]["InstanceStatusVector"][0]
    return one


def test_a_job_runs_from_signed_request_to_log(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("import os, sys\nprint(os.environ['ALI_DIKU_INSTANCE_ID'], sys.argv[1:])\nsys.stderr.write('e')")
    job_id = cloud.create(
        {
            "Find": {"InstanceCount": 3, "ProgramArguments": "a 'b c'", "StdoutRedirectPath": "oss://tests/out/"},
            "Count": {},
        },
        {"Find": ["Count"]},
    )
    job = cloud.ended(job_id)
    assert (job["State"], job["NumFinishedInstance"], job["NumFinishedTask"]) == ("Terminated", 4, 2)
    with cloud.oss.open(f"oss://tests/out/stdout.{job_id}.Find.2") as log:
        assert log.read() == b"2 ['a', 'b c']\n"
    assert cloud.log(job_id, "Count", stream="stderr") == "e"
    assert cloud.call("DELETE", f"/jobs/{job_id}") == (200, None)
    assert cloud.call("GET", f"/jobs/{job_id}")[1]["Code"] == "ResourceNotFound"
    assert cloud.oss.exists(f"oss://tests/out/stdout.{job_id}.Find.2")


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


@pytest.mark.parametrize("hard", [True, False])
def test_running_jobs_outlive_the_daemon(cloud: Cloud, hard: bool) -> None:
    pid = cloud.up()
    cloud.program(WAITER)
    job_id = cloud.create({"A": {}})
    wait_for(lambda: _started(cloud), "the program")
    if hard:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: procs.start_time(pid) is None, "its end")
    else:
        assert control.stop(cloud.root)
    (cloud.root / "oss/tests/go").touch()
    if not hard:  # else the runner starts the daemon again, which may have the record already
        wait_for(lambda: "exited" in (cloud.root / "runner.journal").read_text(), "the exit record")
    cloud.up()
    assert cloud.ended(job_id)["State"] == "Terminated"
    assert _started(cloud) == [f"started.{job_id}.0.0.1"]
    assert cloud.log(job_id, "A") == "begun\ndone\n"


def test_a_running_program_is_adopted_and_can_be_stopped(cloud: Cloud) -> None:
    pid = cloud.up()
    cloud.program(WAITER)
    job_id = cloud.create({"A": {}})
    wait_for(lambda: _started(cloud), "the program")
    os.kill(pid, signal.SIGKILL)
    cloud.up()
    assert cloud.job(job_id)["State"] == "Running"
    wait_for(lambda: _instance(cloud, job_id)["WorkerStartTime"], "what was known of the program")
    assert cloud.call("PUT", f"/jobs/{job_id}?Action=Stop") == (200, None)
    assert cloud.job(job_id)["State"] == "Stopped"
    wait_for(lambda: control.status(cloud.root)["idle"], "the program's end")  # type: ignore[index]  # the service is there
    ended = _instance(cloud, job_id)
    assert ended["WorkerEndTime"] >= ended["WorkerStartTime"] > 0


@pytest.mark.parametrize("both", [True, False])
def test_a_killed_runner_costs_an_attempt(cloud: Cloud, both: bool) -> None:
    pid = cloud.up()
    cloud.program(WAITER)
    job_id = cloud.create({"A": {}})
    wait_for(lambda: _started(cloud), "the program")
    if both:
        os.kill(pid, signal.SIGKILL)
    os.kill(wait_for(cloud.runner_pid), signal.SIGKILL)
    if both:
        wait_for(lambda: procs.start_time(pid) is None, "its end")
        cloud.up()
    wait_for(lambda: len(_started(cloud)) == 2, "the second attempt")
    (cloud.root / "oss/tests/go").touch()
    assert cloud.ended(job_id)["State"] == "Terminated"
    assert _started(cloud) == [f"started.{job_id}.0.0.1", f"started.{job_id}.0.0.2"]


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


def test_a_restart_waits_for_the_old_processes(cloud: Cloud) -> None:
    cloud.settings("grace_seconds = 0.5\n")
    cloud.up()
    cloud.program("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITER)
    job_id = cloud.create({"A": {}})
    wait_for(lambda: _started(cloud), "the program")
    cloud.call("PUT", f"/jobs/{job_id}?Action=Stop")
    cloud.call("PUT", f"/jobs/{job_id}?Action=Start")
    assert cloud.job(job_id)["State"] == "Waiting"
    assert len(_started(cloud)) == 1
    wait_for(lambda: len(_started(cloud)) == 2, "the second attempt")
    (cloud.root / "oss/tests/go").touch()
    assert cloud.ended(job_id)["State"] == "Terminated"


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


def test_failures_are_explained_in_stderr(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("raise SystemExit(3)")
    cloud.oss.put("oss://tests/bad.tar.gz", b"no archive")
    missing = cloud.create({"A": {"PackageUri": "oss://tests/none.tar.gz"}})
    corrupt = cloud.create({"A": {"PackageUri": "oss://tests/bad.tar.gz"}})
    nothing = cloud.create({"A": {"ProgramName": "other.py"}})
    failing = cloud.create({"A": {}})
    for job_id, reason in (
        (missing, "the package oss://tests/none.tar.gz cannot be read: No such file or directory"),
        (corrupt, "the package oss://tests/bad.tar.gz cannot be unpacked"),
        (nothing, "the package has no program 'other.py'"),
        (failing, ""),
    ):
        assert cloud.ended(job_id)["State"] == "Failed"
        assert reason in cloud.log(job_id, "A", stream="stderr")


def test_the_environment_holds_no_foreign_secrets(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush")
    cloud.up()
    cloud.program("import os\nfor k in sorted(os.environ): print(k, os.environ[k], sep='=')")
    job_id = cloud.create(
        {"A": {"EnvironmentVariables": {"State": "1", "ALI_DIKU_TASK_ID": "mine"}, "InstanceCount": 2}}
    )
    assert cloud.ended(job_id)["State"] == "Terminated"
    lines = dict(line.split("=", 1) for line in cloud.log(job_id, "A", 1).splitlines())
    assert "hush" not in lines.values()
    assert lines["ALI_DIKU_TASK_ID"] == "mine"
    assert lines["State"] == "1"
    assert lines["INSTANCE_COUNT"] == "2"
    assert lines["BATCH_COMPUTE_DAG_INSTANCE_ID"] == lines["ALI_DIKU_INSTANCE_ID"] == "1"
    assert lines["BATCH_COMPUTE_DAG_JOB_ID"] == lines["ALI_DIKU_JOB_ID"] == job_id
    assert lines["BATCHCOMPUTE_OSS_ROOT"] == str(cloud.root / "oss")
