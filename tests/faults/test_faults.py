"""Every operation through a proxy that goes wrong: what the caller sees, and what the service has really done.

The expectations are the table of docs/faults.md; a test holds the two together.
"""

from __future__ import annotations

import itertools
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batchcompute_local.client import control
from batchcompute_local.jobs.ranges import LOCAL_RANGES

from batchcompute import Client, Config, Region, RetryConfig, TransportConfig, errors
from batchcompute.hooks import hookimpl
from batchcompute.operations import OPERATIONS
from tests.support.faults import FaultProxy

OK = "works"
OPEN = "AmbiguousResultError"
WITHOUT_JOB = ("list_jobs", "list_images", "list_job_details", "get_region")
READS = (*WITHOUT_JOB, "get_job", "get_job_description", "list_tasks", "get_job_details", "get_surroundings", "get_log")
METHODS = {"get_log": "read_log"}
"""Of the Client, where they have another name than the operation."""
# fault -> what is seen by: reads, changes with a token, changes without; the fault happens once, or always
ONCE = {
    "refused": (OK, OK, OK),
    "reset before": (OK, OK, OPEN),
    "reset after": (OK, OK, OPEN),
    "stall": (OK, OK, OPEN),
    "half a response": (OK, OK, OPEN),
    "429": (OK, OK, OK),
    "503 with Retry-After": (OK, OK, "ServerError"),
    "garbage": (OK, OK, OPEN),
    "wrong Date": (OK, OK, OK),
}
ALWAYS = {
    "refused": ("ConnectError", "ConnectError", "ConnectError"),
    "reset before": ("ResponseLostError", OPEN, OPEN),
    "reset after": ("ResponseLostError", OPEN, OPEN),
    "stall": ("RequestTimeoutError", OPEN, OPEN),
    "half a response": ("ResponseLostError", OPEN, OPEN),
    "429": ("ThrottlingError", "ThrottlingError", "ThrottlingError"),
    "503 with Retry-After": ("ServerError", "ServerError", "ServerError"),
    "garbage": ("ResponseLostError", OPEN, OPEN),
}
Table = dict[str, tuple[str, str, str]]
Connect = Callable[[str, bool], Client]
STALL_TIMEOUT = 0.15
ENOUGH = 20.0


def config(fault: str) -> Config:
    """Only a stall is to run into the read timeout, however slow the machine."""
    return Config(
        retry=RetryConfig(attempts=3, base_wait=0.001, max_wait=0.01),
        transport=TransportConfig(read_timeout=STALL_TIMEOUT if fault == "stall" else ENOUGH),
    )


class Through:
    """A region behind the proxy."""

    def __init__(self, port: int, tokens: bool) -> None:
        self.region = Region(
            "faulty",
            "127.0.0.1",
            "http",
            port,
            "urllib3",
            "local",
            ranges=LOCAL_RANGES,
            idempotent_tokens=tokens,
            details=True,
        )

    @hookimpl
    def register_regions(self, ctx: object) -> list[Region]:
        return [self.region]


def description(name: str, program: str = "fail.py") -> dict[str, object]:
    task = {"PackageUri": "oss://faults/fail.tar.gz", "ProgramName": program}
    return {"JobName": name, "Priority": 10, "TaskDag": {"TaskDescMap": {"T": task}}}


def runs(data_dir: Path, job_id: str) -> int:
    path = data_dir / "oss" / "faults" / "runs" / job_id
    return len(path.read_text().splitlines()) if path.exists() else 0


class Case:
    """One operation, with a job in a state that allows it, and a check of what the service did."""

    def __init__(self, operation: str, data_dir: Path) -> None:
        self.operation, self.data_dir = operation, data_dir
        self.direct = Client("local")
        self.name = f"{operation}-{uuid.uuid4().hex}"
        self.job = ""
        if operation not in ("create_job", *WITHOUT_JOB):
            program = "sleep.py" if operation == "stop_job" else "fail.py"
            self.job = self.direct.create_job(description(self.name, program)).JobId
            if operation != "stop_job":
                self.direct.wait(self.job, timeout=30)

    def run(self, client: Client) -> str:
        call: Callable[..., object] = getattr(client, METHODS.get(self.operation, self.operation))
        arguments = {
            "create_job": (description(self.name),),
            "update_job_priority": (self.job, 77),
            "get_log": (self.job, "T"),
            **dict.fromkeys(WITHOUT_JOB, ()),
        }.get(self.operation, (self.job,))
        try:
            call(*arguments)
        except errors.BatchComputeError as error:
            return type(error).__name__
        return OK

    def check(self, seen: str, may_be_done: bool) -> None:
        """The service did it exactly once if the caller got a success, and never twice."""
        jobs = [job for job in self.direct.list_jobs() if job.JobName == self.name]
        done = seen == OK
        if self.operation == "create_job":
            assert len(jobs) == 1 if done else len(jobs) <= (1 if may_be_done else 0)
            for job in jobs:
                self.direct.wait(job, timeout=30)
                assert runs(self.data_dir, job.JobId) == 1
        elif self.operation == "start_job":
            self.direct.wait(self.job, timeout=30)
            count = runs(self.data_dir, self.job)
            assert count == 2 if done else count in ((1, 2) if may_be_done else (1,))
        elif self.operation == "delete_job":
            assert len(jobs) == (0 if done else len(jobs) if may_be_done else 1)
        elif self.operation == "update_job_priority" and done:
            assert jobs[0].Priority == 77
        elif self.operation == "stop_job":
            assert not done or jobs[0].State == "Stopped"
            if jobs[0].State != "Stopped":
                self.direct.stop_job(self.job)


@pytest.fixture
def through(proxy: FaultProxy, data_dir: Path) -> Iterator[Connect]:
    """A client through the proxy, with tokens or without."""
    clients: list[Client] = []

    def make(fault: str, tokens: bool) -> Client:
        client = Client("faulty", config=config(fault), plugins=[Through(proxy.port, tokens)])
        clients.append(client)
        return client

    yield make
    proxy.release()
    for client in clients:
        client.close()


def expected(table: Table, fault: str, operation: str, tokens: bool) -> str:
    row = table[fault]
    if operation in READS:
        return row[0]
    if operation == "update_job_priority" and table is ONCE:
        return row[0]  # doing it twice is the same as doing it once
    return row[1] if tokens else row[2]


CASES = [
    (when, fault, operation, tokens)
    for when, table in (("once", ONCE), ("always", ALWAYS))
    for fault, operation, tokens in itertools.product(table, OPERATIONS, (True, False))
    if tokens or operation not in READS  # which have no token
]


@pytest.mark.parametrize(("when", "fault", "operation", "tokens"), CASES)
def test_fault(
    when: str,
    fault: str,
    operation: str,
    tokens: bool,
    proxy: FaultProxy,
    through: Connect,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case(operation, data_dir)
    client = through(fault, tokens)
    if fault == "wrong Date":
        clock = SimpleNamespace(time=lambda: time.time() - 3600, gmtime=time.gmtime, monotonic=time.monotonic)
        proxy.arm("", 0)
        with monkeypatch.context() as patch:
            patch.setattr("batchcompute.builtins.signing.time", clock)
            patch.setattr("batchcompute.service_time.time", clock)
            with pytest.warns(errors.ClockSkewWarning):
                seen = case.run(client)
    elif fault == "refused":
        seen = run_refused(case, client, proxy, monkeypatch, 1 if when == "once" else 10**6)
    else:
        proxy.arm(fault, 1 if when == "once" else 10**6)
        seen = case.run(client)
    proxy.arm("", 0)
    table = ONCE if when == "once" else ALWAYS
    wanted = expected(table, fault, operation, tokens)
    assert seen == wanted
    case.check(seen, may_be_done=seen == OPEN)


def run_refused(case: Case, client: Client, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, times: int) -> str:
    """The first connections are refused for real: they go to a port where nobody listens."""
    from urllib3.util import connection

    left = itertools.count(1)
    real = connection.create_connection

    def create(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        return real((address[0], 1) if next(left) <= times else address, *args, **kwargs)

    monkeypatch.setattr(connection, "create_connection", create)
    proxy.arm("", 0)
    return case.run(client)


def test_the_page_says_what_is_tested() -> None:
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
    for table, title in ((ONCE, "Once"), (ALWAYS, "Every time")):
        rows = "\n".join(
            f"| {fault} | {' | '.join(f'`{c}`' if c != OK else c for c in row)} |" for fault, row in table.items()
        )
        assert rows in page, f"docs/faults.md, {title}, should have:\n{rows}"


def test_a_service_that_is_gone_is_started_again(data_dir: Path) -> None:
    with Client("local") as client:
        client.list_jobs()
        control.stop(data_dir)
        assert client.list_jobs().StatusCode == 200
