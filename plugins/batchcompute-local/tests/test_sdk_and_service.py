"""Execution as clients see it: problems before sending, images, what is said of a failure."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from batchcompute_local.client import control
from batchcompute_local.errors import DaemonError

from batchcompute import Client, ClientError, JobFailedError, NotFoundError, Range, ServiceWarning, ValidationError
from tests.support.service import Cloud
from tests.support.waits import wait_for


def test_the_sdk_tells_all_problems_before_sending(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.settings("max_instances = 5\n")
    task = {
        "PackageUri": "oss://b/k",
        "ProgramName": "p",
        "ImageId": "m-1",
        "ProgramArguments": "'",
        "InstanceCount": 6,
    }
    with Client("local") as client, pytest.raises(ValidationError) as caught:
        client.create_job({"JobName": "j", "Priority": 5000, "TaskDag": {"TaskDescMap": {"A": task}}})
    paths = sorted(problem.path.rpartition(".")[2] for problem in caught.value.problems)
    assert paths == ["ImageId", "InstanceCount", "Priority", "ProgramArguments"]
    assert not (cloud.root / "daemon.lock").exists()


def test_a_clock_that_goes_wrong_and_is_put_right(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a laptop that wakes up: only the client's clock is wrong, the service is a real one."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.up()
    off = {"seconds": 0.0}
    clock = SimpleNamespace(time=lambda: time.time() + off["seconds"], gmtime=time.gmtime)
    monkeypatch.setattr("batchcompute.builtins.signing.time", clock)
    monkeypatch.setattr("batchcompute.service_time.time", clock)
    warned = []
    with Client("local") as client:
        for off["seconds"] in (0.0, -3600.0, -3600.0, 0.0, 0.0, 3600.0):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                client.list_jobs()
            warned.append(len(caught))
    assert warned == [0, 1, 0, 0, 0, 1]


def test_images_are_listed(cloud: Cloud) -> None:
    cloud.settings(f'[images."img-old"]\npython = "{sys.executable}"\ndescription = "Python of 2015"\n')
    cloud.up()
    _, images = cloud.call("GET", "/images")
    assert set(images) == {"img-local", "img-old"}
    assert images["img-old"]["Description"] == "Python of 2015"


def test_an_image_that_is_not_there_is_said_to_the_caller(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning, by whatever way the service is reached; an error if the client is strict."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.settings(f'[images."img-old"]\npython = "{sys.executable}"\n')
    task = {"ProgramType": "command", "ProgramName": "true"}

    def job(image: str) -> dict[str, Any]:
        return {"JobName": "j", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": task | {"ImageId": image}}}}

    with Client("local") as client:
        with pytest.warns(ServiceWarning) as caught:
            submitted = [
                client.create_job(job(image)) for image in ("img-odl", "img-old", "img-local", "", "img-\u4f5c")
            ]
        assert [str(warning.message) for warning in caught] == [
            "the service warns: there is no image 'img-odl', its tasks run as with img-local; did you mean 'img-old'?",
            "the service warns: there is no image 'img-\u4f5c', its tasks run as with img-local",
        ]
        assert {client.wait(each, timeout=60).State for each in submitted} == {"Finished"}
    assert "there is no image 'img-odl'" in (cloud.root / "daemon.log").read_text()
    with Client("local", strict=True) as strict:
        with pytest.raises(ValidationError, match="got 'img-odl'; allowed: img-local, img-old; did you mean 'img-old'"):
            strict.create_job(job("img-odl"))
        assert len(strict.list_jobs()) == len(submitted)
        strict.create_job(job("img-old"))


def test_a_misspelt_program_type_in_the_settings(cloud: Cloud) -> None:
    cloud.settings('[programs]\npyhton = "/usr/bin/python2"\n')
    with pytest.raises(DaemonError, match="program type 'pyhton' is not installed; did you mean 'python'"):
        cloud.up()


def test_what_was_stopped_says_so(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("import time; print('begun', flush=True); time.sleep(60)")
    job_id = cloud.create({"A": {}})
    wait_for(lambda: any((cloud.root / "work" / job_id).glob("stdout*")), "the program")
    wait_for(lambda: cloud.log(job_id, "A") == "begun\n", "its first line")
    cloud.call("PUT", f"/jobs/{job_id}?Action=Stop")
    line = wait_for(lambda: cloud.log(job_id, "A", stream="stderr"), "the last line")
    assert line.startswith("batchcompute: stopped after ")
    assert "attempt 1 on" in line


def test_a_failure_says_why_in_the_last_line(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.up()
    cloud.program("import os, sys, time; sys.stderr.write('no newline'); sys.stderr.flush(); exec(sys.argv[1])")
    cases = {
        "sys.exit(3)": "exit code 3",
        "os.kill(os.getpid(), 9)": "signal 9 (SIGKILL)",
        "time.sleep(60)": "ran longer than its Timeout of 1 s allows",
    }
    with Client("local") as client:
        for code, reason in cases.items():
            job_id = cloud.create({"A": {"ProgramArguments": f'"{code}"', "Timeout": 1}})
            with pytest.raises(JobFailedError) as caught:
                client.wait(job_id, check=True, timeout=60)
            first, last = caught.value.log.splitlines()
            assert first == "no newline"
            assert last.startswith("batchcompute: ")
            assert reason in last
            assert f"attempt 1 on {os.uname().nodename}" in last
    fine = cloud.create({"A": {"ProgramArguments": "'pass'"}})
    assert cloud.ended(fine)["State"] == "Terminated"
    assert cloud.log(fine, "A", stream="stderr") == "no newline"


def test_a_retry_survives_a_kill_and_the_logs_of_all_attempts_stay(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.settings("retry_seconds = 1.5\n")
    cloud.up()
    cloud.program(
        "import os, sys; n = os.environ['BATCHCOMPUTE_ATTEMPT'].rpartition('.')[2]; sys.exit(f'rare {n}' if n < '3' else 0)"
    )
    job_id = cloud.create({"A": {"MaxRetryCount": 2}})

    with Client("local") as client:

        def failed_once() -> bool:
            _, tasks = cloud.call("GET", f"/jobs/{job_id}/tasks")
            waits = [one["State"] for one in tasks["A"]["InstanceStatusVector"]] == [1]
            return waits and b"rare 1" in (client.read_log(job_id, "A") or b"")

        wait_for(failed_once, "the pause")
        found = control.status(cloud.root)
        assert found is not None
        os.kill(int(found["pid"]), signal.SIGKILL)
        cloud.up()
        assert cloud.ended(job_id)["State"] == "Terminated"
        for attempt in (1, 2):
            log = (client.read_log(job_id, "A", attempt=attempt) or b"").decode()
            assert log.startswith(f"rare {attempt}\nbatchcompute: ended with exit code 1")
        assert client.read_log(job_id, "A") == b""


def test_an_executor_that_is_not_installed_keeps_the_daemon_from_starting(cloud: Cloud) -> None:
    cloud.settings('executor = "proces"\n')
    with pytest.raises(DaemonError, match="executor 'proces' is not installed; did you mean 'process'"):
        cloud.up()


@pytest.fixture
def over_port(cloud: Cloud) -> Iterator[Client]:
    """A client of the service's port."""
    command = [sys.executable, "-m", "batchcompute_local.daemon", "--port", "0", "--data-dir", str(cloud.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline().rpartition(":")[2])
        with Client(f"http://127.0.0.1:{number}", *control.read_credentials(cloud.root)) as client:
            yield client
        process.terminate()


def test_details_over_the_socket_and_over_a_port(
    cloud: Cloud, over_port: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.program("import os, sys\nsys.exit(os.environ['BATCHCOMPUTE_ATTEMPT'].endswith('.1') and 5)\n")
    job = cloud.create({"A_b": {"MaxRetryCount": 1}, "B": {"InstanceCount": 2}}, {"A_b": ["B"]})
    assert over_port.wait(job, timeout=30).State == "Failed"
    wait_for(lambda: (control.status(cloud.root) or {}).get("idle"), "the end of its other instances")
    with Client("local") as client:
        for each in (client, over_port):
            found = each.get_job_details(job)
            assert found is not None
            attempts = found.tasks["A_b"].instances[0].attempts
            assert [(one.number, one.exit_code, one.state) for one in attempts] == [
                (1, 5, "Failed"),
                (2, 0, "Finished"),
            ]
            assert attempts[0].worker_end_time > attempts[0].worker_start_time > 0
            assert (attempts[0].host, found.tasks["B"].reason) == (socket.gethostname(), "")
            one = each.get_job_details(job, "B", 1)
            assert one is not None
            assert list(one.tasks) == ["B"]
            listed = each.list_job_details()
            assert listed is not None
            assert (listed.reasons, listed.leftovers, listed.slots.taken) == ({}, {}, 0)
        with pytest.raises(ClientError, match="Instance is not valid"):
            client.get_job_details(job, "B", 7)
        with pytest.raises(NotFoundError):
            client.get_job_details("job-none")
        with pytest.raises(LookupError, match="no log of attempt 3; attempts with a log: 1, 2"):
            client.read_log(job, "A_b", attempt=3)


def test_a_command_over_a_port(cloud: Cloud, over_port: Client) -> None:
    task = {"ProgramType": "command", "ProgramName": "printf", "ProgramArguments": "'%s|' 'two words' ''"}

    def job(**more: Any) -> dict[str, Any]:
        return {"JobName": "j", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": task | more}}}

    created = over_port.create_job(job())
    assert over_port.wait(created, timeout=30).State == "Finished"
    assert cloud.log(created.JobId, "A") == "two words||"
    with pytest.raises(ValidationError, match=r"allowed: python, php, java, shell, command"):
        over_port.create_job(job(ProgramType="comand"))
    ranges = over_port.get_region()
    assert (ranges.cpu, ranges.timeout) == (Range(1), Range(1, 86400))
    assert ranges.packageless_types == {"shell", "command"}
    assert ranges.optional == {"Timeout", "ImageId"}
    assert ranges.extensions == {"JobFailOnInstanceFail", "LeftoverSeconds", "MaxRetryCount"}
    again = over_port.create_job(job(MaxRetryCount=1, ProgramArguments="") | {"JobFailOnInstanceFail": False})
    described = over_port.get_job_description(again)
    assert (described.TaskDag.get_task("A").MaxRetryCount, described.JobFailOnInstanceFail) == (1, False)
