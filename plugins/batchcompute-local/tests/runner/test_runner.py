"""The runner and its executor, with real processes and without the rest of the service."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from batchcompute_local import procs
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Recovered, Started
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.records import StartRecord
from batchcompute_local.runner.journal import Journal
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import pack_files
from tests.support.runner import E, find_runner, next_event
from tests.support.waits import wait_for

PREFIX = "job-"


class Bench:
    """An executor in a folder of its own; programs are Python texts."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout.at(folder)
        self.layout.create()
        self.job = f"{PREFIX}{os.urandom(8).hex()}"
        self.linger = 0.2
        self.open()

    def open(self, programs: Mapping[str, str] | None = None) -> Recovered:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        settings = Settings(
            leftover_seconds=0.3, grace_seconds=0.3, runner_linger_seconds=self.linger, programs=programs or {}
        )
        self.executor = ProcessExecutor(self.layout, settings, self.job, lambda job: True)
        return self.executor.open(self.events.put)

    def start(self, number: int, program: str, timeout: int = 60) -> str:
        uri = f"oss://t/{number}.tar.gz"
        ObjectStore(self.layout.oss).put(uri, pack_files({"main.py": program}))
        task = TaskSpec("T", 9, uri, "main.py", "python", "", timeout, "img-local", 1, 1, "", "", {})
        attempt = f"{self.job}.0.{number}.1"
        self.executor.start([Launch(attempt, self.job, task, number)])
        return attempt

    def event(self, kind: type[E]) -> E:
        return next_event(self.events, kind)

    def out(self, number: int) -> str:
        path = self.layout.work(self.job) / f"stdout.{self.job}.T.{number}"
        return path.read_text() if path.exists() else ""

    def kill_runner(self) -> None:
        os.kill(wait_for(lambda: find_runner(self.layout.root)), signal.SIGKILL)

    def left(self) -> list[int]:
        return [pid for pid, _ in procs.attempts(self.job)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.executor.stop([f"{made.job}.0.{number}.1" for number in range(9)])
    made.executor.close()
    wait_for(lambda: not made.left(), "the programs' end")
    wait_for(lambda: not made.layout.runner_socket.exists(), "the runner's end")


def test_how_programs_end(bench: Bench) -> None:
    cases = {
        "print('x')": (0, None),
        "raise SystemExit(7)": (7, None),
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": (None, signal.SIGSEGV),
        "import os, signal; os.kill(os.getpid(), signal.SIGPIPE)": (0, None),  # Python ignores it
        "import os; os.execv('/bin/sh', ['sh', '-c', 'kill -PIPE $$; echo alive'])": (0, None),
    }
    attempts = {bench.start(number, text): outcome for number, (text, outcome) in enumerate(cases.items())}
    for _ in cases:
        event = bench.event(Exited)
        assert (event.code, event.signal) == attempts[event.attempt], event
        assert 0 < event.started <= event.ended
        assert event.host
        assert not event.reason


def test_a_start_is_reported(bench: Bench) -> None:
    attempt = bench.start(1, "import time; time.sleep(60)")
    started = bench.events.get(timeout=20)
    assert isinstance(started, Started)
    assert started.attempt == attempt
    bench.executor.stop([attempt])
    assert bench.event(Exited).started == started.time


def test_a_start_is_not_reported_after_the_end(bench: Bench) -> None:
    bench.executor.close()
    bench.open({"python": "/bin/true"})
    for number in range(50):  # on a busy machine the end may take its time
        bench.start(number, "")
        if isinstance(bench.events.get(timeout=20), Exited):
            return
        bench.event(Exited)
    pytest.fail("every start was reported")


def test_programs_get_plain_signals_and_no_input(bench: Bench) -> None:
    bench.start(
        0,
        "import signal, sys\n"
        "state = open('/proc/self/status').read()\n"
        "assert not int(state.split('SigBlk:')[1].split()[0], 16)\n"
        # Python itself ignores SIGPIPE and SIGXFSZ, nothing else may be; the C library keeps 32 and 33 to itself
        "ignored = int(state.split('SigIgn:')[1].split()[0], 16) & 0x7FFFFFFF\n"
        "assert ignored & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0, hex(ignored)\n"
        "assert sys.stdin.read() == ''\n",
    )
    assert bench.event(Exited).code == 0


def test_a_time_limit_is_kept(bench: Bench) -> None:
    bench.start(0, "import time; time.sleep(60)", timeout=1)
    event = bench.event(Exited)
    assert event.timed_out
    assert event.signal == signal.SIGTERM
    assert event.ended - event.started < 10
    assert "Timeout" in event.reason


@pytest.mark.parametrize("deaf", [True, False])
def test_a_stop_ends_all_of_it(bench: Bench, deaf: bool) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if deaf else ""
    # a child in the group, a grandchild in a session of its own, and one whose parent is gone
    attempt = bench.start(
        0,
        ignore + "import os, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "    else:\n"
        "        os._exit(0)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n",
    )
    wait_for(lambda: bench.out(0).count("ready") == 2)
    bench.executor.stop([attempt])
    event = bench.event(Exited)
    assert event.signal == (signal.SIGKILL if deaf else signal.SIGTERM)
    assert bench.left() == []


def test_what_a_program_leaves_behind_is_ended(bench: Bench) -> None:
    bench.start(0, "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)")
    assert bench.event(Exited).code == 0
    assert bench.left() == []


def test_what_put_its_environment_off_is_ended_too(bench: Bench) -> None:
    bench.start(
        0,
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "    os.execve(sys.executable, ['p', '-c', code], {})\n"
        "while not os.path.getsize('/proc/self/fd/1'): time.sleep(0.005)",
    )
    assert bench.event(Exited).code == 0
    assert procs.start_time(int(bench.out(0))) is None


MONITOR = """
import os, sys, time
attempt, oss = os.environ["BATCHCOMPUTE_ATTEMPT"], os.environ["BATCHCOMPUTE_OSS_ROOT"]
program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, ["monitor", "main.py", attempt, oss, program], {})
    os._exit(0)
time.sleep(60)
"""


MONITORING = """
import os, signal, sys, time
if len(sys.argv) > 1:
    signal.signal(signal.SIGTERM, lambda *_: None)  # podman's passes it on, to a container that is deaf here
    payload = os.fork()
    if payload == 0:
        os.execve("/proc/self/exe", ["payload", "-c", sys.argv[3]], {"BATCHCOMPUTE_ATTEMPT": sys.argv[1]})
    os.waitpid(payload, 0)
    time.sleep(0.1)
    open(sys.argv[2] + "/clean", "w").close()
    sys.exit()
"""


def test_the_monitor_of_a_container_can_clean_up(bench: Bench) -> None:
    """As podman's does, which has no part of the program's environment, and whose container may be deaf."""
    attempt = bench.start(0, MONITORING + MONITOR)
    wait_for(lambda: bench.out(0) == "on\n", "the payload")
    bench.executor.stop([attempt])
    assert bench.event(Exited).reason == "stopped"
    assert bench.left() == []
    assert (bench.layout.oss / "clean").exists()


def test_a_stop_before_it_began(bench: Bench) -> None:
    with bench.executor._lock:  # so that it cannot get past its preparation
        attempt = bench.start(0, "print('never')")
        bench.executor.stop([attempt])
    event = bench.event(Exited)
    assert (event.code, event.signal, event.started) == (None, None, 0.0)
    assert bench.out(0) == ""


def test_the_exit_of_a_program_that_outlived_its_daemon(bench: Bench) -> None:
    attempt = bench.start(
        0, "import os, time\nwhile not os.path.exists('../go'): time.sleep(0.01)\nraise SystemExit(5)"
    )
    bench.event(Started)
    bench.executor.close()
    assert bench.open().live == {attempt}
    bench.executor.close()
    (bench.layout.work(bench.job) / "go").touch()
    wait_for(lambda: not bench.left())
    # the runner ends after its time without a daemon; the record stays
    wait_for(lambda: not bench.layout.runner_socket.exists(), "the runner's end")
    recovered = bench.open()
    assert [(event.attempt, event.code) for event in recovered.ended] == [(attempt, 5)]
    bench.executor.acknowledge([attempt])
    wait_for(lambda: bench.layout.journal.stat().st_size == 0, "the journal to be emptied")


def test_an_end_that_nobody_acknowledged_keeps_no_runner(bench: Bench) -> None:
    bench.executor.close()
    wait_for(lambda: not bench.layout.runner_socket.exists(), "the end of a runner without work")
    bench.linger = 300
    bench.open()
    attempt = bench.start(0, "raise SystemExit(5)")
    bench.event(Exited)
    bench.executor.close()
    wait_for(lambda: not bench.layout.runner_socket.exists(), "the runner's end")
    recovered = bench.open()
    assert [(event.attempt, event.code) for event in recovered.ended] == [(attempt, 5)]
    bench.executor.acknowledge([attempt])
    wait_for(lambda: bench.layout.journal.stat().st_size == 0, "the journal to be emptied")


def test_a_killed_runner_s_programs_are_ended_and_reported_lost(bench: Bench) -> None:
    attempt = bench.start(0, "import os, time\nos.fork()\ntime.sleep(60)")
    bench.event(Started)
    wait_for(lambda: len(bench.left()) == 2)
    bench.kill_runner()
    assert bench.event(Lost).attempt == attempt
    assert bench.left() == []


def test_a_program_that_forgot_its_environment_is_ended_too(bench: Bench) -> None:
    attempt = bench.start(
        0, "import os, sys\nos.execve(sys.executable, ['p', '-c', 'import time; time.sleep(60)'], {})"
    )
    bench.event(Started)
    record = Journal(bench.layout.journal).records[-1]
    assert isinstance(record, StartRecord)
    wait_for(lambda: bench.left() == [], "its other environment")
    assert procs.start_time(record.pid) is not None
    bench.kill_runner()
    assert bench.event(Lost).attempt == attempt
    assert procs.start_time(record.pid) is None


def test_the_folder_of_a_success_goes_that_of_a_failure_stays(bench: Bench) -> None:
    attempts = [bench.start(0, ""), bench.start(1, "raise SystemExit(1)")]
    folders = [bench.layout.instance(bench.job, "T", number) for number in (0, 1)]
    for _ in attempts:
        bench.event(Exited)
    assert folders[0].exists()
    bench.executor.acknowledge(attempts)
    wait_for(lambda: not folders[0].exists())
    assert folders[1].exists()
