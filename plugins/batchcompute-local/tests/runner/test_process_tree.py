"""Processes that a program starts: leftovers may end by themselves, and a stop reaches all of them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from batchcompute_local import procs
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Started
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.records import StartRecord
from batchcompute_local.runner.journal import Journal
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import pack_files
from tests.support.runner import find_runner
from tests.support.service import Cloud
from tests.support.waits import wait_for

BASH = """[images."img-bash"]
python = "/bin/bash"
"""
GZIP = """{ seq 1 100000; } > >(gzip -9 > "$BATCHCOMPUTE_OSS_ROOT/mine/$ALI_DIKU_INSTANCE_ID.gz")
"""
TEE = """exec > >(tee "$BATCHCOMPUTE_OSS_ROOT/mine/$ALI_DIKU_INSTANCE_ID.log") 2>&1
for i in $(seq 1 200); do echo "line $i"; done
echo RESULT=42
"""
POPEN = """import os, subprocess
out = open(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/mine/" + os.environ["ALI_DIKU_INSTANCE_ID"] + ".gz", "wb")
p = subprocess.Popen(["gzip", "-9"], stdin=subprocess.PIPE, stdout=out)
for i in range(100000): p.stdin.write(b"%d\\n" % i)
p.stdin.close()
"""
WORKER = """import signal, time, sys
def save(*_):
    print("got TERM", flush=True)
    time.sleep(0.5)
    print("checkpoint written", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
WRAPPERS = {
    "bash wrapper": "python3 worker.py\necho after\n",
    "pipe": "python3 worker.py | ( trap '' TERM; cat )\n",
    "timeout": "timeout 100 python3 worker.py\n",
    "background": "python3 worker.py & wait\n",
    "another session": "setsid python3 worker.py\n",
    "xargs": "echo worker.py | xargs -P 2 python3\n",
    "cleared environment": "env -i /usr/bin/env PATH=$PATH python3 worker.py\n",
}


class Tree:
    """An executor that runs bash scripts with `worker.py` beside them, one instance at a time."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout.at(folder)
        self.layout.create()
        self.job = f"job-{os.urandom(8).hex()}"
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def open(self, leftover_seconds: float, grace_seconds: float) -> None:
        settings = Settings(
            leftover_seconds=leftover_seconds,
            grace_seconds=grace_seconds,
            runner_linger_seconds=0.2,
            programs={"python": "/bin/bash"},
        )
        self.executor = ProcessExecutor(self.layout, settings, self.job, lambda job: True)
        self.executor.open(self.events.put)

    def start(self, script: str, timeout: int = 60, leftover_seconds: float | None = None) -> str:
        (self.layout.oss / "mine").mkdir(parents=True, exist_ok=True)
        ObjectStore(self.layout.oss).put("oss://t/p", pack_files({"main.sh": script, "worker.py": WORKER}))
        task = TaskSpec("T", 1, "oss://t/p", "main.sh", "python", "", timeout, "img-local", 1, 1, "", "", {})
        task = replace(task, leftover_seconds=leftover_seconds)
        attempt = f"{self.job}.0.0.1"
        self.executor.start([Launch(attempt, self.job, task, 0)])
        return attempt

    def ended(self) -> Exited:
        while True:
            event = self.events.get(timeout=30)
            if isinstance(event, Exited):
                return event

    def lost(self) -> Lost:
        while True:
            event = self.events.get(timeout=30)
            if isinstance(event, Lost):
                return event

    def kill_runner(self) -> None:
        os.kill(wait_for(lambda: find_runner(self.layout.root)), signal.SIGKILL)

    def log(self, stream: str = "stdout") -> str:
        path = self.layout.work(self.job) / f"{stream}.{self.job}.T.0"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    yield made
    made.executor.stop([f"{made.job}.0.0.1"])
    made.executor.close()
    wait_for(lambda: not made.layout.runner_socket.exists(), "the runner's end")


@pytest.mark.parametrize(("program", "kind"), [(GZIP, "gz"), (TEE, "log"), (POPEN, "gz")], ids=["gzip", "tee", "Popen"])
def test_output_is_whole_that_a_leftover_writes(cloud: Cloud, program: str, kind: str) -> None:
    cloud.settings("slots = 2\n" + BASH)
    cloud.up()
    (cloud.root / "oss" / "mine").mkdir(parents=True)
    cloud.program(program)
    image = {} if "import" in program else {"ImageId": "img-bash"}
    job = cloud.create({"A": {"InstanceCount": 8, **image}})
    assert cloud.ended(job)["State"] == "Terminated"
    for number in range(8):
        if kind == "log":
            assert cloud.log(job, "A", number).count("\n") == 201
        else:
            file = cloud.root / "oss" / "mine" / f"{number}.gz"
            assert subprocess.run(["gzip", "-tq", file], capture_output=True, check=False).returncode == 0


def test_a_leftover_may_end_by_itself(tree: Tree) -> None:
    tree.open(20, 20)
    tree.start("( sleep 0.3; echo late > $BATCHCOMPUTE_OSS_ROOT/mine/late ) &\n")
    event = tree.ended()
    assert (event.code, event.leftovers) == (0, ())
    assert (tree.layout.oss / "mine/late").read_text() == "late\n"
    assert tree.log("stderr") == ""


@pytest.mark.parametrize(
    ("script", "name"),
    [("sleep 60 &\n", "SIGTERM"), ("trap '' TERM; setsid sleep 60 &\n", "SIGKILL")],
    ids=["ends at SIGTERM", "ignores it, in a session of its own"],
)
def test_a_leftover_that_must_be_ended_is_named(
    tree: Tree, script: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    tree.open(0.2, 0.2)
    tree.start(script)
    event = tree.ended()
    assert event.code == 0
    (leftover,) = event.leftovers
    assert (leftover.command, leftover.signal) == ("sleep", name)
    named = f"sleep (pid {leftover.pid}, {name})"
    assert named in tree.log("stderr")
    assert named in caplog.text
    assert procs.start_time(leftover.pid) is None


@pytest.mark.parametrize(("setting", "own", "ends"), [(600, 0, True), (0, 600, False)])
def test_a_task_has_its_own_time_for_leftovers(tree: Tree, setting: float, own: float, ends: bool) -> None:
    tree.open(setting, 20)
    script = "sleep 600 &\n" if ends else "( sleep 0.3; echo late > $BATCHCOMPUTE_OSS_ROOT/mine/late ) &\n"
    tree.start(script, leftover_seconds=own)
    event = tree.ended()
    assert (event.code, bool(event.leftovers), (tree.layout.oss / "mine/late").exists()) == (0, ends, not ends)


def test_a_leftover_counts_for_the_timeout(tree: Tree) -> None:
    tree.open(600, 0.2)
    tree.start("sleep 60 &\n", timeout=1)
    event = tree.ended()
    assert (event.code, event.timed_out) == (0, False)
    assert [one.command for one in event.leftovers] == ["sleep"]


def test_a_stop_does_not_wait_for_leftovers_to_end_by_themselves(tree: Tree) -> None:
    tree.open(600, 0.2)
    attempt = tree.start("sleep 60 & echo $! > $BATCHCOMPUTE_OSS_ROOT/mine/pid\n")
    wait_for(lambda: (tree.layout.oss / "mine/pid").exists(), "the leftover")
    tree.executor.stop([attempt])
    assert tree.ended().code in (0, None)


@pytest.mark.parametrize("script", WRAPPERS.values(), ids=WRAPPERS)
def test_a_stop_reaches_the_worker_behind_a_wrapper(tree: Tree, script: str) -> None:
    tree.open(20, 20)
    attempt = tree.start(script)
    wait_for(lambda: "ready" in tree.log(), "the worker")
    tree.executor.stop([attempt])
    assert tree.ended().reason == "stopped"
    assert "got TERM" in tree.log()
    assert "checkpoint written" in tree.log()


def test_a_stop_reaches_a_worker_that_a_thread_started(tree: Tree) -> None:
    """Its leader survives SIGTERM, so that the worker is no orphan when it must be found."""
    leader = (
        "import signal, subprocess, threading; signal.signal(signal.SIGTERM, lambda *_: None); done = []; "
        "t = threading.Thread(target=lambda: done.append(subprocess.run(['python3', 'worker.py']))); t.start(); t.join()"
    )
    tree.open(20, 20)
    attempt = tree.start(f'exec python3 -c "{leader}"\n')
    wait_for(lambda: "ready" in tree.log(), "the worker")
    tree.executor.stop([attempt])
    assert tree.ended().reason == "stopped"
    assert "checkpoint written" in tree.log()


def test_a_timeout_reaches_the_worker_behind_a_wrapper(tree: Tree) -> None:
    tree.open(20, 20)
    tree.start("python3 worker.py\necho after\n", timeout=1)
    assert tree.ended().timed_out
    assert "checkpoint written" in tree.log()


def test_a_process_that_changed_its_mark_and_its_environment_is_found(tree: Tree) -> None:
    hide = (
        "import os, resource, time; os.setsid(); os.fork() and os._exit(0); "
        "resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0)); "
        "os.execve('/bin/sleep', ['sleep', '60'], {})"
    )
    tree.open(0.2, 0.2)
    tree.start(f'python3 -c "{hide}"\nexit 1\n')
    event = tree.ended()
    assert event.code == 1
    assert [one.command for one in event.leftovers] == ["sleep"]


def test_a_leftover_without_its_environment_is_ended_when_the_runner_was_killed(tree: Tree) -> None:
    tree.open(600, 0.2)
    attempt = tree.start("env -i sleep 60 & echo $! > $BATCHCOMPUTE_OSS_ROOT/mine/pid\n")
    wait_for(lambda: (tree.layout.oss / "mine/pid").exists(), "the leftover")
    leftover = int((tree.layout.oss / "mine/pid").read_text())
    wait_for(lambda: procs.command_of(leftover) == "sleep", "its program")
    (record,) = wait_for(lambda: Journal(tree.layout.journal).records, "the record of its start")
    assert isinstance(record, StartRecord)
    wait_for(lambda: procs.start_time(record.pid) is None, "the program's end")
    tree.kill_runner()
    assert tree.lost().attempt == attempt
    assert procs.start_time(leftover) is None


def test_a_start_is_reported_before_leftovers_have_ended(tree: Tree) -> None:
    tree.open(0.5, 0.2)
    tree.start("sleep 60 &\n")
    event = tree.events.get(timeout=30)
    assert isinstance(event, Started)
