"""What belongs to an attempt, where the kernel keeps it (a cgroup) and where it does not.

The tests of cgroups are skipped where none can be made.
"""

from __future__ import annotations

import errno
import os
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from batchcompute_local import containment, procs
from batchcompute_local.containment import AUTO, OFF, UnavailableError
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Started
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import pack_files
from tests.support.runner import E, find_runner, next_event
from tests.support.waits import wait_for

HIDE = """import os, resource, sys
os.open(sys.argv[1], os.O_CREAT)
resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
os.execve('/bin/sleep', ['sleep', '60'], {})
"""
"""Clear mark and environment; `sys.argv[1]` tells who this is."""
DEAF = """import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: None)
open(sys.argv[1], "w").close()
while True: time.sleep(60)
"""
TREES = {
    "same process group": "python3 hide.py $PIDS/$$ &\n",
    "another process group": "set -m; python3 hide.py $PIDS/a &\n",
    "another session": "setsid python3 hide.py $PIDS/a &\n",
    "double fork": "( setsid sh -c 'python3 hide.py $PIDS/a & python3 hide.py $PIDS/b &' & )\n",
    "ignores SIGTERM": "setsid python3 deaf.py $PIDS/a &\n",
    "cleared environment": "setsid env -i /usr/bin/env PATH=$PATH python3 deaf.py $PIDS/a &\n",
}


@pytest.fixture(scope="module")
def cgroup(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("trial")
    try:
        containment.make_folder(root).rmdir()
    except UnavailableError as error:
        pytest.skip(f"no writable cgroup v2: {error}")


class Place:
    """An executor that runs bash scripts, one at a time. `pids` has a file for each process that is ready."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout.at(root)
        self.layout.create()
        self.job = f"job-{os.urandom(8).hex()}"
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.executor: ProcessExecutor | None = None
        self.pids = root / "oss" / "pids"
        self.pids.mkdir(parents=True)
        self.seen: list[int] = []

    def open(self, mode: str, leftover_seconds: float = 0.1, grace_seconds: float = 0.2) -> ProcessExecutor:
        settings = Settings(
            leftover_seconds=leftover_seconds,
            grace_seconds=grace_seconds,
            runner_linger_seconds=0.2,
            programs={"python": "/bin/bash"},
            containment=mode,
        )
        self.executor = ProcessExecutor(self.layout, settings, self.job, lambda job: True)
        self.executor.open(self.events.put)
        return self.executor

    def start(self, script: str, number: int = 0, timeout: int = 60) -> str:
        files = {"main.sh": script.replace("$PIDS", str(self.pids)), "hide.py": HIDE, "deaf.py": DEAF}
        ObjectStore(self.layout.oss).put("oss://t/p", pack_files(files))
        task = TaskSpec("T", 9, "oss://t/p", "main.sh", "python", "", timeout, "img-local", 1, 1, "", "", {})
        attempt = f"{self.job}.0.{number}.1"
        assert self.executor is not None
        self.executor.start([Launch(attempt, self.job, task, number)])
        return attempt

    def event(self, kind: type[E]) -> E:
        return next_event(self.events, kind)

    def exited(self) -> Exited:
        return self.event(Exited)

    def ready(self, count: int = 1) -> None:
        wait_for(lambda: len(list(self.pids.iterdir())) >= count, "the processes")

    def runner(self) -> int:
        return wait_for(lambda: find_runner(self.layout.root), "the runner")

    def folder(self) -> Path:
        (folder,) = containment.read_folders(self.layout.groups, self.layout.root)
        return folder


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    if made.executor is not None:
        made.executor.stop([f"{made.job}.0.{number}.1" for number in range(3)])
        made.executor.close()
        wait_for(lambda: not made.layout.runner_socket.exists(), "the runner's end")
    assert not made.layout.groups.exists(), "a folder of groups is left"


def _workers(place: Place) -> list[int]:
    """The processes that a program of `place` left: they work in its folder."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and procs.start_time(int(name)) is not None:
            try:
                if os.readlink(f"/proc/{name}/cwd").startswith(f"{place.layout.work(place.job)}{os.sep}"):
                    found.append(int(name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("script", TREES.values(), ids=TREES)
@pytest.mark.usefixtures("cgroup")
def test_leftovers_are_named_and_ended(place: Place, script: str) -> None:
    place.open(AUTO)
    place.start(script + f"until ls {place.pids}/* 2>/dev/null; do sleep 0.01; done\nsleep 0.1\n")
    event = place.exited()
    assert event.code == 0
    assert {one.command for one in event.leftovers} <= {"sleep", "python3"}
    assert event.leftovers
    assert _workers(place) == []


@pytest.mark.parametrize("script", TREES.values(), ids=TREES)
@pytest.mark.usefixtures("cgroup")
def test_a_stop_ends_all(place: Place, script: str) -> None:
    place.open(AUTO)
    attempt = place.start(script + "sleep 60\n")
    place.ready()
    assert place.executor is not None
    place.executor.stop([attempt])
    assert place.exited().reason == "stopped"
    assert _workers(place) == []


@pytest.mark.parametrize("mode", [AUTO, OFF])
def test_a_killed_runner_leaves_no_process_of_its_group(place: Place, mode: str) -> None:
    """One that cleared its environment, and stayed in the process group of its program, which has ended."""
    place.open(mode, leftover_seconds=600)
    attempt = place.start("env -i sleep 60 &\n")
    wait_for(lambda: any(procs.command_of(pid) == "sleep" for pid in _workers(place)), "the leftover")
    os.kill(place.runner(), signal.SIGKILL)
    assert getattr(place.event(Lost), "attempt", "") == attempt
    assert _workers(place) == []


@pytest.mark.usefixtures("cgroup")
def test_a_killed_runner_leaves_no_process_that_cleared_everything(place: Place) -> None:
    place.open(AUTO, leftover_seconds=600)
    attempt = place.start(TREES["double fork"] + "sleep 60\n")
    place.ready(2)
    os.kill(place.runner(), signal.SIGKILL)
    assert getattr(place.event(Lost), "attempt", "") == attempt
    assert _workers(place) == []


@pytest.mark.usefixtures("cgroup")
def test_two_programs_that_cleared_everything_are_distinguished(place: Place) -> None:
    """The first fails while the other runs: nothing of the first is left, and nothing of the other is ended."""
    place.open(AUTO, leftover_seconds=0, grace_seconds=0.1)
    other = place.start(f"touch {place.pids}/first\nsleep 60\n", 1)
    place.ready()
    place.start(TREES["double fork"] + f"until [ -e {place.pids}/b ]; do sleep 0.01; done\nexit 1\n")
    ended = place.exited()
    assert (ended.attempt.split(".")[2], ended.code) == ("0", 1)
    assert procs.command_of(_workers(place)[0]) in ("bash", "sleep")
    assert not [pid for pid in _workers(place) if procs.attempt_of(pid) != other]


@pytest.mark.usefixtures("cgroup")
def test_a_program_that_kills_or_stops_its_spawner_still_ends(place: Place) -> None:
    place.open(AUTO, leftover_seconds=0, grace_seconds=0.1)
    place.start(f"until [ -e {place.pids}/go ]; do sleep 0.01; done\nkill -KILL $PPID\nsleep 0.1\nexit 3\n")
    place.event(Started)
    (place.pids / "go").touch()
    assert place.exited().code == 3
    place.start(f"until [ -e {place.pids}/on ]; do sleep 0.01; done\nkill -STOP $PPID\nexit 4\n", 1, timeout=2)
    place.event(Started)
    (place.pids / "on").touch()
    assert place.exited().timed_out
    place.start("exit 5\n", 2)
    assert place.exited().code == 5


@pytest.mark.usefixtures("cgroup")
def test_groups_are_removed_that_a_program_made_in_its_own(place: Place) -> None:
    place.open(AUTO)
    place.start(f"mkdir -p {_own_group_in_bash()}/a/b\n")
    assert place.exited().code == 0
    wait_for(lambda: not list(place.folder().glob("*/a")), "the groups to be removed")
    place.start("exit 5\n", 1)
    assert place.exited().code == 5


def _own_group_in_bash() -> str:
    place = containment._own_group()
    top = str(place).removesuffix(
        Path("/proc/self/cgroup").read_text().rpartition("0::")[2].splitlines()[0].rstrip("/")
    )
    return f"{top}$(sed -n 's/^0:://p' /proc/self/cgroup)"


@pytest.mark.usefixtures("cgroup")
def test_it_is_as_without(place: Place) -> None:
    """Session, signals, limits, folder, umask."""
    look = "import os, signal; print(os.getsid(0) == os.getppid() == os.getpgid(0), signal.getsignal(13))"
    seen = []
    for number, mode in enumerate((AUTO, OFF)):
        executor = place.open(mode)
        place.start(f'{sys.executable} -c "{look}"; ulimit -n; pwd | sed "s/@.*//"; umask\n', number)
        assert place.exited().code == 0
        seen.append((place.layout.work(place.job) / f"stdout.{place.job}.T.{number}").read_text())
        executor.acknowledge([f"{place.job}.0.{number}.1"])
        executor.close()
        wait_for(lambda: not place.layout.runner_socket.exists(), "the runner's end")
    assert seen[0] == seen[1]


def test_without_a_cgroup_the_reason_is_said(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.open(OFF).containment == "marks only (containment is off in service.toml)"

    def fail(group: int) -> int:
        raise OSError(errno.ENOSYS, "clone3: Function not implemented")

    monkeypatch.setattr(containment, "_clone_into", fail)
    with pytest.raises(UnavailableError, match=r"cgroup"):
        containment.make_folder(tmp_path)


@pytest.mark.usefixtures("cgroup")
def test_the_cgroup_is_said_and_has_a_name_of_its_own(place: Place, tmp_path: Path) -> None:
    said = place.open(AUTO).containment
    assert said == f"cgroup {place.folder()}"
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(place.layout.groups, copy)
    assert containment.read_folders(copy / "runner.groups", copy) == []


def test_a_mount_point_with_a_blank_is_read() -> None:
    assert containment._unescape("/a\\040b\\134c") == "/a b\\c"


@pytest.mark.usefixtures("cgroup")
def test_a_process_that_moves_itself_to_another_group_is_found_by_its_mark(place: Place) -> None:
    """As the monitor of a container does, with its container."""
    elsewhere = containment._own_group() / "cgroup.procs"
    place.open(AUTO)
    attempt = place.start(f"setsid sh -c 'echo $$ > {elsewhere}; touch $PIDS/a; exec env -i sleep 60' & sleep 60\n")
    place.ready()
    assert place.executor is not None
    place.executor.stop([attempt])
    assert place.exited().reason == "stopped"
    assert _workers(place) == []


@pytest.mark.parametrize("mode", [AUTO, OFF])
def test_a_stop_ends_a_container(place: Place, mode: str) -> None:
    podman = shutil.which("podman")
    if podman is None or os.getuid() != 0:
        pytest.skip("podman is not installed, or not to be used with root's rights")
    top = place.layout.root / "top"
    _make_root(top)
    run = f"{podman} run --rm --network none --cgroups disabled --ulimit nofile=1000:1000 --ulimit nproc=1000:1000"
    tried = subprocess.run(
        f"{run} --rootfs {top} /bin/sleep 0", shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"podman runs no container here: {tried.stderr.strip()}")
    place.open(mode, grace_seconds=1)
    seconds = 1000 + int(place.job[-4:], 16)
    attempt = place.start(f"{run} --rootfs {top} /bin/sleep {seconds}\n")
    wait_for(lambda: _run_command(b"/bin/sleep\0%d\0" % seconds), "the container")
    assert place.executor is not None
    place.executor.stop([attempt])
    assert place.exited().reason == "stopped"
    assert not _run_command(b"/bin/sleep\0%d\0" % seconds)


def _make_root(top: Path) -> None:
    """Make the root folder of a container that has /bin/sleep."""
    libraries = subprocess.run(["ldd", "/bin/sleep"], capture_output=True, text=True, check=True).stdout.split()
    for file in ["/bin/sleep", *(word for word in libraries if word.startswith("/"))]:
        (top / file[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, top / file[1:])
    for name in ("proc", "sys", "dev"):
        (top / name).mkdir()


def _run_command(line: bytes) -> list[int]:
    """Return the processes with this command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if Path("/proc", name, "cmdline").read_bytes() == line:
                found.append(int(name))
    return found


def test_members_of_the_process_group_get_sigterm_first(place: Place) -> None:
    place.open(OFF, leftover_seconds=0, grace_seconds=20)
    place.start(f"trap 'echo done > {place.pids}/saved; exit' TERM; touch {place.pids}/on; sleep 60 & wait\n")
    place.ready()
    assert place.executor is not None
    place.executor.stop([f"{place.job}.0.0.1"])
    assert place.exited().reason == "stopped"
    assert (place.pids / "saved").read_text() == "done\n"


@pytest.mark.parametrize("mode", [AUTO, OFF])
def test_a_stop_names_what_outlived_it(place: Place, mode: str) -> None:
    place.open(mode, grace_seconds=0.3)
    attempt = place.start("setsid python3 deaf.py $PIDS/a & sleep 60\n")
    place.ready()
    assert place.executor is not None
    place.executor.stop([attempt])
    event = place.exited()
    assert event.reason == "stopped"
    assert [(one.command, one.signal) for one in event.leftovers] == [("python3", "SIGKILL")]
