"""Logs without a redirect path, read from `serve` over TCP by a Client that shares nothing with it but the key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control
from batchcompute_local.http.accounts import Book
from batchcompute_local.paths import Layout
from batchcompute_local.process.kept_logs import KeptLogs

from batchcompute import Client, ClientError, NotFoundError
from batchcompute.hooks import hookimpl
from batchcompute.operations import GET_LOG, Call
from batchcompute.values.details import LogPiece
from tests.support.serving import serving
from tests.support.waits import wait_for

SECONDS = 60
_MAIN = "from batchcompute.cli import main; main()"


@dataclass(frozen=True)
class Service:
    """A `serve`: where it is, and its folder."""

    url: str
    layout: Layout

    def client(self, **more: Any) -> Client:
        return Client(self.url, *control.read_credentials(self.layout.root), **more)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("served")
    folder = root / "data"
    folder.mkdir(mode=0o700)
    (folder / "service.toml").write_text(
        "slots = 4\ngrace_seconds = 0.1\nrunner_linger_seconds = 1\nretry_seconds = 0.01\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(root))
        with serving(folder) as url:
            yield Service(url, Layout.at(folder))


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    """The folder of region local, where it may look for logs, is another one."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "nothing-here"))
    with service.client() as client:
        yield client


def submit(client: Client, command: str, **more: Any) -> str:
    """A job of one task, A, that runs a shell command."""
    task = {"ProgramType": "command", "ProgramName": "sh", "ProgramArguments": f"-c '{command}'", **more}
    return client.create_job({"JobName": "j", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": task}}}).JobId


def test_both_streams_of_each_instance(client: Client) -> None:
    job = submit(client, "echo out $ALI_DIKU_INSTANCE_ID; echo wrong >&2", InstanceCount=2)
    client.wait(job, timeout=SECONDS, check=True)
    assert client.read_log(job, "A", 1, "stdout") == b"out 1\n"
    assert client.read_log(job, "A", 0) == b"wrong\n"
    assert client.read_log(job, "A", 0, "stdout", start=4) == b"0\n"
    assert client.read_log(job, "A", 0, "stdout", start=1, limit=2) == b"ut"
    assert client.read_log(job, "A", 0, "stdout", start=100) == b""
    assert client.read_log(job, "A", 2) is None, "there is no such instance"


def test_the_failing_instance_is_shown_with_its_last_lines(client: Client) -> None:
    job = submit(client, "echo the reason >&2; exit 3")
    with pytest.raises(Exception, match="the reason"):
        client.wait(job, timeout=SECONDS, check=True)


def test_a_large_log_comes_in_pieces_and_from_its_end(service: Service) -> None:
    asked = []

    class Watch:
        @hookimpl
        def after_attempt(self, ctx: Any) -> None:
            asked.append(len(ctx.response.body))

    with service.client(plugins=[Watch()]) as client:
        job = submit(client, "seq 200000")
        client.wait(job, timeout=SECONDS, check=True)
        whole = "".join(f"{n}\n" for n in range(1, 200001)).encode()
        asked.clear()
        assert client.read_log(job, "A", stream="stdout") == whole
        assert max(asked) < 400_000 < len(whole), "no answer is larger than a piece"
        log = client.open_log(job, "A", stream="stdout")
        assert log is not None
        with log:
            assert log.seek(-7, 2) == len(whole) - 7
            assert log.read() == b"200000\n"


def test_each_attempt_has_its_log(client: Client) -> None:
    job = submit(client, "n=${BATCHCOMPUTE_ATTEMPT##*.}; echo attempt $n; test $n = 2", MaxRetryCount=1)
    client.wait(job, timeout=SECONDS, check=True)
    logs = [client.read_log(job, "A", 0, "stdout", attempt=number) for number in (None, 1, 2)]
    assert logs == [b"attempt 2\n", b"attempt 1\n", b"attempt 2\n"]
    with pytest.raises(LookupError, match="no log of attempt 7; attempts with a log: 1, 2"):
        client.read_log(job, "A", attempt=7)


def test_the_log_of_a_retry_that_runs(client: Client, service: Service) -> None:
    gates = service.layout.oss / "retry"
    gates.mkdir(exist_ok=True)
    command = (
        "n=${BATCHCOMPUTE_ATTEMPT##*.}; echo attempt $n; test $n = 2 || exit 1;"
        " cd $BATCHCOMPUTE_OSS_ROOT/retry; until test -e go; do sleep 0.01; done"
    )
    job = submit(client, command, MaxRetryCount=1)
    try:
        wait_for(lambda: client.read_log(job, "A", 0, "stdout") == b"attempt 2\n", "the retry")
        logs = [client.read_log(job, "A", 0, "stdout", attempt=number) for number in (1, 2)]
    finally:
        (gates / "go").write_text("")
    assert logs == [b"attempt 1\n", b"attempt 2\n"]
    client.wait(job, timeout=SECONDS, check=True)


def test_a_log_that_is_open_stays_that_of_its_attempt(client: Client, service: Service) -> None:
    """The next attempt renames it; the pieces that follow are of the renamed file."""
    command = (
        "n=${BATCHCOMPUTE_ATTEMPT##*.}; seq -f %06g$n 100000; cd $BATCHCOMPUTE_OSS_ROOT/gates;"
        " until test -e go; do sleep 0.01; done; test $n = 2"
    )
    gates = service.layout.oss / "gates"
    gates.mkdir(exist_ok=True)
    job = submit(client, command, MaxRetryCount=1)

    def size() -> int:
        return len(client.read_log(job, "A", 0, "stdout") or b"")

    wait_for(lambda: size() == 800_000, "the first attempt to print all")
    log = client.open_log(job, "A", 0, "stdout")
    assert log is not None
    with closing(log):
        assert log.read(8) == b"0000011\n"
        (gates / "go").write_text("")
        client.wait(job, timeout=SECONDS, check=True)
        rest = log.read()
    assert rest.count(b"1\n") == rest.count(b"\n") == 99_999
    assert (client.read_log(job, "A", 0, "stdout") or b"").startswith(b"0000012\n")


def test_packed_logs(client: Client, service: Service) -> None:
    job = submit(client, "echo kept")
    client.wait(job, timeout=SECONDS, check=True)
    opened = client.open_log(job, "A", 0, "stdout")
    with closing(KeptLogs(service.layout.kept_logs)) as logs:
        assert logs.pack([service.layout.work(job)]) == [job]
    assert client.read_log(job, "A", 0, "stdout") == b"kept\n"
    assert client.read_log(job, "A", 0, "stdout", attempt=1) == b"kept\n"
    assert opened is not None
    assert opened.read() == b"kept\n", "it was opened before"


def test_what_a_program_put_in_the_place_of_its_log_is_not_read(
    client: Client, service: Service, tmp_path: Path
) -> None:
    job = submit(client, "echo mine")
    client.wait(job, timeout=SECONDS, check=True)
    (tmp_path / "secret").write_text("of somebody else")
    log = service.layout.work(job) / f"stdout.{job}.A.0"
    log.unlink()
    log.symlink_to(tmp_path / "secret")
    with pytest.raises(ClientError, match="LogNotReadable"):
        client.read_log(job, "A", 0, "stdout")
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(ClientError, match="LogNotReadable"):
        client.read_log(job, "A", 0, "stdout")


def ask_piece(client: Client, job: str, **parameters: str) -> LogPiece:
    """Ask for a piece with any parameters, which open_log would not send."""
    return client._pipeline.call(Call(GET_LOG, job, parameters=parameters))


def test_another_account_sees_no_log(client: Client, service: Service) -> None:
    job = submit(client, "echo mine")
    client.wait(job, timeout=SECONDS, check=True)
    ann = Book(service.layout).add("ann")
    with Client(service.url, ann.access_key_id, ann.access_key_secret) as other:
        with pytest.raises(NotFoundError):
            other.read_log(job, "A")
        with pytest.raises(NotFoundError):
            ask_piece(other, job, Task="A", Instance="0", Stream="stdout", Start="0", Limit="10")


@pytest.mark.parametrize(
    ("task", "number", "stream", "start"),
    [("B", 0, "stdout", 0), ("A", -1, "stdout", 0), ("A", 0, "stdin", 0), ("A", 0, "stdout", -1)],
)
def test_wrong_parameters_are_refused(client: Client, task: str, number: int, stream: str, start: int) -> None:
    job = submit(client, "true")
    with pytest.raises(ClientError, match="InvalidParameter"):
        ask_piece(client, job, Task=task, Instance=str(number), Stream=stream, Start=str(start), Limit="10")


def test_the_command_line_follows(client: Client, service: Service) -> None:
    gates = service.layout.oss / "follow"
    gates.mkdir(exist_ok=True)
    job = submit(
        client, "echo first; cd $BATCHCOMPUTE_OSS_ROOT/follow; until test -e go; do sleep 0.01; done; echo last"
    )
    key, secret = control.read_credentials(service.layout.root)
    variables = {"BATCHCOMPUTE_ACCESS_KEY_ID": key, "BATCHCOMPUTE_ACCESS_KEY_SECRET": secret}
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, "job", "logs", job, "--follow", "--format", "json"],
        env={**os.environ, **variables, "BATCHCOMPUTE_ENDPOINT": service.url},
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["line"] == "first", "while it runs"
        (gates / "go").write_text("")
        assert [json.loads(line)["line"] for line in follower.stdout] == ["last"]
        assert follower.wait(SECONDS) == 0
