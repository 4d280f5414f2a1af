"""Programs of an image with a warm interpreter: the same as in a fresh one, also when the interpreter is gone.

A program is run fresh first, by an image without `warm`, and then warm; both must say the same.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from batchcompute_local import containment, procs
from batchcompute_local.containment import AUTO, OFF, UnavailableError
from batchcompute_local.executors.base import Event, Exited, Launch, Lost, Started
from batchcompute_local.images import Image
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.executor import ProcessExecutor
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import pack_files
from tests.support.runner import E, find_runner, next_event
from tests.support.service import Cloud
from tests.support.waits import wait_for

FRESH, WARM, BROKEN, THREADS = "img-fresh", "img-warm", "img-broken", "img-threads"
MODULE = """import os
pid = os.getpid()
def note():
    with open(__file__ + ".forks", "a") as file:
        file.write("x")
os.register_at_fork(after_in_child=note)
"""
THREADED = """import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
"""The modules that images import; `pid` is that of the interpreter that imported it. It counts the forks."""


class Place:
    """An executor with two slots that runs Python programs, one at a time, fresh and warm."""

    def __init__(self, root: Path, mode: str) -> None:
        self.layout = Layout.at(root)
        self.layout.create()
        self.mode = mode
        self.job = f"job-{os.urandom(8).hex()}"
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        modules = self.modules = root / "modules"
        modules.mkdir()
        (modules / "warmed.py").write_text(MODULE)
        (modules / "broken.py").write_text("1 / 0\n")
        (modules / "threaded.py").write_text(THREADED)
        python = {"python": sys.executable}
        images = [
            Image(FRESH, programs=python),
            Image(WARM, programs=python, warm=("warmed",)),
            Image(BROKEN, programs=python, warm=("broken",)),
            Image(THREADS, programs=python, warm=("threaded",)),
        ]
        settings = Settings(
            leftover_seconds=0.1,
            grace_seconds=0.2,
            runner_linger_seconds=0.2,
            environment={"PYTHONPATH": str(modules)},
            images={image.id: image for image in images},
            containment=mode,
        )
        self.executor = ProcessExecutor(self.layout, settings, self.job, lambda job: True)
        self.executor.open(self.events.put)
        self.number = 0

    def start(
        self,
        program: str,
        image: str = WARM,
        arguments: str = "",
        environment: Mapping[str, str] | None = None,
        timeout: int = 60,
        name: str = "main.py",
    ) -> str:
        ObjectStore(self.layout.oss).put("oss://t/p", pack_files({name: program, "beside.py": "name = __name__\n"}))
        self.number += 1
        variables = environment or {}
        task = TaskSpec("T", 999, "oss://t/p", name, "python", arguments, timeout, image, 1, 1, "", "", variables)
        attempt = f"{self.job}.0.{self.number}.1"
        self.executor.start([Launch(attempt, self.job, task, self.number)])
        return attempt

    def event(self, kind: type[E]) -> E:
        return next_event(self.events, kind)

    def exited(self) -> Exited:
        event = self.event(Exited)
        self.executor.acknowledge([event.attempt])
        return event

    def log(self, stream: str = "stdout") -> str:
        path = self.layout.work(self.job) / f"{stream}.{self.job}.T.{self.number}"
        return path.read_text() if path.exists() else ""

    def forks(self) -> int:
        """How many copies there were of warm interpreters."""
        return (self.modules / "warmed.py.forks").stat().st_size

    def run(self, program: str, image: str = WARM, **more: object) -> tuple[Exited, str, str]:
        """Run a program; return how it ended, and its stdout and stderr."""
        self.start(program, image, **more)  # type: ignore[arg-type]  # those of start
        event = self.exited()
        return event, self.log(), self.log("stderr").partition("batchcompute: ended ")[0]

    def warm_up(self, environment: Mapping[str, str] | None = None) -> int:
        """Run programs until one is warm; return the pid of its interpreter."""

        def is_warm() -> bool:
            _, out, _ = self.run(
                "import os, warmed; print(warmed.pid != os.getpid(), warmed.pid)", environment=environment
            )
            return out.startswith("True")

        wait_for(is_warm, "a warm program")
        return int(self.log().split()[1])

    def compare(
        self, program: str, environment: Mapping[str, str] | None = None, arguments: str = ""
    ) -> tuple[Exited, str, str]:
        """Run a program fresh and warm; return what it was, which must be the same."""
        self.warm_up(environment)
        seen = []
        for image in (FRESH, WARM):
            before = self.forks()
            event, *texts = self.run(program, image, environment=environment, arguments=arguments)
            folder = f"T@{self.number}"
            out, err = (text.replace(folder, "T@N").replace(event.attempt, "ATTEMPT") for text in texts)
            seen.append([event.code, event.signal, *out.splitlines(), *err.splitlines()])
            assert (self.forks() > before) == (image == WARM)
        assert seen[0] == seen[1]
        return event, out, err


@pytest.fixture(params=[AUTO, OFF])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == AUTO:
        try:
            containment.make_folder(tmp_path).rmdir()
        except UnavailableError as error:
            pytest.skip(f"no writable cgroup v2: {error}")
    made = Place(tmp_path, request.param)
    yield made
    made.executor.stop([f"{made.job}.0.{number}.1" for number in range(made.number + 1)])
    made.executor.close()
    wait_for(lambda: not made.layout.runner_socket.exists(), "the runner's end")


def test_environment_folder_arguments_and_names(place: Place) -> None:
    program = """import json, os, sys, time
print(sys.argv, sys.orig_argv, sys.path, sys.flags, sys.executable, os.getcwd(), os.listdir())
shown = {name: os.environ[name] for name in sorted(os.environ) if "INSTANCE_ID" not in name and "ATTEMPT" not in name}
print(json.dumps(shown))
print(__name__, __file__, __doc__, __package__, __spec__, __cached__, type(__loader__).__name__, sorted({*globals()} - {'shown'}))
print(sys.modules["__main__"].__dict__ is globals(), __builtins__, sys.stdout, sys.stderr, sys.stdin.read(), time.tzname)
import beside; print(beside.name, beside.__file__)
print(open("/proc/self/cmdline").read().rstrip("\\0").split("\\0"))
"""
    variables = {"TZ": "Asia/Shanghai", "WORD": "a=b\n\udce4", "PYTHONUNBUFFERED": "", "LANG": "C"}
    _, out, err = place.compare(program, arguments="'two words' x", environment=variables)
    assert "'two words'" in out
    assert "CST" in out
    assert err == ""


def test_the_environment_is_shown_to_other_processes(place: Place) -> None:
    place.warm_up()
    _, out, _ = place.run('print(open("/proc/self/environ").read().replace("\\0", "\\n"))', environment={"MINE": "1"})
    lines = out.splitlines()
    assert f"{procs.ATTEMPT_VARIABLE}={place.job}.0.{place.number}.1" in lines
    assert "MINE=1" in lines
    _, out, _ = place.run("import os; print(os.environ.get('MINE'))")
    assert out == "None\n"


def test_signals_limits_umask_session_and_files(place: Place) -> None:
    program = """import os, resource, signal
print([(number, signal.getsignal(number)) for number in sorted(signal.valid_signals()) if number < 32])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), oct(os.umask(0)), os.nice(0), os.sched_getscheduler(0))
limits = [name for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_MSGQUEUE"]
print([(name, resource.getrlimit(getattr(resource, name))) for name in limits])
mark = resource.getrlimit(resource.RLIMIT_MSGQUEUE); print(mark[0] < mark[1])
print(os.getsid(0) == os.getpid() == os.getpgid(0), sorted(os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")))
print([os.readlink(f"/proc/self/fd/{n}").rpartition("/")[2].split(".")[0] for n in range(3)], os.isatty(1))
"""
    _, out, _ = place.compare(program)
    assert "True ['0', '1', '2'] 4\n['null', 'stdout', 'stderr'] False" in out


ENDS = {
    "nothing": ("", 0, None),
    "code": ("import sys; sys.exit(7)", 7, None),
    "large code": ("import sys; sys.exit(256 + 3)", 3, None),
    "negative code": ("import sys; sys.exit(-1)", 255, None),
    "text": ("import sys; sys.exit('broken')", 1, None),
    "quit": ("raise SystemExit", 0, None),
    "error": (
        "def f():\n    return 1 / 0\ntry:\n    f()\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e",
        1,
        None,
    ),
    "own hook": (
        "import sys; sys.excepthook = lambda *e: print(e[1], e[2].tb_lineno, file=sys.stderr)\n1 / 0",
        1,
        None,
    ),
    "hook leaves": ("import sys; sys.excepthook = lambda *e: sys.exit(5)\n1 / 0", 5, None),
    "syntax": ("print(1)\n1 +\n", 1, None),
    "no text": ("print(1)\0", 1, None),
    "interrupted": ("raise KeyboardInterrupt", None, signal.SIGINT),
    "signal": ("import os; os.kill(os.getpid(), 15)", None, signal.SIGTERM),
    "crash": ("import os; os.abort()", None, signal.SIGABRT),
    "hard": ("import os; print(1); os._exit(9)", 9, None),
    "thread": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()",
        0,
        None,
    ),
    "daemon": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint(1)",
        0,
        None,
    ),
    "atexit": ("import atexit; atexit.register(print, 'end')\nprint('begin'); raise SystemExit(3)", 3, None),
    "open file": (
        "f = open('/dev/stdout', 'w'); g = [f]; g.append(g); f.write('kept'); import sys; sys.kept = f",
        0,
        None,
    ),
    "destructor": (
        "import os\nclass A:\n    def __del__(self): print('gone', os.getpid() > 0)\na = A(); a.a = a",
        0,
        None,
    ),
    "warning": ("import warnings; warnings.warn('careful')", 0, None),
    "multiprocessing": (
        "import multiprocessing\ndef f(x): return x * x\nif __name__ == '__main__':\n"
        "    for how in ('fork', 'spawn', 'forkserver'):\n"
        "        with multiprocessing.get_context(how).Pool(2) as pool: print(pool.map(f, [1, 2, 3]))",
        0,
        None,
    ),
    "exec": ("import os, sys; sys.stdout.flush(); os.execv('/bin/echo', ['echo', 'other'])", 0, None),
    "pickle": ("import pickle\nclass A: pass\nprint(pickle.loads(pickle.dumps(A())).__class__ is A)", 0, None),
}


@pytest.mark.parametrize(("program", "code", "number"), ENDS.values(), ids=ENDS)
def test_it_ends_as_in_a_fresh_interpreter(place: Place, program: str, code: int | None, number: int | None) -> None:
    event, _, _ = place.compare(program)
    assert (event.code, event.signal) == (code, number)


def test_a_full_disk_at_the_end_is_an_error(place: Place) -> None:
    program = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print(1)"
    event, _, err = place.compare(program, environment={"PYTHONUNBUFFERED": ""})
    assert event.code == 120
    assert "No space left" in err


def test_programs_have_random_numbers_of_their_own(place: Place) -> None:
    place.warm_up()
    seen = [
        place.run("import random, secrets, uuid; print(random.random(), secrets.token_hex(), uuid.uuid4())")[1]
        for _ in range(3)
    ]
    assert len({number for line in seen for number in line.split()}) == 9


def test_a_variable_of_the_interpreter_acts(place: Place) -> None:
    place.warm_up(environment={"PYTHONHASHSEED": "5"})
    place.compare("print(hash('a'))", environment={"PYTHONHASHSEED": "5"})
    _, out, _ = place.compare("import sys; print(sys.flags.utf8_mode)", environment={"PYTHONUTF8": "1"})
    assert out == "1\n"


def test_a_source_of_any_name_and_encoding_runs(place: Place) -> None:
    place.warm_up()
    event, out, err = place.run(
        "#! /usr/bin/python\n# -*- coding: latin-1 -*-\nimport sys; print(sys.argv)", name="main.txt"
    )
    assert (event.code, "main.txt" in out, err) == (0, True, "")


def test_an_environment_that_exec_would_refuse_is_no_hindrance(place: Place) -> None:
    place.warm_up()
    event, _, _ = place.run("print(1)", environment={"LONG": "x" * (200 << 10)})
    assert event.code == 0


def test_a_stop_and_a_timeout_end_it_with_what_it_started(place: Place) -> None:
    program = """import os, signal, subprocess, sys, time
child = subprocess.Popen(["sleep", "60"], env={}, start_new_session=True)
signal.signal(signal.SIGTERM, lambda *_: (print("asked", child.pid, flush=True), time.sleep(60)))
print(child.pid, flush=True)
time.sleep(60)
"""
    place.warm_up()
    attempt = place.start(program)
    wait_for(lambda: place.log(), "the child")
    place.executor.stop([attempt])
    assert place.exited().reason == "stopped"
    child = int(place.log().split()[0])
    assert procs.start_time(child) is None
    assert "asked" in place.log()
    place.warm_up()
    event, out, _ = place.run(program, timeout=1)
    assert event.timed_out
    assert procs.start_time(int(out.split()[0])) is None


def test_leftovers_are_named_and_ended(place: Place) -> None:
    place.warm_up()
    event, _, _ = place.run('import subprocess; subprocess.Popen(["sleep", "60"], start_new_session=True)')
    assert [(one.command, one.signal) for one in event.leftovers] == [("sleep", "SIGTERM")]
    assert place.run("print(1)")[0].code == 0


def test_a_killed_runner_leaves_nothing(place: Place) -> None:
    interpreter = place.warm_up()
    attempt = place.start("import os, time; print(os.getpid(), flush=True); os.fork(); time.sleep(60)")
    wait_for(lambda: place.log(), "the program")
    runner = find_runner(place.layout.root)
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    assert place.event(Lost).attempt == attempt
    assert procs.start_time(int(place.log())) is None
    wait_for(lambda: procs.start_time(interpreter) is None, "the end of the interpreter")
    assert not [each for each, _ in procs.attempts(place.job)]


def test_a_program_whose_interpreter_is_killed_still_ends(place: Place) -> None:
    interpreter = place.warm_up()
    place.start(
        "import os, time\nwhile os.getppid() == int(os.environ['PARENT']): time.sleep(.01)\nraise SystemExit(4)",
        environment={"PARENT": str(interpreter)},
    )
    place.event(Started)
    os.kill(interpreter, signal.SIGKILL)
    assert place.exited().code == 4
    assert place.run("print(1)")[0].code == 0
    assert place.warm_up() != interpreter


def test_an_interpreter_that_died_or_hangs_is_replaced(place: Place) -> None:
    first = place.warm_up()
    os.kill(first, signal.SIGKILL)
    # else the next program finds it gone first, and the log says that
    wait_for(lambda: f"a warm {sys.executable} ended with -9" in place.layout.log.read_text(), "the runner to see it")
    assert place.run("print(1)")[0].code == 0
    second = place.warm_up()
    assert second != first
    os.kill(second, signal.SIGSTOP)
    event, out, _ = place.run("print(2)")
    assert (event.code, out) == (0, "2\n")
    assert "begins in an interpreter of its own" in place.layout.log.read_text()
    assert place.warm_up() != second


def test_by_service_toml(cloud: Cloud) -> None:
    cloud.settings(f'[images."img-warm"]\npython = "{sys.executable}"\nwarm = ["colorsys"]\n')
    cloud.up()
    cloud.program("import sys; print('colorsys' in sys.modules)")

    def is_warm() -> bool:
        job = cloud.create({"T": {"ImageId": "img-warm"}})
        cloud.ended(job)
        return cloud.log(job, "T") == "True\n"

    wait_for(is_warm, "a warm program")


@pytest.mark.parametrize(("image", "reason"), [(BROKEN, "ZeroDivisionError"), (THREADS, "have started 1 threads")])
def test_modules_that_cannot_be_imported_are_logged(place: Place, image: str, reason: str) -> None:
    for _ in range(2):
        assert place.run("print(1)", image)[1] == "1\n"
        wait_for(lambda: "ended before it was ready" in place.layout.log.read_text(), "what the runner says")
    log = place.layout.log.read_text()
    assert reason in log
    assert log.count("ended before it was ready") == 1
