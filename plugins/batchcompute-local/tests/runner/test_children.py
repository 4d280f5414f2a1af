"""Instances claimed ahead of a free slot: they wait in the runner, for a moment, and never without a daemon."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Recovered, Returned, Started
from batchcompute_local.jobs.claim_ahead import ClaimAhead
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor, _Attempt, _State
from batchcompute_local.records import PATIENCE_SECONDS, Order
from batchcompute_local.runner import children
from batchcompute_local.runner.spawners import Spawners
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import describe, pack_files
from tests.support.engine import World
from tests.support.runner import find_runner
from tests.support.service import Cloud
from tests.support.waits import wait_for

HOLD = """
import os, time
while not os.path.exists('../go'): time.sleep(0.005)
"""


class OneSlot:
    """An executor with one slot. Instance 0 holds it until `let_go`; the others end at once."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout.at(folder)
        self.layout.create()
        self.job = f"job-{os.urandom(8).hex()}"
        program = (
            f"import os\nprint('begun', flush=True)\nif os.environ['ALI_DIKU_INSTANCE_ID'] == '0':{_indented(HOLD)}"
        )
        ObjectStore(self.layout.oss).put("oss://t/p", pack_files({"main.py": program}))
        self.task = TaskSpec("T", 99, "oss://t/p", "main.py", "python", "", 60, "img-local", 1, 1, "", "", {})
        self.open()

    def open(self) -> Recovered:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        settings = Settings(slots=1, grace_seconds=0.3, runner_linger_seconds=0.2)
        self.executor = ProcessExecutor(self.layout, settings, self.job, lambda job: True)
        return self.executor.open(self.events.put)

    def attempt(self, number: int) -> str:
        return f"{self.job}.0.{number}.1"

    def start(self, *numbers: int) -> None:
        self.executor.start([Launch(self.attempt(number), self.job, self.task, number) for number in numbers])

    def occupy(self) -> None:
        """Have the one slot taken, and the package at hand."""
        self.start(0)
        assert self.next(Started).attempt == self.attempt(0)

    def next(self, *kinds: type[Any]) -> Any:
        while True:
            event = self.events.get(timeout=20)
            if isinstance(event, kinds):
                return event

    def let_go(self) -> None:
        (self.layout.work(self.job) / "go").touch()

    def has_begun(self, number: int) -> bool:
        path = self.layout.work(self.job) / f"stdout.{self.job}.T.{number}"
        return path.exists() and "begun" in path.read_text()

    def runner(self) -> int:
        return wait_for(lambda: find_runner(self.layout.root))


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ") + "\n"


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[OneSlot]:
    made = OneSlot(tmp_path)
    yield made
    made.executor.stop([made.attempt(number) for number in range(99)])
    made.executor.close()
    wait_for(lambda: not list(procs.attempts(made.job)), "the programs' end")
    wait_for(lambda: not made.layout.runner_socket.exists(), "the runner's end")


def test_they_begin_in_order_and_one_at_a_time(slot: OneSlot) -> None:
    slot.start(1)
    slot.next(Exited)
    slot.start(*range(2, 9))
    times = []
    for number in range(2, 9):
        event = slot.next(Exited, Returned)
        if isinstance(event, Returned):  # on a slow machine; the rest comes back too
            break
        assert (event.attempt, event.code) == (slot.attempt(number), 0)
        times += [event.started, event.ended]
    assert times
    assert times == sorted(times)


def test_what_waits_too_long_is_given_back(slot: OneSlot) -> None:
    slot.occupy()
    begun = time.monotonic()
    slot.start(1, 2)
    assert {slot.next(Returned).attempt for _ in range(2)} == {slot.attempt(1), slot.attempt(2)}
    assert time.monotonic() - begun >= PATIENCE_SECONDS
    slot.let_go()
    assert slot.next(Exited).attempt == slot.attempt(0)
    assert not slot.has_begun(1)
    slot.start(1)  # the slot is free now
    assert slot.next(Exited).attempt == slot.attempt(1)


def test_a_stopped_one_never_begins(slot: OneSlot) -> None:
    slot.occupy()
    slot.start(1, 2)
    slot.executor.stop([slot.attempt(1)])
    event = slot.next(Exited)
    assert (event.attempt, event.code, event.signal, event.started) == (slot.attempt(1), None, None, 0.0)
    assert event.reason == "stopped"
    slot.executor.acknowledge([slot.attempt(1)])
    slot.let_go()
    assert slot.next(Exited).attempt == slot.attempt(0)
    slot.next(Exited, Returned)
    assert not slot.has_begun(1)


def test_they_are_lost_with_the_runner_and_can_run_again(slot: OneSlot) -> None:
    slot.occupy()
    slot.start(1)
    os.kill(slot.runner(), signal.SIGKILL)
    ends = {slot.next(Lost, Returned).attempt for _ in range(2)}
    assert ends == {slot.attempt(0), slot.attempt(1)}
    assert not slot.has_begun(1)
    slot.start(1)
    event = slot.next(Exited)
    assert (event.attempt, event.code) == (slot.attempt(1), 0)


def test_without_a_daemon_nothing_begins(slot: OneSlot) -> None:
    slot.occupy()
    slot.start(1)
    slot.executor.close()
    slot.let_go()
    wait_for(lambda: "exited" in slot.layout.journal.read_text(), "the exit record")
    recovered = slot.open()
    assert [event.attempt for event in recovered.ended] == [slot.attempt(0)]
    assert recovered.live == frozenset()
    assert not slot.has_begun(1)


def test_only_short_instances_are_claimed_ahead(world: World) -> None:
    world.executor.look_ahead = 3
    job_id = world.create(describe({"A": {"InstanceCount": 100}}))
    assert len(world.executor.launched) == 2
    for number in range(30):
        world.executor.sink(Exited(f"{job_id}.0.{number}.1", code=0, started=5.0, ended=5.001))
        world.engine.turn()
    assert len(world.executor.launched) == 30 + 2 + 3
    # one that comes back stands for slots that are not free: no more than those are filled until they are
    world.executor.sink(Returned(f"{job_id}.0.34.1"))
    world.engine.turn()
    assert len(world.executor.launched) == 35
    assert world.states(job_id)["A"][34] == 1
    world.end(*(f"{job_id}.0.{number}.1" for number in (30, 31, 32, 33)))
    assert [launch.attempt for launch in world.executor.launched[35:]] == [f"{job_id}.0.34.2", f"{job_id}.0.35.1"]


def test_how_many_are_claimed_ahead() -> None:
    ahead = ClaimAhead(0.05)
    assert ahead.count(2) == 0
    for _ in range(50):
        ahead.note_end(0.01)
    assert ahead.count(2) in (9, 10)
    ahead.note_end(60.0)
    assert ahead.count(2) == 0


def _is_gone(pid: int) -> bool:
    return procs.start_time(pid) is None


def test_a_killed_daemon_runs_no_instance_twice(cloud: Cloud) -> None:
    cloud.settings('slots = 2\n[programs]\npython = "/bin/sh"\n')
    cloud.up()
    cloud.program('echo >> "$BATCHCOMPUTE_OSS_ROOT/tests/ran.$ALI_DIKU_INSTANCE_ID"\n')
    job_id = cloud.create({"A": {"InstanceCount": 400}})

    def has_finished(number: int) -> bool:
        return int(cloud.job(job_id)["NumFinishedInstance"]) >= number

    for number in (50, 150, 250):
        wait_for(partial(has_finished, number), "some to finish")
        pid = wait_for(lambda: control.status(cloud.root))["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(partial(_is_gone, pid), "its end")
        cloud.up()
    assert cloud.ended(job_id)["NumFinishedInstance"] == 400
    runs = {path.name: len(path.read_text()) for path in (cloud.root / "oss/tests").glob("ran.*")}
    assert runs == {f"ran.{number}": 1 for number in range(400)}


def test_a_new_job_of_a_higher_priority_hardly_waits(cloud: Cloud) -> None:
    cloud.settings('slots = 2\n[programs]\npython = "/bin/sh"\n')
    cloud.up()
    cloud.program("exit 0\n")
    first = cloud.create({"A": {"InstanceCount": 20_000}})
    wait_for(lambda: cloud.job(first)["NumFinishedInstance"] >= 200, "some to finish")
    before = cloud.job(first)["NumFinishedInstance"]
    second = cloud.create({"A": {}}, Priority=9)
    cloud.ended(second)
    # what was claimed ahead, and what ended while two requests were on their way
    assert cloud.job(first)["NumFinishedInstance"] - before < 2_000
    assert cloud.call("PUT", f"/jobs/{first}?Action=Stop")[0] == 200
    counted = cloud.job(first)["NumFinishedInstance"]
    wait_for(lambda: control.status(cloud.root)["idle"], "the last programs' end")  # type: ignore[index]  # the service is there
    assert cloud.job(first)["NumFinishedInstance"] == counted


def test_the_folder_of_a_success_that_was_stopped_is_the_next_attempt_s(tmp_path: Path) -> None:
    """The program ended well while its job was being stopped; the job was started again before the folder went."""
    executor = ProcessExecutor(Layout.at(tmp_path), Settings(), "job-", lambda job: True)
    folder = tmp_path / "0"
    folder.mkdir()
    (folder / "main.py").write_text("the next attempt's")
    for state in (_State.PREPARING, _State.SENT):
        executor._attempts["job-1.0.0.2"] = _Attempt(state)
        executor._remove_folder("job-1.0.0.1", _Attempt(_State.SUCCEEDED, cwd=str(folder)))
        assert (folder / "main.py").exists()
    executor._attempts = {"job-1.0.1.1": _Attempt(_State.SENT)}  # another instance
    executor._remove_folder("job-1.0.0.1", _Attempt(_State.SUCCEEDED, cwd=str(folder)))
    assert list(tmp_path.glob("0*")) == []


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_length_of_a_run_is_not_that_of_a_clock_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wall = 1_800_000_000.0
    monkeypatch.setattr(children, "time", SimpleNamespace(time=lambda: wall, monotonic=time.monotonic))
    spawners = Spawners(None)
    there = children.Children(spawners)
    (tmp_path / "cwd").mkdir()
    logs = str(tmp_path / "out"), str(tmp_path / "err")
    there.line_up(
        [Order("job-0.0.0.1", ("/bin/sleep", "0.1"), str(tmp_path / "cwd"), {}, *logs, 60, 1.0, 1.0)],
        1,
        60.0,
        time.monotonic(),
    )
    (begun,) = there.begin()
    wall += hours * 3600
    (record,) = wait_for(lambda: there.collect(time.monotonic()), "the end")
    assert record.started == begun.time == 1_800_000_000
    assert 0.05 < record.ended - record.started < 20
    os.close(spawners.reports)
    os.close(spawners._write_end)
