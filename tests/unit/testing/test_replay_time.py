"""use_cassette: waiting, threads, cost, and what is beside it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from batchcompute import (
    Client,
    Config,
    RetryConfig,
    WaitTimeoutError,
)
from batchcompute.testing import StubTransport, UnrecordedRequestError, replay
from batchcompute.testing.cassette import Exchange, read_cassette, write_cassette
from batchcompute.testing.contracts.loopback import Seen, answer
from batchcompute.testing.scrubbing import Scrubber
from batchcompute.testing.tape import Tape
from batchcompute.wire import Response
from tests.support.server import ScriptedServer

QUICK = Config(retry=RetryConfig(base_wait=0.001, max_wait=0.002))


def describe(**more: Any) -> dict[str, Any]:
    task = {"PackageUri": "oss://b/w.tar.gz", "ProgramName": "w.py", "ImageId": "img-1", "Timeout": 60, **more}
    return {"JobName": "x", "Priority": 1, "TaskDag": {"TaskDescMap": {"Work": task}, "Dependencies": {}}}


def state(word: str) -> dict[str, Any]:
    return {"ResourceId": "job-1", "State": word, "OwnerId": 77}


def test_waiting_takes_no_time(stub: StubTransport, path: Path, play: Callable[..., Any]) -> None:
    words = ["Waiting"] * 50 + ["Running"] * 200 + ["Terminated"]
    write_cassette(
        path, [Exchange("GET", "/jobs/job-1", Response(200, {}, json.dumps(state(word)).encode())) for word in words]
    )
    began = time.monotonic()
    assert play(lambda client: client.wait("job-1").State) == "Finished"
    assert time.monotonic() - began < 10  # it took the recorded session more than ten minutes


def test_a_wait_that_timed_out_times_out_again(path: Path, play: Callable[..., Any]) -> None:
    write_cassette(path, [Exchange("GET", "/jobs/job-1", Response(200, {}, json.dumps(state("Running")).encode()))])
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match="after 600 seconds"):
        play(lambda client: client.wait("job-1", timeout=600))
    assert time.monotonic() - began < 10


def test_a_wait_for_what_was_never_recorded_ends(path: Path, play: Callable[..., Any]) -> None:
    write_cassette(path, [Exchange("GET", "/jobs/job-1", Response(200, {}, json.dumps(state("Running")).encode()))])
    with pytest.raises(UnrecordedRequestError, match="come to an end"):
        play(lambda client: client.wait("job-1"))


def test_eight_threads_and_two_hundred_requests(
    path: Path,
    server: ScriptedServer,
    connect: Callable[..., Client],
    offline: Callable[[], AbstractContextManager[None]],
) -> None:
    counts = dict.fromkeys(range(8), 0)
    lock = threading.Lock()

    def script(seen: Seen) -> bytes:
        number = int(seen.target.rpartition("-")[2])
        with lock:
            counts[number] += 1
            word = "Terminated" if counts[number] == 25 else "Running"
            return answer(
                json.dumps({"ResourceId": f"job-{number}", "State": word, "Priority": counts[number]}).encode()
            )

    def session(client: Client) -> list[list[int]]:
        seen: list[list[int]] = [[] for _ in range(8)]
        failed: list[Exception] = []

        def work(number: int) -> None:
            try:
                for _ in range(25):
                    seen[number].append(client.get_job(f"job-{number}").Priority)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        return seen

    server.script = script
    with replay.use_cassette(path, "record") as plugin:
        recorded = session(connect(plugins=[plugin]))
    assert len(read_cassette(path)) == len(server.seen) == 200
    server.close()
    with offline(), replay.use_cassette(path, "replay") as plugin:
        assert session(Client(server.url, plugins=[plugin])) == recorded == [list(range(1, 26))] * 8
    assert len(server.seen) == 200


def test_two_threads_wait_each_on_its_own_clock(path: Path, play: Callable[..., Any]) -> None:
    """What one thread sleeps is not taken off another one's timeout."""

    def polls(job: str, count: int) -> list[Exchange]:
        words = ["Running"] * count + ["Terminated"]
        return [Exchange("GET", f"/jobs/{job}", Response(200, {}, json.dumps(state(word)).encode())) for word in words]

    write_cassette(path, polls("job-a", 100) + polls("job-b", 5))
    ends: dict[str, str] = {}

    def session(client: Client) -> None:
        other = threading.Thread(target=lambda: ends.update(a=client.wait("job-a").State))
        other.start()
        other.join()
        ends["b"] = client.wait("job-b", timeout=30).State

    play(session)
    assert ends == {"a": "Finished", "b": "Finished"}


def test_the_cost_of_a_request_does_not_grow_with_the_cassette(path: Path) -> None:
    def cost(size: int) -> float:
        body = json.dumps(describe()).encode()
        exchanges = [Exchange("GET", f"/jobs/job-{n}", Response(200, {}, b"{}")) for n in range(size)]
        exchanges += [
            Exchange("POST", "/jobs", Response(201, {}, b"{}"), body.replace(b'"x"', b'"x-%d"' % n))
            for n in range(size)
        ]
        tape = Tape(exchanges, Scrubber(), path)
        best = float("inf")
        for turn in range(5):
            began = time.perf_counter()
            for n in range(turn * 20, turn * 20 + 20):
                tape.play("GET", f"/jobs/job-{size - 1 - n}")
                tape.play("POST", "/jobs", body.replace(b'"x"', b'"x-%d"' % (size - 1 - n)))
            best = min(best, time.perf_counter() - began)
        return best

    small, large = cost(100), cost(10_000)
    assert large < small * 10  # a search would make it a hundred times as much


def test_configuration_cannot_pick_a_transport_around_it(
    path: Path, stub: StubTransport, record: Callable[..., Any], play: Callable[..., Any]
) -> None:
    from batchcompute import TransportConfig

    stub.answer({})
    record(lambda client: client.list_jobs())
    play(lambda client: client.list_jobs(), config=Config(transport=TransportConfig(name="urllib3")))


def test_importing_batchcompute_imports_nothing_of_this(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, batchcompute; batchcompute.Client('cn-qingdao', 'a', 'b'); "
        "print([m for m in sys.modules if m.split('.')[0] in ('vcr', 'yaml', 'pytest') or m.startswith('batchcompute.testing')])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
