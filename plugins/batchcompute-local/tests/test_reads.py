"""Reads do not depend on writes, and readers that take nothing cost no memory. Real daemons."""

from __future__ import annotations

import fcntl
import http.client
import json
import socket
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from batchcompute_local.client import control
from batchcompute_local.http.accounts import ensure_credentials
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.jobs.model import Changes, Instance, new_job
from batchcompute_local.jobs.states import State
from batchcompute_local.jobs.store import Store
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

from tests.support.descriptions import describe
from tests.support.service import Cloud
from tests.support.signed import connect_to, sign_headers
from tests.support.waits import wait_for

READERS = 40
READ_LOCKS = 5, 123
"""Number and first byte of the locks of readers in the index of a write-ahead log (https://sqlite.org/walformat.html)."""
WAITER = """
import os, time
while not os.path.exists(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/go"):
    time.sleep(0.005)
"""


def _all_reads(job_id: str) -> list[str]:
    one = f"/jobs/{job_id}"
    own = ["/-/jobs", f"/-{one}", f"/-{one}/surroundings", "/-/region"]
    return ["/jobs", "/images", one, f"{one}?Action=GetDescription", f"{one}/tasks", *own]


def _read(cloud: Cloud, job_id: str) -> dict[str, Any]:
    """The answers of all GETs; each is 200 within a second."""
    answers = {}
    for path in _all_reads(job_id):
        began = time.monotonic()
        status, answers[path] = cloud.call("GET", path)
        assert (path, status, answers[path] if status != 200 else None) == (path, 200, None)
        assert time.monotonic() - began < 1, path
    return answers


def test_reads_are_answered_while_another_process_locks_the_database(cloud: Cloud) -> None:
    cloud.settings("slots = 1\n")
    cloud.up()
    cloud.program(WAITER)
    job_id, next_one = cloud.create({"A": {}}), cloud.create({"A": {}})
    other = sqlite3.connect(Layout.at(cloud.root).database, isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        (cloud.root / "oss/tests/go").touch()
        wait_for(lambda: (control.status(cloud.root) or {}).get("troubles"), "a report that cannot be stored", 5)
        answers = _read(cloud, job_id)
        assert answers["/jobs"][job_id]["State"] == "Running"  # what was committed last
        reason = answers["/-/jobs"]["Jobs"][next_one]["Reason"]
        assert reason == "the service cannot write its state: database is locked"
        status, answer = cloud.call("PUT", f"/jobs/{job_id}?Action=Stop")
        assert (status, answer["Code"]) == (503, "ServiceUnavailable")
        assert "database is locked" in answer["Message"]
        assert cloud.job(job_id)["State"] == "Running"
    for each in (job_id, next_one):
        assert cloud.ended(each)["State"] == "Terminated"
    assert (control.status(cloud.root) or {})["troubles"] == []


def test_a_change_that_cannot_be_written_says_when_to_come_again(cloud: Cloud) -> None:
    cloud.up()
    with closing(sqlite3.connect(Layout.at(cloud.root).database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection = connect_to(cloud.root)
        body = describe({"A": {}})
        headers = sign_headers(*control.read_credentials(cloud.root), "POST", "/jobs", {})
        connection.request("POST", "/jobs", body, headers)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        connection.close()
    assert cloud.call("GET", "/jobs") == (200, {})


def test_a_read_that_another_process_keeps_from_the_database_holds_up_no_other(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("print('done')")
    job_id = cloud.create({"A": {}})
    cloud.ended(job_id)
    target = f"/jobs/{job_id}"
    with open(f"{Layout.at(cloud.root).database}-shm", "r+b") as index, closing(connect_to(cloud.root)) as connection:
        fcntl.lockf(index, fcntl.LOCK_EX, *READ_LOCKS)
        connection.request(
            "GET", target, headers=sign_headers(*control.read_credentials(cloud.root), "GET", target, {})
        )
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            began = time.monotonic()
            assert control.status(cloud.root)
            assert time.monotonic() - began < 0.5
        fcntl.lockf(index, fcntl.LOCK_UN, *READ_LOCKS)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["State"]) == (200, "Terminated")


def _fill_store(root: Path, jobs: int) -> None:
    """Have many jobs in the store, with long texts. No service runs."""
    plan = read_description(describe({"A": {}}, Description="x" * 1000), Settings())
    owner = ensure_credentials(Layout.at(root).credentials).owner
    store, changes = Store(Layout.at(root).database), Changes()
    for _ in range(jobs):
        seq, job_id = store.next_id()
        changes.created[seq] = job = new_job(seq, job_id, owner, plan, 1000.0)
        job.state = type(job.state)(5)
        changes.touch(job)
    store.commit(changes)
    store.close()


def _peak(pid: int) -> float:
    """The most memory that a process ever had, in MB."""
    return float(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def test_readers_that_take_nothing_cost_no_memory(cloud: Cloud) -> None:
    cloud.up()
    control.stop(cloud.root)
    _fill_store(cloud.root, jobs=4000)
    pid = cloud.up()
    assert len(cloud.call("GET", "/jobs")[1]) == 4000
    before = _peak(pid)
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(connect_to(cloud.root))) for _ in range(READERS)]
        for connection in connections:
            connection.request(
                "GET", "/jobs", headers=sign_headers(*control.read_credentials(cloud.root), "GET", "/jobs", {})
            )
        for connection in connections:  # each answer has begun
            assert connection.sock.recv(1, socket.MSG_PEEK)
        began = time.monotonic()
        assert cloud.call("GET", "/images")[0] == 200
        assert time.monotonic() - began < 2
        assert _peak(pid) - before < 60  # the answers have 6 MB each
        answer = http.client.HTTPResponse(connections[-1].sock)
        answer.begin()
        assert len(json.loads(answer.read())) == 4000


def test_a_list_of_many_instances_is_never_in_memory(cloud: Cloud) -> None:
    cloud.up()
    control.stop(cloud.root)
    job_id = _fill_job(cloud.root, instances=60_000)
    pid = cloud.up()
    assert cloud.call("GET", "/jobs")[0] == 200
    before = _peak(pid)
    status, tasks = cloud.call("GET", f"/jobs/{job_id}/tasks")
    assert status == 200
    assert _peak(pid) - before < 8  # the answer has 7 MB, and the job takes 40 MB
    vector = tasks["A"]["InstanceStatusVector"]
    assert [one["InstanceId"] for one in vector] == list(range(60_000))
    assert tasks["A"]["UnfinishedInstances"] == list(range(0, 60_000, 3))
    assert vector[1] == {
        "InstanceId": 1, "State": 3, "StartTime": 5, "EndTime": 6, "WorkerStartTime": 5, "WorkerEndTime": 6
    }  # fmt: skip
    assert vector[3]["State"] == 5


def _fill_job(root: Path, instances: int) -> str:
    """Have a stopped job in the store, of which each third instance was never started. No service runs."""
    plan = read_description(describe({"A": {"InstanceCount": instances}}), Settings())
    owner = ensure_credentials(Layout.at(root).credentials).owner
    store, changes = Store(Layout.at(root).database), Changes()
    seq, job_id = store.next_id()
    changes.created[seq] = job = new_job(seq, job_id, owner, plan, 1000.0)
    job.state = State.STOPPED
    for number in range(instances):
        if number % 3:
            changes.touch(job, job.tasks[0], Instance(number, State.FINISHED, 1, 5.0, 6.0, 5.0, 6.0))
    store.commit(changes)
    store.close()
    return job_id
