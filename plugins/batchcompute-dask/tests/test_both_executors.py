"""What a service does with jobs, with the executor of one machine and on a cluster: the same tests with both.

One service for each executor runs all tests of this file. The cluster has a scheduler and two worker processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from dask_cluster import DaskCluster, find_runners

from tests.support.homes import own_home
from tests.support.service import Cloud
from tests.support.waits import wait_for

SETTINGS = """
grace_seconds = 0.5
leftover_seconds = 0.5
retry_seconds = 0.05
kept_attempts = 3
"""
IMAGES = """
[images."img-marked"]
command = ["/usr/bin/env", "MARKED=yes", "{argv}"]
"""
PROCESS = "slots = 4"
DASK = """executor = "dask"
[executors.dask]
scheduler = "{address}"
insecure = true
shared_files = true
lease_seconds = 60
"""
WAITS = """
import os, time
here = os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/"
print("begun", flush=True)
open(here + "started." + os.environ["BATCHCOMPUTE_ATTEMPT"], "w").close()
while not os.path.exists(here + "go." + os.environ["ALI_DIKU_JOB_ID"]):
    time.sleep(0.005)
print("done", flush=True)
"""
"""A program that runs until `let_go`."""


class Service(Cloud):
    """A service with one of the executors, for all tests of this file."""

    def __init__(self, root: Path, nodes: Path | None) -> None:
        super().__init__(root)
        self.nodes = nodes

    def started(self, job: str) -> list[str]:
        """The attempts of a job that began to wait, without its id, in the order in which they did."""
        found = sorted(self._notes().glob(f"started.{job}.*"), key=lambda path: path.stat().st_mtime_ns)
        return [path.name.removeprefix(f"started.{job}.") for path in found]

    def let_go(self, job: str) -> None:
        """Have the waiting programs of a job end."""
        (self._notes() / f"go.{job}").touch()

    def _notes(self) -> Path:
        return self.root / "oss" / "tests"

    def instance(self, job: str, task: str = "A") -> dict[str, Any]:
        """The first instance of a task."""
        one: dict[str, Any] = self.call("GET", f"/jobs/{job}/tasks")[1][task]["InstanceStatusVector"][0]
        return one

    def act(self, action: str, job: str) -> None:
        """Stop or Start a job."""
        assert self.call("PUT", f"/jobs/{job}?Action={action}") == (200, None)

    def slots(self) -> int:
        """How many there are in all."""
        found = control.status(self.root)
        return 0 if found is None else int(found["slots"]["total"])

    def runners(self) -> list[int]:
        """The runners of the programs."""
        if self.nodes is not None:
            return [pid for pid, _ in find_runners(self.nodes)]
        pid = self.runner_pid()
        return [] if pid is None else [pid]

    def program_of(self, attempt: str) -> int | None:
        """The process of an attempt."""
        return next((pid for pid, name in procs.attempts("job-") if name == attempt), None)


@contextmanager
def running(folder: Path, cluster: DaskCluster | None) -> Iterator[Service]:
    """A service that runs, with four slots: on this machine, or on two nodes."""
    made = Service(folder / "data", cluster.nodes if cluster else None)
    made.settings(SETTINGS + (DASK.format(address=cluster.address) if cluster else PROCESS) + IMAGES)
    with pytest.MonkeyPatch.context() as patch:
        own_home(folder, patch)
        patch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush")
        try:
            if cluster is not None:
                cluster.up("a", "b")
            made.up()
            wait_for(lambda: made.slots() == 4, "both nodes", 60)
            yield made
        finally:
            made.down()
            if cluster is not None:
                cluster.down()


@pytest.fixture(scope="module")
def on_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With the executor of one machine."""
    with running(tmp_path_factory.mktemp("process"), None) as made:
        yield made


@pytest.fixture(scope="module")
def on_dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With the executor `dask`."""
    folder = tmp_path_factory.mktemp("dask")
    with running(folder, DaskCluster(folder / "cluster")) as made:
        yield made


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("on_process", "on_dask")])
def service(request: pytest.FixtureRequest) -> Service:
    """Each of them in turn. Tests of one run in one process of xdist, so that it is started once."""
    made: Service = request.getfixturevalue(request.param)
    return made


def test_a_job_runs_from_signed_request_to_log_and_is_deleted(service: Service) -> None:
    service.program("import os, sys\nprint(os.environ['ALI_DIKU_INSTANCE_ID'], sys.argv[1:])\nsys.stderr.write('e')")
    job_id = service.create(
        {
            "Find": {"InstanceCount": 3, "ProgramArguments": "a 'b c'", "StdoutRedirectPath": "oss://tests/out/"},
            "Count": {},
        },
        {"Find": ["Count"]},
    )
    job = service.ended(job_id)
    assert (job["State"], job["NumFinishedInstance"], job["NumFinishedTask"]) == ("Terminated", 4, 2)
    with service.oss.open(f"oss://tests/out/stdout.{job_id}.Find.2") as log:
        assert log.read() == b"2 ['a', 'b c']\n"
    assert service.log(job_id, "Count", stream="stderr") == "e"
    assert service.call("DELETE", f"/jobs/{job_id}") == (200, None)
    assert service.call("GET", f"/jobs/{job_id}")[1]["Code"] == "ResourceNotFound"
    wait_for(lambda: not (service.root / "work" / job_id).exists(), "the removal of its logs")
    assert service.oss.exists(f"oss://tests/out/stdout.{job_id}.Find.2"), "objects stay"


def test_failures_are_explained_in_stderr(service: Service) -> None:
    service.program("raise SystemExit(3)")
    service.oss.put("oss://tests/bad.tar.gz", b"no archive")
    expected = {
        service.create({"A": task}): reason
        for task, reason in (
            ({"PackageUri": "oss://tests/none.tar.gz"}, "oss://tests/none.tar.gz cannot be read: No such file"),
            ({"PackageUri": "oss://tests/bad.tar.gz"}, "the package oss://tests/bad.tar.gz cannot be unpacked"),
            ({"ProgramName": "other.py"}, "the package has no program 'other.py'"),
            ({}, "ended with exit code 3"),
        )
    }
    for job_id, reason in expected.items():
        assert service.ended(job_id)["State"] == "Failed"
        assert reason in service.log(job_id, "A", stream="stderr")


def test_the_environment_holds_no_foreign_secrets(service: Service) -> None:
    service.program("import os\nfor k in sorted(os.environ): print(k, os.environ[k], sep='=')")
    job_id = service.create(
        {"A": {"EnvironmentVariables": {"State": "1", "ALI_DIKU_TASK_ID": "mine"}, "InstanceCount": 2}}
    )
    assert service.ended(job_id)["State"] == "Terminated"
    lines = dict(line.split("=", 1) for line in service.log(job_id, "A", 1).splitlines())
    assert "hush" not in lines.values()
    assert (lines["ALI_DIKU_TASK_ID"], lines["State"], lines["INSTANCE_COUNT"]) == ("mine", "1", "2")
    assert lines["BATCH_COMPUTE_DAG_INSTANCE_ID"] == lines["ALI_DIKU_INSTANCE_ID"] == "1"
    assert lines["BATCH_COMPUTE_DAG_JOB_ID"] == lines["ALI_DIKU_JOB_ID"] == job_id
    assert lines["BATCHCOMPUTE_OSS_ROOT"] == str(service.root / "oss")


def test_a_command_and_an_image(service: Service) -> None:
    command = {"ProgramType": "command", "PackageUri": "", "ProgramName": "sh"}
    job_id = service.create(
        {
            "A": {**command, "ProgramArguments": "-c 'echo $0 $ALI_DIKU_TASK_ID' 'x  y'"},
            "B": {**command, "ProgramArguments": "-c 'echo $MARKED'", "ImageId": "img-marked"},
        }
    )
    assert service.ended(job_id)["State"] == "Terminated"
    assert (service.log(job_id, "A"), service.log(job_id, "B")) == ("x y A\n", "yes\n")


def test_a_timeout_ends_the_program(service: Service) -> None:
    service.program(WAITS)
    job_id = service.create({"A": {"Timeout": 1}})
    attempt = f"{job_id}.0.0.1"
    wait_for(lambda: service.program_of(attempt), "the program")
    assert service.ended(job_id)["State"] == "Failed"
    assert service.program_of(attempt) is None
    assert service.log(job_id, "A") == "begun\n"
    assert "ran longer than its Timeout of 1 s allows" in service.log(job_id, "A", stream="stderr")


def test_each_attempt_of_a_retry_has_its_logs(service: Service) -> None:
    service.program(
        "import os\nn = os.environ['BATCHCOMPUTE_ATTEMPT'].rpartition('.')[2]\nprint('try', n)\nraise SystemExit(n != '3')"
    )
    job_id = service.create({"A": {"MaxRetryCount": 2}})
    assert service.ended(job_id)["State"] == "Terminated"
    folder = service.root / "work" / job_id
    texts = {path.name.rpartition(".A.0")[2]: path.read_text() for path in folder.glob("stdout.*")}
    assert texts == {".attempt-1": "try 1\n", ".attempt-2": "try 2\n", "": "try 3\n"}


def test_what_a_program_leaves_behind_is_ended_before_its_end(service: Service) -> None:
    service.program(
        "import subprocess, sys\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(left.pid)"
    )
    job_id = service.create({"A": {}})
    assert service.ended(job_id)["State"] == "Terminated"
    assert procs.start_time(int(service.log(job_id, "A"))) is None


def test_a_stopped_job_starts_again_when_its_programs_are_gone(service: Service) -> None:
    service.program("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS)
    job_id = service.create({"A": {}})
    wait_for(lambda: service.started(job_id), "the program")
    service.act("Stop", job_id)
    service.act("Start", job_id)
    assert service.job(job_id)["State"] == "Waiting"
    assert service.started(job_id) == ["0.0.1"], "the first one ignores SIGTERM"
    wait_for(lambda: len(service.started(job_id)) == 2, "the second attempt")
    assert service.program_of(f"{job_id}.0.0.1") is None
    service.let_go(job_id)
    assert service.ended(job_id)["State"] == "Terminated"


def test_a_job_of_higher_priority_that_comes_later_begins_first(service: Service) -> None:
    service.program(WAITS)
    first = service.create({"A": {"InstanceCount": 4}})
    wait_for(lambda: len(service.started(first)) == 4, "programs in all slots")
    low = service.create({"A": {"InstanceCount": 6}}, Priority=2)
    wait_for(lambda: service.job(low)["NumRunningInstance"] == 0, "the return of what was claimed ahead")
    high = service.create({"A": {"InstanceCount": 8}}, Priority=3)  # more than one node can be given ahead
    service.let_go(first)
    wait_for(lambda: len(service.started(high)) == 4, "those of the higher priority")
    assert service.started(low) == []
    for job_id in (high, low):
        service.let_go(job_id)
    for job_id in (first, low, high):
        assert service.ended(job_id)["State"] == "Terminated"


@pytest.mark.parametrize("hard", [True, False])
def test_running_programs_outlive_the_daemon_and_can_be_stopped(service: Service, hard: bool) -> None:
    service.program(WAITS)
    goes_on, stopped = service.create({"A": {}}), service.create({"A": {}})
    for job_id in (goes_on, stopped):
        wait_for(lambda job_id=job_id: service.started(job_id), "the program")  # type: ignore[misc]  # mypy knows no such default
    pid = service.up()
    if hard:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: procs.start_time(pid) is None, "its end")
    else:
        assert control.stop(service.root)
    service.let_go(goes_on)
    wait_for(lambda: service.program_of(f"{goes_on}.0.0.1") is None, "the end of the program")
    service.up()
    assert service.job(stopped)["State"] == "Running"
    assert service.ended(goes_on)["State"] == "Terminated"
    assert service.started(goes_on) == ["0.0.1"]
    assert service.log(goes_on, "A") == "begun\ndone\n"
    wait_for(lambda: service.instance(stopped)["WorkerStartTime"], "what was known of the program")
    service.act("Stop", stopped)
    wait_for(lambda: service.instance(stopped)["WorkerEndTime"], "its end")
    ended = service.instance(stopped)
    assert ended["WorkerEndTime"] >= ended["WorkerStartTime"] > 0
    assert service.program_of(f"{stopped}.0.0.1") is None


@pytest.mark.parametrize("both", [True, False])
def test_a_killed_runner_costs_an_attempt(service: Service, both: bool) -> None:
    service.program(WAITS)
    job_id = service.create({"A": {}})
    wait_for(lambda: service.started(job_id), "the program")
    pid = service.up()
    runners = service.runners()
    if both:
        os.kill(pid, signal.SIGKILL)
    for runner in runners:
        os.kill(runner, signal.SIGKILL)
    if both:
        wait_for(lambda: procs.start_time(pid) is None, "its end")
        service.up()
    wait_for(lambda: len(service.started(job_id)) == 2, "the second attempt")
    service.let_go(job_id)
    assert service.ended(job_id)["State"] == "Terminated"
    assert service.started(job_id) == ["0.0.1", "0.0.2"]
    assert (service.root / "work" / job_id / f"stdout.{job_id}.A.0.attempt-1").read_text() == "begun\n"
    assert service.log(job_id, "A") == "begun\ndone\n"
