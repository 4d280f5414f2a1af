"""`Prefer: wait`: a request for a job that is answered when the job has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.http.application import Front
from batchcompute_local.http.auth import Authenticator
from batchcompute_local.jobs.waiters import LONGEST_SECONDS, JobWaiters, preferred_seconds
from batchcompute_local.paths import Layout
from starlette.requests import ClientDisconnect, Request

from batchcompute import Client
from tests.support.descriptions import describe
from tests.support.engine import World
from tests.support.service import Cloud
from tests.support.waits import wait_for

UNTIL_TOLD = "import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.005)\n"


def _held(cloud: Cloud, job: str) -> tuple[int, Any]:
    """What a connection of its own is answered."""
    other = Cloud(cloud.root)
    try:
        status, found = other.call("GET", f"/jobs/{job}", Prefer="wait=30")
        return status, found
    finally:
        other.client.close()


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], 0),
        (["wait=3"], 3),
        (["respond-async, Wait = 12; x=y"], 12),
        (["respond-async", 'wait="4"'], 4),
        (["wait=1, wait=9"], 1),
        (["wait=99"], LONGEST_SECONDS),
        ([f"wait={'9' * 5000}"], LONGEST_SECONDS),
        (["wait"], 0),
        (["wait=-1"], 0),
        (["wait=0.5"], 0),
        (["wait=\N{SUPERSCRIPT TWO}"], 0),
        (["waits=5"], 0),
        ([",;=,,"], 0),
    ],
)
def test_what_a_header_asks_for(values: list[str], seconds: int) -> None:
    assert preferred_seconds(values) == seconds


def test_it_is_answered_at_the_end(cloud: Cloud, tmp_path: Path) -> None:
    cloud.up()
    cloud.program(UNTIL_TOLD.format(path=str(tmp_path / "go")))
    job = cloud.create({"A": {}})
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(_held, cloud, job) for _ in range(3)]
        wait_for(lambda: cloud.job(job)["State"] == "Running", "its start")
        assert not any(answer.done() for answer in answers)
        asked = time.monotonic()
        (tmp_path / "go").touch()
        for answer in answers:
            status, found = answer.result(25)
            assert (status, found["State"], found["NumFinishedInstance"]) == (200, "Terminated", 1)
    assert time.monotonic() - asked < 25
    assert cloud.job(job) == found
    assert cloud.call("GET", f"/jobs/{job}", Prefer="wait=30") == (200, found)


def test_it_is_answered_in_time(cloud: Cloud, tmp_path: Path) -> None:
    cloud.up()
    cloud.program(UNTIL_TOLD.format(path=str(tmp_path / "go")))
    job = cloud.create({"A": {}})
    asked = time.monotonic()
    status, found = cloud.call("GET", f"/jobs/{job}", Prefer="wait=1")
    assert (status, found["State"]) == (200, "Running")
    assert time.monotonic() - asked >= 1
    (tmp_path / "go").touch()


def _is_full(cloud: Cloud, job: str) -> bool:
    """Whether so many wait already that nobody else may."""
    asked = time.monotonic()
    assert cloud.call("GET", f"/jobs/{job}", Prefer="wait=1")[0] == 200
    return time.monotonic() - asked < 1


def test_connections_are_left_for_others(cloud: Cloud, tmp_path: Path) -> None:
    cloud.settings("max_connections = 5\n")
    cloud.up()
    cloud.program(UNTIL_TOLD.format(path=str(tmp_path / "go")))
    job = cloud.create({"A": {}})

    def hold() -> Any:
        while True:  # as long as there is no room for this one
            found = _held(cloud, job)[1]
            if found["State"] not in ("Running", "Waiting"):
                return found["State"]
            time.sleep(0.005)

    with ThreadPoolExecutor() as pool:
        held = [pool.submit(hold) for _ in range(2)]
        wait_for(lambda: _is_full(cloud, job), "an answer at once")
        (tmp_path / "go").touch()
        assert [answer.result(25) for answer in held] == ["Terminated"] * 2


def test_what_is_not_there_is_refused_at_once(cloud: Cloud) -> None:
    cloud.up()
    assert cloud.call("GET", "/jobs/job-1", Prefer="wait=30")[1]["Code"] == "ResourceNotFound"
    assert cloud.call("GET", "/jobs", Prefer="wait=30") == (200, {})


@pytest.mark.parametrize("how", ["stop", "delete"])
def test_a_stop_is_an_end(cloud: Cloud, tmp_path: Path, how: str) -> None:
    cloud.up()
    cloud.program(UNTIL_TOLD.format(path=str(tmp_path / "go")))
    job = cloud.create({"A": {}})
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(_held, cloud, job)
        assert cloud.call("PUT", f"/jobs/{job}?Action=Stop")[0] == 200
        if how == "delete":
            assert cloud.call("DELETE", f"/jobs/{job}")[0] == 200
        status, found = answer.result(25)
    # a request that came after the deletion finds nothing
    assert found.get("State") == "Stopped" or (how, status) == ("delete", 404)


def test_a_daemon_that_ends_lets_them_go(cloud: Cloud, tmp_path: Path) -> None:
    """Else they would be cut off after five seconds."""
    cloud.settings("max_connections = 3\n")
    pid = cloud.up()
    cloud.program(UNTIL_TOLD.format(path=str(tmp_path / "go")))
    job = cloud.create({"A": {}})
    ending = threading.Event()

    def hold() -> Any:
        while True:  # as long as there is no room for this one
            found = _held(cloud, job)
            if ending.is_set():
                return found
            time.sleep(0.005)

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(hold)
        wait_for(lambda: _is_full(cloud, job), "a request that waits")
        ending.set()
        os.kill(pid, signal.SIGTERM)
        status, found = waiting.result(25)
        assert (status, found["State"]) == (200, "Running")
    (tmp_path / "go").touch()


def test_the_client_waits_at_the_service(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.up()
    cloud.program(UNTIL_TOLD.format(path=str(tmp_path / "go")))
    with Client("local") as client:
        job = cloud.create({"A": {}})
        timer = threading.Timer(0.3, (tmp_path / "go").touch)
        timer.start()
        naps: list[float] = []
        monkeypatch.setattr(time, "sleep", naps.append)  # nothing here has to sleep
        assert client.wait(job, timeout=60).State == "Finished"
        assert naps == []
        timer.join()


def test_nothing_is_kept_of_those_who_left() -> None:
    async def scenario() -> None:
        waiters = JobWaiters()
        async with waiters.of("a") as first, waiters.of("a") as second, waiters.of("b") as other:
            assert len(waiters) == 3
            waiters.close()
            await asyncio.wait([first, second, other], timeout=20)
            assert [each.result() for each in (first, second, other)] == [None] * 3
            async with waiters.of("c") as late:
                assert late.result() is None
        assert len(waiters) == 0

    asyncio.run(scenario())


def test_a_client_that_hangs_up_is_forgotten(world: World) -> None:
    job = world.create(describe({"A": {}}))
    sent = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        assert len(world.engine.waiters) == 1
        return sent.pop(0)

    async def scenario() -> None:
        layout = Layout.at(world.path.parent)
        front = Front(world.engine, Authenticator(None), world.settings, layout)  # type: ignore[arg-type]  # not asked
        request = Request({"type": "http", "method": "GET", "headers": [(b"prefer", b"wait=30")]}, receive)
        with pytest.raises(ClientDisconnect):
            await front._job(job, lambda turn: world.service.get_job(turn, 1, job), request)
        assert len(world.engine.waiters) == 0

    asyncio.run(scenario())
