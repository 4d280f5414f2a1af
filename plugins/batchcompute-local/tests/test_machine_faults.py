"""What can happen to a machine: a full disk, a reboot, folders that somebody deleted. Real daemons."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.procs import start_time

from tests.support.service import Cloud
from tests.support.waits import wait_for

BOOT_ID = "/proc/sys/kernel/random/boot_id"
WAITER = """
import os, sys, time
here = os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/"
try:
    with open(here + "lines", "a") as lines:
        lines.write(os.environ["BATCHCOMPUTE_ATTEMPT"].rpartition(".")[2] + "\\n")
except OSError:
    pass  # a full disk is the program's own affair
while not os.path.exists(here + "go"):
    time.sleep(0.005)
sys.stdout.write("x" * int(sys.argv[1]))
"""


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(cloud: Cloud) -> Iterator[Any]:
    """The data folder is a file system of 8 MB."""
    cloud.root.mkdir(mode=0o700)
    if os.getuid() != 0 or not _mount("-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(cloud.root)):
        pytest.skip("needs to be allowed to mount a file system")
    yield cloud
    cloud.down()
    subprocess.run(["umount", "--lazy", str(cloud.root)], check=True)


def _fill(root: Path) -> Path:
    ballast = root / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"0" * size)
    return ballast


def _count(cloud: Cloud, job_id: str) -> dict[str, int]:
    job = cloud.job(job_id)
    return {name: job[f"Num{name}Instance"] for name in ("Finished", "Failed", "Waiting")}


def test_a_full_disk_loses_nothing(small_disk: Cloud) -> None:
    cloud = small_disk
    cloud.settings("slots = 2\n")
    cloud.up()
    cloud.program(WAITER)
    tests = cloud.root / "oss/tests"
    accepted = [cloud.create({"A": {"InstanceCount": 3, "ProgramArguments": "0"}}) for _ in range(2)]
    wait_for(lambda: (tests / "lines").exists() and len((tests / "lines").read_text()) >= 4, "the first programs")
    (tests / "go").touch()
    ballast = _fill(cloud.root)
    refused = 0
    for _ in range(30):  # what is accepted meanwhile counts as well
        status, answer = cloud.call("POST", "/jobs", json.dumps(_description()).encode())
        if status == 201:
            accepted.append(answer["ResourceId"])
        else:
            assert (status, answer["Code"]) == (503, "ServiceUnavailable")
            refused += 1
    assert refused
    ballast.unlink()
    for job_id in accepted:
        assert cloud.ended(job_id)["State"] == "Terminated", _count(cloud, job_id)
    status, jobs = cloud.call("GET", "/jobs")
    assert set(jobs) == set(accepted)


def test_a_full_disk_keeps_nobody_from_reading(small_disk: Cloud) -> None:
    cloud = small_disk
    cloud.settings("slots = 1\n")
    cloud.up()
    cloud.program(WAITER)
    accepted = [cloud.create({"A": {"ProgramArguments": "0"}}) for _ in range(2)]
    ballast = _fill(cloud.root)
    (cloud.root / "oss/tests/go").touch()
    one = f"/jobs/{accepted[0]}"
    refused = 0
    for _ in range(30):
        status, answer = cloud.call("POST", "/jobs", json.dumps(_description()).encode())
        if status == 201:
            accepted.append(answer["ResourceId"])
            continue
        assert (status, answer["Code"]) == (503, "ServiceUnavailable")
        refused += 1
        for path in ("/jobs", "/images", one, f"{one}/tasks", f"{one}?Action=GetDescription", "/-/jobs", f"/-{one}"):
            began = time.monotonic()
            status, answer = cloud.call("GET", path)
            assert (path, status, time.monotonic() - began < 1) == (path, 200, True), answer
    assert refused
    ballast.unlink()
    for each in accepted:
        assert cloud.ended(each)["State"] == "Terminated"


def _description() -> dict[str, Any]:
    task = {"PackageUri": "oss://tests/worker.tar.gz", "ProgramName": "main.py", "ProgramArguments": "0"}
    dag = {"TaskDescMap": {"A": task | {"EnvironmentVariables": {"LARGE": "x" * 30_000}}}}
    return {"JobName": "large", "Priority": 1, "TaskDag": dag}


def test_what_is_full_is_distinguished_from_what_is_wrong() -> None:
    outer = ValueError("the package cannot be unpacked")
    outer.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_exhausted(outer)
    assert not is_exhausted(FileNotFoundError(errno.ENOENT, "no such file"))
    assert not is_exhausted(None)


def _boot_as(root: Path, boot_id: Path) -> None:
    """Start the daemon where the kernel's boot id reads as the content of a file."""
    daemon = [sys.executable, "-P", "-m", "batchcompute_local.daemon", "--data-dir", str(root), "--detach"]
    script = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
    subprocess.run(["unshare", "--mount", "sh", "-c", script, str(boot_id), *daemon], check=True)


def test_a_reboot(cloud: Cloud, tmp_path: Path) -> None:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("11111111-2222-3333-4444-555555555555\n")
    probe = f'mount --bind "$0" {BOOT_ID} && cat {BOOT_ID}'
    seen = subprocess.run(["unshare", "--mount", "sh", "-c", probe, str(boot_id)], capture_output=True, check=False)
    if seen.stdout != boot_id.read_bytes():
        pytest.skip("needs to be allowed to mount over the boot id")
    pid = cloud.up()
    cloud.program(WAITER)
    job_id = cloud.create({"A": {"ProgramArguments": "5"}, "B": {"ProgramArguments": "5"}}, {"A": ["B"]})
    tests = cloud.root / "oss/tests"
    wait_for(lambda: (tests / "lines").exists() and (tests / "lines").read_text() == "1\n", "the program")
    runner = cloud.runner_pid()
    assert runner is not None
    for each in (runner, pid):
        os.kill(each, signal.SIGSTOP)  # else one of them starts the other again, which reads the journal below
    for each in (runner, pid, *(each for each, _ in procs.attempts(job_id))):
        os.kill(each, signal.SIGKILL)
    wait_for(lambda: control.status(cloud.root) is None and not list(procs.attempts(job_id)), "the end of everything")
    # after the boot somebody else has the pid, and even the start time, of the program
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    journal = cloud.root / "runner.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    lines[-1] |= {"pid": stranger.pid, "born": [start_time(stranger.pid)] * 2}
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    packages = {path.name for path in (cloud.root / "packages").iterdir()}
    _boot_as(cloud.root, boot_id)
    wait_for(lambda: control.status(cloud.root), "the daemon")
    cloud.client.close()
    (tests / "go").touch()
    assert cloud.ended(job_id)["State"] == "Terminated"
    assert (tests / "lines").read_text() == "1\n2\n1\n"  # A again, B for the first time
    assert stranger.poll() is None
    stranger.communicate(b"\n")
    # folders of the earlier boot may be there without their content after a power failure
    assert not packages & {path.name for path in (cloud.root / "packages").iterdir()}


def test_folders_that_somebody_deleted(cloud: Cloud) -> None:
    cloud.settings("slots = 1\n")
    cloud.up()
    cloud.program(WAITER)
    tests = cloud.root / "oss/tests"
    job_id = cloud.create({"A": {"InstanceCount": 2, "ProgramArguments": "5"}})
    wait_for(lambda: (tests / "lines").exists() and (tests / "lines").read_text(), "the program")
    for name in ("work", "packages"):
        shutil.rmtree(cloud.root / name)
    (tests / "go").touch()
    ended = cloud.ended(job_id)
    if ended["State"] != "Terminated":  # the second one had its folder already when all of them went
        assert "cannot" in cloud.log(job_id, "A", 1, "stderr") or "could not" in cloud.log(job_id, "A", 1, "stderr")
        assert cloud.call("PUT", f"/jobs/{job_id}?Action=Start") == (200, None)
        assert cloud.ended(job_id)["State"] == "Terminated"
    assert cloud.log(job_id, "A", 1) == "xxxxx"


def test_an_interpreter_that_is_not_there_fails_the_job_and_can_be_mended(cloud: Cloud, tmp_path: Path) -> None:
    php = tmp_path / "php"
    cloud.settings(f'[programs]\nphp = "{php}"\n')
    cloud.up()
    cloud.program("")
    job_id = cloud.create({"A": {"ProgramType": "php"}})
    assert cloud.ended(job_id)["State"] == "Failed"
    reason = f"batchcompute: this machine has no {php} to run php programs with\n"
    assert cloud.log(job_id, "A", stream="stderr") == reason
    php.write_text("#!/bin/sh\necho php\n")
    php.chmod(0o755)
    cloud.call("PUT", f"/jobs/{job_id}?Action=Start")
    assert cloud.ended(job_id)["State"] == "Terminated"
