"""Command lines run in this process or at a terminal, against a region local with a data folder of its own."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control

from batchcompute import Client, StateConflictError, pack
from batchcompute.cli import cli
from batchcompute.cli.failures import guarded
from tests.support.command_line import Done, Open, Run, Terminal
from tests.support.serving import serving


@pytest.fixture(autouse=True)
def no_installed_plugins() -> None:
    """Installed plugins take part, unlike in other unit tests: region local is one."""


@pytest.fixture
def own_data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, isolated_environment: None) -> Iterator[Path]:
    """Where region local keeps everything during a test; its service is stopped afterwards."""
    folder = tmp_path / "data"
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
    yield folder
    control.stop(folder)


@pytest.fixture
def data_dir(own_data_dir: Path) -> Path:
    """The data folder of a test; a module may say that its tests share one."""
    return own_data_dir


@pytest.fixture(scope="module")
def service_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a service that lives as long as the tests of a module."""
    folder = tmp_path_factory.mktemp("module") / "data"
    yield folder
    control.stop(folder)


@pytest.fixture
def shared_data_dir(
    service_of_module: Path, monkeypatch: pytest.MonkeyPatch, isolated_environment: None
) -> Iterator[Path]:
    """For modules whose tests need a service and change nothing but jobs and objects: each finds it without any."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(service_of_module))
    yield service_of_module
    if control.status(service_of_module) is not None:
        with Client("local") as client:
            _empty(client)


def _empty(client: Client) -> None:
    for job in client.list_jobs():
        if job.State in ("Waiting", "Running"):
            with suppress(StateConflictError):  # it has ended meanwhile
                client.stop_job(job)
        client.delete_job(job)
    for uri, _ in list(client.objects.list("oss://mine/")):
        client.objects.delete(uri)


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
def hold(describe: Callable[..., dict[str, Any]], data_dir: Path, tmp_path: Path) -> Iterator[Path]:
    """The file of a job whose two instances wait for the object oss://mine/gate; it is there after the test."""
    path = tmp_path / "hold.json"
    path.write_text(json.dumps(describe(Hold=HOLD)))
    yield path
    gate = data_dir / "oss/mine/gate"
    gate.parent.mkdir(parents=True, exist_ok=True)
    gate.touch()


@pytest.fixture
def served(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a `batchcompute serve` on the data folder; calls have its access key and are made once."""
    with serving(data_dir) as url:
        key, secret = control.read_credentials(data_dir)
        monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_ID", key)
        monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_SECRET", secret)
        monkeypatch.setenv("BATCHCOMPUTE_RETRY_ATTEMPTS", "1")
        yield url


@pytest.fixture
def terminal(data_dir: Path) -> Iterator[Open]:
    """Opens terminals: terminal("job", "list", columns=80)."""
    opened: list[Terminal] = []

    def open_one(*arguments: str, **how: Any) -> Terminal:
        opened.append(Terminal(*arguments, **how))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def bc(capsys: pytest.CaptureFixture[str]) -> Run:
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


@pytest.fixture
def submit(client: Client, describe: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """Runs a job to its end: submit({"A": ["B"]}, A="program", B="program"); its id."""

    def make(dependencies: Mapping[str, list[str]] | None = None, **programs: str) -> str:
        job = client.create_job(describe(dependencies, **programs))
        client.wait(job, timeout=60)
        return job.JobId

    return make
