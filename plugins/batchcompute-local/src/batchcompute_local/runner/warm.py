"""The process of a warm spawner: an interpreter that has imported the modules of an image, and becomes each program by a fork.

It is the interpreter of the image, started as for a program; what it needs of this package leaves `sys.modules` before
the first module of the image is imported. The program is then what it would be in a fresh interpreter: docs/service-settings.md
names the differences. A file that is no Python source is left to a fresh interpreter, in the same process.
Standard library only.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import importlib.machinery
import io
import os
import signal
import socket
import sys
import types
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchcompute_local.procs import ATTEMPT_VARIABLE
from batchcompute_local.runner.serving import ShownArea, send, serve
from batchcompute_local.runner.spawn import DEFAULT_SIGNALS, close_all, open_places

READY = "ready"
"""The first message of a warm spawner."""
_IDLE_SECONDS = 60.0
_ROOM_VARIABLE = "BATCHCOMPUTE_ROOM"
_ROOM = "x" * 4096, "x" * 16384
"""What keeps room for the command line and the environment of a program, as process lists show them."""
_PACKAGE = __name__.partition(".")[0]
_SOURCES = str(Path(__file__).resolve().parents[2])
_MAIN = f"import sys; sys.path.insert(0, sys.argv.pop(1)); import {__name__} as main; main.main(*sys.argv[1:-1])"


def execute(python: str, modules: tuple[str, ...], environment: Mapping[str, str], channel: int, reports: int) -> None:
    """Become a warm spawner; `channel` and `reports` are open descriptors. Raises OSError. The caller is a new process."""
    for number in DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)  # what a module prints when it is imported is nobody's
    os.set_inheritable(channel, True)
    os.set_inheritable(reports, True)
    argv = [python, "-c", _MAIN, _SOURCES, str(channel), str(reports), *modules, _ROOM[0]]
    os.execve(python, argv, {**environment, _ROOM_VARIABLE: _ROOM[1]})  # noqa: S606  # of service.toml


def main(channel: str, reports: str, *modules: str) -> None:
    """Import `modules`, then serve the runner. Returns, if at all, in a program that the interpreter is to end."""
    with open("/proc/self/environ", "rb") as file:
        given = {os.fsdecode(each.partition(b"=")[0]) for each in file.read().split(b"\0")}
    variables = {name: value for name, value in os.environ.items() if name != _ROOM_VARIABLE}
    os.environ.clear()
    os.environ.update(variables)  # they are elsewhere now
    areas = ShownArea(ShownArea.COMMAND_LINE), ShownArea(ShownArea.ENVIRONMENT)
    for area, text in zip(areas, (b"batchcompute warm spawner", b""), strict=True):
        area.write(text)
    is_safe = getattr(sys.flags, "safe_path", False)
    del sys.path[: 1 if is_safe else 2]  # ours, and that of -c
    for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]
    for handle in (int(channel), int(reports)):
        os.set_inheritable(handle, False)
    for name in modules:
        importlib.import_module(name)
    _check_threads()
    with socket.socket(fileno=int(channel)) as runner:
        runner.settimeout(_IDLE_SECONDS)
        added = {name: value for name, value in os.environ.items() if name not in given}
        spawner = _WarmSpawner(is_safe, added, areas)
        gc.collect()
        gc.freeze()  # so that programs share these pages with this process
        try:
            send(runner, READY)
            serve(runner, int(reports), spawner.spawn, spawner.begin, _leave)
        except (EOFError, OSError):
            os._exit(0)  # the runner is gone, or has had no use for this process for a while
    os.close(int(reports))
    spawner.become()


def _leave() -> None:
    raise EOFError


def _check_threads() -> None:
    """End this process if a module has started a thread that is there after a fork: the copies would not have it."""
    pid = os.fork()  # numpy's threads end at the first fork, and begin anew in each copy
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    count = len(os.listdir("/proc/self/task"))
    if count > 1:
        sys.exit(
            f"batchcompute: the modules have started {count - 1} threads, so programs cannot be copies of this process"
        )


class _WarmSpawner:
    """Forks this process. In the copy, `become` makes it the program.

    `added` are variables that the interpreter, as for LANG=C, or a module has set.
    """

    def __init__(self, is_safe: bool, added: Mapping[str, str], areas: tuple[ShownArea, ShownArea]) -> None:
        self._is_safe = is_safe
        self._areas = areas
        self._added = added
        self._exit = ctypes.PyDLL(None).exit
        self._gate = -1
        self._argv: list[str] = []
        self._environment: Mapping[str, str] = {}
        self._modules = frozenset(sys.modules)

    def spawn(self, argv: tuple[str, ...], cwd: str, environment: Mapping[str, str], stdout: str, stderr: str) -> int:
        """Fork; return the pid of the program, which waits for `begin`, and 0 in the program. Raises OSError, ValueError."""
        folder, out, err = open_places(cwd, stdout, stderr)
        gate = self._gate = -1
        try:
            gate, self._gate = os.pipe()
            pid = os.fork()
            if not pid:
                self._wait(gate, folder, out, err)
                self._argv, self._environment = list(argv), environment
            return pid
        finally:
            close_all(*(handle for handle in (folder, out, err, gate) if handle >= 0))

    def _wait(self, gate: int, folder: int, out: int, err: int) -> None:
        """Wait in the new process until the runner has its pid. Without it, the runner starts the program in another way."""
        with suppress(BaseException):
            os.close(self._gate)
            os.setsid()
            os.fchdir(folder)
            os.dup2(out, 1)
            os.dup2(err, 2)
            if os.read(gate, 1):
                return
        os._exit(1)

    def begin(self) -> None:
        """Have the program begin."""
        os.write(self._gate, b"1")
        os.close(self._gate)

    def become(self) -> None:
        """Be the program. Returns never; raises SystemExit or KeyboardInterrupt if the interpreter is to end the process."""
        path = self._argv[1]
        try:
            with io.open_code(path) as file:
                code = compile(file.read(), path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError):
            for number in DEFAULT_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            os.execve(self._argv[0], self._argv, self._environment)  # noqa: S606  # the program of the job
        self._enter(path)
        status = _run(code, _make_main(path))
        if _finish():
            self._end(status)
        if status < 0:
            sys.excepthook = lambda *_: None
            raise KeyboardInterrupt
        sys.exit(status)

    def _enter(self, path: str) -> None:
        wanted = {**self._added, **self._environment}
        for name in [name for name in os.environ if name not in wanted]:
            del os.environ[name]
        for name, value in wanted.items():  # few differ, and each that is set costs time
            if os.environ.get(name) != value:
                os.environ[name] = value
        first = {ATTEMPT_VARIABLE: self._environment[ATTEMPT_VARIABLE]} if ATTEMPT_VARIABLE in self._environment else {}
        shown = {**first, **self._environment}  # processes are found by the attempt in it
        for area, words in zip(
            self._areas, (self._argv, [f"{each[0]}={each[1]}" for each in shown.items()]), strict=True
        ):
            area.write(os.fsencode("\0".join(words)))
        sys.argv[:] = self._argv[1:]
        sys.orig_argv[:] = self._argv
        if not self._is_safe:
            sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
        random: Any = sys.modules.get("numpy.random")
        if random is not None:
            random.seed()  # the module `random` does so itself

    def _end(self, status: int) -> None:
        """End the process without a walk through all modules: what the program has made ends, what was imported stays."""
        for name in [name for name in sys.modules if name not in self._modules or name == "__main__"]:
            del sys.modules[name]
        gc.collect()
        for each in gc.get_objects():
            if isinstance(each, io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom):
                with suppress(Exception):
                    each.flush()
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        self._exit(status)


def _make_main(path: str) -> dict[str, Any]:
    """Return the names of a new module `__main__` for the program at `path`."""
    old = vars(sys.modules["__main__"])
    new = sys.modules["__main__"] = types.ModuleType("__main__")
    names = vars(new)
    names.update({name: old[name] for name in ("__annotations__", "__builtins__") if name in old})
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    names.update(__loader__=loader, __spec__=None, __file__=path, __cached__=None)
    return names


def _run(code: types.CodeType, names: dict[str, Any]) -> int:
    """Run the program; return its exit code, or the negative signal. An error is printed as the interpreter does."""
    try:
        exec(code, names)  # noqa: S102  # this is what the process is for
    except SystemExit as error:
        return _status(error)
    except BaseException as error:
        return _print(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
    return 0


def _print(error: BaseException) -> int:
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as left:
        return _status(left)
    except BaseException as another:
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(another), another, another.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def _status(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        code = error.code or 0
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def _finish() -> bool:
    """Wait for threads, and call what is registered for the end; return whether nothing but this thread is left to end."""
    threading: Any = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        return False  # the interpreter does the rest, and says what is wrong
    return len(sys._current_frames()) == 1
