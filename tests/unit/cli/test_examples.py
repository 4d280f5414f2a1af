"""Every example of a help is run: in region local, and those of jobs and objects against `serve` over TCP and in a cloud too.

The demo is run there in tests/docs/test_anywhere.py.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from batchcompute_local.client import commands, control
from batchcompute_local.client.account_commands import account

from batchcompute import Client, StateConflictError, cli, pack
from batchcompute.cli.failures import guarded
from batchcompute.cli.table import COMMANDS
from tests.support.cloud import StandIn, standing_in
from tests.support.command_line import Terminal
from tests.support.serving import serving

IDS = ("1C763900000001", "1C763900000002")
_OF_BASH = set("|>&;$#")
_OWN_SERVICE = tuple(f"batchcompute local {verb}" for verb in ("stop", "logs", "reset", "restore"))
_ANYWHERE = ("batchcompute job", "batchcompute oss")
_OF_JOBS = ("last", "logs", "job list", "job prune", *IDS)
"""What an example has that speaks of jobs which are there."""
# What a cloud cannot do, and says.
_NOT_IN_A_CLOUD = {"bash -c": "allowed: python, php", "--attempt": "no log of attempt 1"}


def examples() -> list[str]:
    """The examples of all commands, of region local too, each once."""
    found: list[str] = list(cli._EXAMPLES)
    for name, entry in COMMANDS.items():
        group = cli.cli.get_command(click.Context(cli.cli), name)
        assert group is not None
        for verb in entry.verbs or [""]:
            one = group.get_command(click.Context(group), verb) if isinstance(group, click.Group) else group
            found += getattr(one, "examples", ())
    for command in (*commands.local.commands.values(), *account.commands.values()):
        found += getattr(command, "examples", ())
    return list(dict.fromkeys(found))


EXAMPLES = examples()
ANYWHERE = [line for line in EXAMPLES if line.startswith(_ANYWHERE)]


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A HOME with a profile, a PATH with `batchcompute`, and a folder with the files of the examples, the current one."""
    root = tmp_path_factory.mktemp("examples")
    (root / ".config/batchcompute").mkdir(parents=True)
    (root / ".config/batchcompute/config.toml").write_text('[profiles.work]\nendpoint = "local"\n')
    (root / ".config/fish/completions").mkdir(parents=True)
    programs = {"batchcompute": f"#!{sys.executable}\nfrom batchcompute.cli import main\nmain()\n"}
    # programs of others that may not be here: they only have to get what they read
    programs["jq"] = f"#!{sys.executable}\nimport json, sys\njson.JSONDecoder().raw_decode(sys.stdin.read() or '[]')\n"
    programs["dot"] = "#!/bin/sh\ngrep -q '^digraph'\n"
    (root / "bin").mkdir()
    for name, text in programs.items():
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
        yield root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of most examples."""
    root = tmp_path_factory.mktemp("data") / "data"
    root.mkdir(mode=0o700)
    (root / "service.toml").write_text("slots = 4\ngrace_seconds = 0.1\nrunner_linger_seconds = 1\n")
    return root


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The URL of a `serve` of that folder; region local uses the same service."""
    with serving(folder) as found:
        yield found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A stand-in of a region of the cloud."""
    with standing_in(tmp_path_factory.mktemp("cloud")) as found:
        yield found


@pytest.fixture
def files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of one example."""
    (tmp_path / "worker").mkdir()
    for name in ("worker.py", "worker/main.py"):
        (tmp_path / name).write_text(PROGRAM)
    (tmp_path / "job.toml").write_text(
        "JobName = 'x'\nPriority = 1\n"
        "[TaskDag.TaskDescMap.Find]\nProgramName = 'main.py'\nImageId = 'img-local'\nTimeout = 60\n"
    )
    for name in ("job.json", "again.json", "job.yaml"):
        (tmp_path / name).write_text(DESCRIPTION)
    (tmp_path / "data.csv").write_text("1,2\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/one").write_text("1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def place(home: Path, folder: Path, url: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of an example in region local. Its jobs do not go on."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
    yield files
    stop_jobs(folder)


@pytest.fixture(params=["serve", "cloud"])
def elsewhere(
    request: pytest.FixtureRequest, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A user with another HOME, the variables that name the place and its key, and no service of their own."""
    if request.param == "serve":
        folder = request.getfixturevalue("folder")
        key, secret = control.read_credentials(folder) if request.getfixturevalue("url") else ("", "")
        variables = {
            "BATCHCOMPUTE_ENDPOINT": request.getfixturevalue("url"),
            "BATCHCOMPUTE_ACCESS_KEY_ID": key,
            "BATCHCOMPUTE_ACCESS_KEY_SECRET": secret,
        }
    else:
        cloud = request.getfixturevalue("cloud")
        folder, variables = cloud.folder, cloud.variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "unused"))
    yield request.param
    assert not (tmp_path / "unused").exists(), "a service was started here"
    stop_jobs(folder)


def stop_jobs(folder: Path) -> None:
    """Stop what still runs in a data folder, by its own service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
        patch.delenv("BATCHCOMPUTE_ENDPOINT", raising=False)
        with Client("local") as client:
            for one in client.list_jobs():
                if one.State in ("Waiting", "Running"):
                    with suppress(StateConflictError):  # it has ended meanwhile
                        client.stop_job(one)


# They are valid in a cloud too: ImageId, Timeout, a package, a program in Python.
PROGRAM = "import sys, time\nprint('works', flush=True)\nif sys.argv[1:2] == ['sleep']: time.sleep(60)\n"
DESCRIPTION = """{"JobName": "render-1", "Priority": 1, "TaskDag": {"TaskDescMap": {"Find": {
  "ProgramName": "main.py", "ProgramArguments": "here", "InstanceCount": 4, "Timeout": 120, "ImageId": "img-local",
  "PackageUri": "oss://mine/worker.tar.gz",
  "StdoutRedirectPath": "oss://mine/logs/", "StderrRedirectPath": "oss://mine/logs/"}}}}"""


def prepare(line: str) -> list[str]:
    """Make the jobs and objects that an example speaks of, where it runs; the ids of the jobs, if it speaks of any."""
    with Client(os.environ.get("BATCHCOMPUTE_ENDPOINT", "local")) as client:
        client.objects.put("oss://mine/hello", b"hello")
        client.objects.put("oss://mine/data.csv", b"1,2")
        client.objects.put("oss://mine/worker.tar.gz", pack("worker"))
        ids: list[str] = []
        count = 2 if IDS[1] in line else any(word in line for word in _OF_JOBS)
        for _ in range(count):
            holds = any(f"job {verb}" in line for verb in ("stop", "start", "priority"))
            ids.append(client.create_job(DESCRIPTION.replace('"here"', '"sleep"') if holds else DESCRIPTION).JobId)
            if not holds:
                client.wait(ids[-1], timeout=60, check=True)
            elif "job stop" not in line:
                client.stop_job(ids[-1])
        return ids


def run(line: str, place: Path, url: str = "cn-qingdao") -> int:
    """Run an example, as it stands but for ids, the region in the cloud, and folders; its exit code."""
    if "job " in line or "oss" in line:
        for written, real in zip(IDS, prepare(line), strict=False):  # none if it speaks of no job
            line = line.replace(written, real)
    line = line.replace("/srv/jobs", str(place / "srv")).replace("cn-qingdao", url)
    if "config init" in line:
        os.environ["HOME"] = str(place)
    if "local account" in line:
        guarded(cli.cli, ["local", "account", "remove", "ann"])
        if " add " not in line:
            guarded(cli.cli, ["local", "account", "add", "ann"])
    if "restore" in line:  # a copy is made at the end
        control.stop(Path(os.environ["BATCHCOMPUTE_DATA_DIR"]))
    if "completion zsh" in line:  # bash cannot read it
        line = "batchcompute completion zsh"
    if "job delete" in line and "--yes" not in line:
        shown = Terminal(*shlex.split(line)[1:])
        shown.expect(r"\[y/N\]")
        shown.type("y\n")
        return shown.ends()
    if not _OF_BASH & set(line) and "'" not in line:
        return guarded(cli.cli, shlex.split(line)[1:])
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", line], capture_output=True, text=True, timeout=60)
    print(done.stdout, done.stderr)
    return done.returncode


def take_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key of the service in the environment."""
    key, secret = control.read_credentials(folder)
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_ID", key)
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_SECRET", secret)


@pytest.mark.parametrize("line", EXAMPLES)
def test_in_region_local(
    line: str,
    place: Path,
    folder: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = place / "data"
    if line.startswith(_OWN_SERVICE):
        monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(own))
        with Client("local") as client:
            client.list_images()
    elif "cn-qingdao" in line:
        take_key(folder, monkeypatch)
    code = run(line, place, "cn-qingdao" if "config" in line else url)
    shown = capsys.readouterr()
    control.stop(own)
    assert code == 0, shown.err + shown.out


@pytest.mark.parametrize("line", ANYWHERE)
def test_elsewhere(line: str, elsewhere: str, files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = run(line, files)
    shown = capfd.readouterr()
    refusal = next((said for words, said in _NOT_IN_A_CLOUD.items() if words in line), "")
    if elsewhere == "cloud" and refusal:
        assert code != 0
        assert refusal in shown.err + shown.out
    else:
        assert code == 0, shown.err + shown.out


@pytest.mark.parametrize("line", commands.serve.examples)
def test_of_serve(line: str, home: Path, place: Path) -> None:
    if "server.pem" in line:
        names = ["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem", "-days", "2"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subprocess.run(["openssl", "req", "-x509", *kind, *names], check=True, capture_output=True)
    port = "" if "--port" in line else " --port 0"  # others may use 8888
    words = shlex.split(line.replace("/srv/jobs", str(place / "srv")) + port)
    environment = {**os.environ, "BATCHCOMPUTE_DATA_DIR": str(place / "data")}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline().startswith("Listening on http")
        service.terminate()
        assert service.wait(30) == 0
