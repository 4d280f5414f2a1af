"""Command lines run in this process or at a terminal, against a region local with a data folder of its own."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control

from batchcompute import Client, pack
from batchcompute.cli import cli
from batchcompute.cli.failures import guarded

_SECONDS = 60.0
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-B0-2]|\x1b[=>]")


@pytest.fixture(autouse=True)
def no_installed_plugins() -> None:
    """Installed plugins take part, unlike in other unit tests: region local is one."""


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, isolated_environment: None) -> Iterator[Path]:
    """Where region local keeps everything during a test; its service is stopped afterwards."""
    folder = tmp_path / "data"
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
    yield folder
    control.stop(folder)


@pytest.fixture
def client(data_dir: Path) -> Iterator[Client]:
    """A Client of that region."""
    with Client("local") as client:
        yield client


HOLD = """
import os, sys, time
print("instance", os.environ["ALI_DIKU_INSTANCE_ID"], "waits")
gate = os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/mine/gate"
while not os.path.exists(gate):
    time.sleep(0.02)
print("no newline at the end", end="")
"""


@pytest.fixture
def describe(client: Client, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Makes a description; each task is a program, 2 instances. `dependencies` as in a TaskDag."""

    def make(dependencies: Mapping[str, list[str]] | None = None, **programs: str) -> dict[str, Any]:
        tasks = {}
        for name, text in programs.items():
            folder = tmp_path / f"worker-{name}"
            folder.mkdir(exist_ok=True)
            (folder / "main.py").write_text(text)
            uri = f"oss://mine/{name}.tar.gz"
            client.objects.put(uri, pack(folder))
            tasks[name] = {"PackageUri": uri, "ProgramName": "main.py", "InstanceCount": 2}
        dag = {"TaskDescMap": tasks, "Dependencies": dict(dependencies or {})}
        return {"JobName": "test", "Priority": 1, "TaskDag": dag}

    return make


@pytest.fixture
def hold(describe: Callable[..., dict[str, Any]], tmp_path: Path) -> Path:
    """The file of a job whose two instances wait for the object oss://mine/gate."""
    path = tmp_path / "hold.json"
    path.write_text(json.dumps(describe(Hold=HOLD)))
    return path


class Terminal:
    """`batchcompute` at a terminal. `text` is all that it has shown, without colours and movements."""

    def __init__(self, *arguments: str, columns: int = 100, rows: int = 30, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, "-c", "from batchcompute.cli import main; main()", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
        )
        os.close(slave)
        self.raw = b""

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw.decode("utf-8", "replace")).replace("\r", "")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the pattern was shown."""
        deadline = time.monotonic() + _SECONDS
        while True:
            found = re.search(pattern, self.text)
            if found:
                return found
            assert time.monotonic() < deadline, f"{pattern!r} was not shown:\n{self.text[-1500:]}"
            assert self._read(), f"it ended without {pattern!r}:\n{self.text[-1500:]}"

    def ends(self) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + _SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"it does not end:\n{self.text[-1500:]}"
        return self.process.wait(_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(_SECONDS)
        os.close(self._master)

    def _read(self) -> bool:
        """Take in what has come, waiting a little for it; whether there may be more."""
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.raw += data
        return bool(data)


@pytest.fixture
def terminal(data_dir: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals: terminal("job", "list", columns=80)."""
    opened: list[Terminal] = []

    def open_one(*arguments: str, **how: Any) -> Terminal:
        opened.append(Terminal(*arguments, **how))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def bc(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """bc("job", "list") runs `batchcompute job list`."""

    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        code = guarded(cli, [str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives bytes on the standard input, which is no terminal."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """A folder with main.py: prints its arguments, and fails with the argument `fail`."""
    folder = tmp_path / "worker"
    folder.mkdir()
    (folder / "main.py").write_text(
        "import os, sys\nprint(sys.argv[1:], os.environ.get('SIZE'))\nif 'fail' in sys.argv: sys.exit('bad luck')\n"
    )
    return folder


TWO = """
JobName = "two"
Priority = 5

[TaskDag.TaskDescMap.Find]
ProgramName = "main.py"
InstanceCount = 3

[TaskDag.TaskDescMap.Count]
ProgramName = "main.py"
ProgramArguments = "x"

[TaskDag.Dependencies]
Find = ["Count"]
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """The description of two tasks without packages."""
    path = tmp_path / "two.toml"
    path.write_text(TWO)
    return path
