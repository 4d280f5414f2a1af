"""A network folder that hangs: its instances fail with a reason, and nobody else notices. Real daemons."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control
from batchcompute_local.paths import Layout

from tests.support.descriptions import pack_files
from tests.support.hung import hung
from tests.support.service import Cloud
from tests.support.waits import wait_for

SECONDS = 1.5


@pytest.fixture
def calm(cloud: Cloud) -> Cloud:
    """A service with a short time limit for files, two packages, and one job that has ended."""
    cloud.settings(f"slots = 4\nfile_seconds = {SECONDS}\n")
    for bucket in ("far", "tests"):
        (cloud.root / "oss" / bucket).mkdir(parents=True, exist_ok=True)
    cloud.oss.put("oss://far/package.tar.gz", pack_files({"main.py": "print('far')"}))
    cloud.program("print('near')")
    cloud.up()
    for more in ({}, {"PackageUri": "oss://far/package.tar.gz"}):
        assert cloud.ended(cloud.create({"A": more}))["State"] == "Terminated"
    return cloud


def _reason(cloud: Cloud, job_id: str) -> str:
    status, details = cloud.call("GET", f"/-/jobs/{job_id}")
    assert status == 200
    attempts: list[dict[str, Any]] = details["Tasks"]["A"]["Instances"]["0"]["Attempts"]
    return str(attempts[-1]["Reason"])


def test_only_its_own_instances_fail(calm: Cloud) -> None:
    far, log = calm.root / "oss/far", Layout.at(calm.root).log
    package = {"A": {"PackageUri": "oss://far/package.tar.gz"}}
    with hung(far):
        began = time.monotonic()
        jobs = [
            calm.create({"A": more})
            for more in (
                {"PackageUri": "oss://far/package.tar.gz"},
                {"PackageUri": "oss://far/another.tar.gz"},
                {"StdoutRedirectPath": "oss://far/logs/"},
                {"OssMapping": {"oss://far/data/": str(calm.root.parent / "data-here/")}, "OssMappingLocale": "UTF-8"},
            )
        ]
        others = [calm.create({"A": {}}) for _ in range(8)]
        for job_id in others:
            assert calm.ended(job_id)["State"] == "Terminated"
        assert time.monotonic() - began < 2 * SECONDS
        for job_id in jobs:
            assert calm.ended(job_id)["State"] == "Failed"
            assert f"{far}/" in _reason(calm, job_id)
            assert f"gives no answer within {SECONDS} seconds" in _reason(calm, job_id)
        waits = log.read_text().count(" ERROR ")
        assert calm.ended(calm.create(package))["State"] == "Failed"
        assert log.read_text().count(" ERROR ") == waits, "it is known to hang"
    wait_for(lambda: f"{far} answers again" in log.read_text(), "the end of it")
    # two groups of threads wait for files, and each must have seen it
    wait_for(lambda: calm.ended(calm.create(package))["State"] == "Terminated", "a job that runs there")


def test_an_instance_that_cannot_run_fails_though_its_log_hangs(calm: Cloud) -> None:
    with hung(calm.root / "oss/far"):
        jobs = [
            calm.create({"A": {"PackageUri": f"oss://tests/none-{n}.tar.gz", "StderrRedirectPath": "oss://far/logs/"}})
            for n in range(6)
        ]
        for job_id in jobs:
            assert calm.ended(job_id)["State"] == "Failed"
            assert "cannot be read" in _reason(calm, job_id)
        assert calm.ended(calm.create({"A": {}}))["State"] == "Terminated"


def test_the_service_answers_while_a_folder_of_its_modules_hangs(cloud: Cloud, tmp_path: Path) -> None:
    far, script = tmp_path / "far", tmp_path / "python"
    far.mkdir()
    script.write_text(
        f"#!{sys.executable} -BP\nimport runpy, sys\nsys.path.append({str(far)!r})\nat = sys.argv.index('-m')\n"
        "sys.argv[:] = sys.argv[at + 1:]\nrunpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
    )
    script.chmod(0o700)
    cloud.settings(f'interpreter = "{script}"\n')
    cloud.up()
    assert control.ask_installation(cloud.root)
    with hung(far):
        asking = threading.Thread(target=control.ask_installation, args=(cloud.root,), daemon=True)
        asking.start()
        for _ in range(20):
            assert control.status(cloud.root, time.monotonic() + 5.0)
    asking.join()
    assert control.ask_installation(cloud.root)


def test_the_daemon_ends_and_starts(calm: Cloud) -> None:
    with hung(calm.root / "oss/far"):
        job_id = calm.create({"A": {"PackageUri": "oss://far/package.tar.gz"}})
        began = time.monotonic()
        assert control.stop(calm.root)
        calm.client.close()
        calm.up()
        assert time.monotonic() - began < 4
        assert calm.ended(calm.create({"A": {}}))["State"] == "Terminated"
        assert calm.ended(job_id)["State"] == "Failed"


def test_an_exit_message_that_cannot_be_written_holds_up_no_runner(calm: Cloud) -> None:
    go = calm.root / "go"
    calm.program(f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.005)\nos._exit(3)")
    job_id = calm.create({"A": {"StderrRedirectPath": "oss://far/logs/"}})
    wait_for(lambda: list((calm.root / "oss/far").glob("logs/stderr*")), "the program")
    with hung(calm.root / "oss/far"):
        go.touch()
        calm.program("print('near')")
        for _ in range(3):
            assert calm.ended(calm.create({"A": {}}))["State"] == "Terminated"
        assert calm.ended(job_id)["State"] == "Failed"
    assert "gives no answer: it gets no exit message" in Layout.at(calm.root).log.read_text()


def test_the_daemon_starts_without_the_folder_of_the_objects(cloud: Cloud) -> None:
    cloud.settings(f"file_seconds = {SECONDS}\n")
    (cloud.root / "oss").mkdir()
    with hung(cloud.root / "oss"):
        cloud.up()
        echo = {"PackageUri": "", "ProgramType": "command", "ProgramName": "echo"}
        assert cloud.ended(cloud.create({"A": echo}))["State"] == "Terminated"
        assert cloud.ended(cloud.create({"A": {}}))["State"] == "Failed"
    assert f"{cloud.root / 'oss'} gives no answer" in Layout.at(cloud.root).log.read_text()
