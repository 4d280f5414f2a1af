"""Nodes that do not see the service's folders: packages are fetched, logs are sent, the endpoint and the API are relayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local.storage import ObjectStore
from dask_cluster import DaskCluster

from tests.support.descriptions import PACKAGE, describe, pack_files
from tests.support.service import Cloud
from tests.support.waits import wait_for

SHOWS = """
import os, sys
print("root", os.environ.get("BATCHCOMPUTE_OSS_ROOT"))
print("cwd", os.getcwd())
print("path", os.environ["PATH"])
print("to stderr", file=sys.stderr)
"""
CLIENT = """
import http.client, json, os
host = os.environ["ALI_DIKU_OSS_HOST"]
connection = http.client.HTTPConnection(host, timeout=20)
connection.request("GET", "/")
print("endpoint", connection.getresponse().status)
from batchcompute import Client
with Client("local") as client:
    print("job", client.get_job(os.environ["ALI_DIKU_JOB_ID"]).State)
"""
SPEAKS = """
import os, time
print("early", flush=True)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.02)
print("x" * 3_000_000)
print("late")
"""


@pytest.fixture
def apart(tmp_path: Path, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A service with one node that shares no files with it."""
    made = Cloud(tmp_path / "data")
    made.settings(
        f'executor = "dask"\n[executors.dask]\nscheduler = "{cluster.address}"\ninsecure = true\nlease_seconds = 60\n'
        f'[environment]\nGO = "{tmp_path}/go"\n'
    )
    cluster.up("a")
    made.up()
    yield made
    made.down()


def test_packages_are_fetched_once_for_each_version(cluster: DaskCluster, apart: Cloud) -> None:
    apart.program(SHOWS)
    job = apart.create({"A": {"InstanceCount": 4}})
    assert apart.ended(job)["State"] == "Terminated", (apart.root / "daemon.log").read_text()
    lines = apart.log(job, "A", 2).splitlines()
    assert lines[0] == "root None"
    assert lines[1].startswith(f"cwd {cluster.nodes}")
    assert apart.log(job, "A", 2, "stderr") == "to stderr\n"
    (fetched,) = cluster.nodes.glob(f"*/*/oss/{PACKAGE.removeprefix('oss://')}")
    before = fetched.stat()
    job = apart.create({"A": {"InstanceCount": 2}})
    assert apart.ended(job)["State"] == "Terminated"
    assert fetched.stat().st_ino == before.st_ino
    apart.program("print('another')")
    job = apart.create({"A": {"InstanceCount": 2}})
    assert apart.ended(job)["State"] == "Terminated"
    assert apart.log(job, "A", 1) == "another\n"


def test_a_bucket_elsewhere_is_reached_through_the_service(
    cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mounted"
    (folder / "data").mkdir(parents=True)
    (folder / "data/input").write_text("from elsewhere")
    made = Cloud(tmp_path / "data")
    made.settings(
        f'executor = "dask"\n[executors.dask]\nscheduler = "{cluster.address}"\ninsecure = true\nlease_seconds = 60\n'
        f'[buckets.far]\nurl = "file://{folder}"\n[buckets.far.options]\nsecret = "of-the-service"\n'
    )
    mapped = tmp_path / "mapped"
    (folder / "worker.tar.gz").write_bytes(pack_files({"main.py": f"print(open({str(mapped / 'input')!r}).read())"}))
    cluster.up("a")
    made.up()
    try:
        task = {"PackageUri": "oss://far/worker.tar.gz", "OssMapping": {"oss://far/data/": str(mapped)}}
        job = made.create({"A": task})
        assert made.ended(job)["State"] == "Terminated", made.log(job, "A", 0, "stderr")
        assert made.log(job, "A", 0) == "from elsewhere\n"
        status, answer = made.call("POST", "/jobs", describe({"A": {"StdoutRedirectPath": "oss://far/logs/"}}))
        assert (status, answer["Code"]) == (400, "InvalidParameter")
        assert "the executor 'dask' writes no logs to a bucket that is elsewhere, as far is" in answer["Message"]
    finally:
        made.down()


def test_a_package_that_is_absent_fails_its_instances(apart: Cloud) -> None:
    apart.program(SHOWS)
    job = apart.create({"A": {"PackageUri": "oss://tests/absent.tar.gz"}})
    assert apart.ended(job)["State"] == "Failed"
    assert "oss://tests/absent.tar.gz cannot be read" in apart.log(job, "A", 0, "stderr")


def test_endpoint_and_api_are_relayed(apart: Cloud) -> None:
    apart.program(CLIENT)
    job = apart.create({"A": {}})
    assert apart.ended(job)["State"] == "Terminated", apart.log(job, "A", 0, "stderr")
    assert apart.log(job, "A") == "endpoint 403\njob Running\n"


def test_logs_come_while_the_program_runs_and_are_whole_before_its_end(tmp_path: Path, apart: Cloud) -> None:
    apart.program(SPEAKS)
    job = apart.create({"A": {"StdoutRedirectPath": "oss://tests/logs/"}})
    path = apart.root / "oss/tests/logs" / f"stdout.{job}.A.0"
    wait_for(lambda: path.exists() and path.read_text() == "early\n", "its first line")
    (tmp_path / "go").touch()
    assert apart.ended(job)["State"] == "Terminated"
    text = path.read_text()
    assert (text[:6], text[6:-6].strip("x"), text[-6:]) == ("early\n", "", "\nlate\n")
    assert len(text) == 3_000_012


def test_logs_go_on_after_the_worker_was_killed(tmp_path: Path, cluster: DaskCluster, apart: Cloud) -> None:
    apart.program(SPEAKS)
    job = apart.create({"A": {}})
    path = apart.root / "work" / job / f"stdout.{job}.A.0"
    wait_for(lambda: path.exists() and path.read_text() == "early\n", "its first line")
    cluster.kill("a")
    (tmp_path / "go").touch()
    cluster.start_worker("a")
    assert apart.ended(job)["State"] == "Terminated"
    assert path.read_text().endswith("x\nlate\n")
    assert len(path.read_text()) == 3_000_012


def test_each_attempt_has_its_logs(apart: Cloud) -> None:
    apart.program("import os; print(os.environ['BATCHCOMPUTE_ATTEMPT'].rpartition('.')[2]); raise SystemExit(1)")
    job = apart.create({"A": {"MaxRetryCount": 1}})
    assert apart.ended(job)["State"] == "Failed"
    folder = apart.root / "work" / job
    assert (folder / f"stdout.{job}.A.0.attempt-1").read_text() == "1\n"
    assert (folder / f"stdout.{job}.A.0").read_text() == "2\n"
    assert (apart.root / "work" / job).exists()
    assert apart.call("DELETE", f"/jobs/{job}") == (200, None)
    wait_for(lambda: not (apart.root / "work" / job).exists(), "the removal of its logs")


def test_mapped_objects_are_fetched(tmp_path: Path, apart: Cloud) -> None:
    store = ObjectStore(apart.root / "oss")
    for name, text in (("one", "1"), ("sub/two", "2")):
        store.put(f"oss://tests/data/{name}", text.encode())
    target = tmp_path / "mapped"
    apart.program(f"print(open('{target}/one').read(), open('{target}/sub/two').read())")
    job = apart.create({"A": {"OssMapping": {"oss://tests/data/": str(target)}}})
    assert apart.ended(job)["State"] == "Terminated", apart.log(job, "A", 0, "stderr")
    assert apart.log(job, "A") == "1 2\n"
