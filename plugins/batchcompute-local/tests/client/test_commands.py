"""`batchcompute serve` and `batchcompute local`, as a user runs them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from batchcompute_local import __version__, procs
from batchcompute_local.client import control
from batchcompute_local.client.reset import reset
from batchcompute_local.errors import DaemonError
from batchcompute_local.http.network import Address
from batchcompute_local.paths import Layout
from batchcompute_local.procs import start_time

from tests.support.service import Cloud
from tests.support.waits import wait_for

WAITER = """
import os, time
open(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/begun", "w").close()
while not os.path.exists(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/tests/go"):
    time.sleep(0.01)
"""
Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def run(cloud: Cloud) -> Run:
    """Runs a command; its exit code, output and complaints."""

    def command(*words: str, answer: str = "") -> tuple[int, str, str]:
        line = [
            sys.executable,
            "-c",
            "from batchcompute.cli import main; main()",
            *words,
            "--data-dir",
            str(cloud.root),
        ]
        done = subprocess.run(line, capture_output=True, text=True, input=answer, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return command


@pytest.fixture
def serve(cloud: Cloud) -> Iterator[Serve]:
    """Starts `batchcompute serve`; the process and the line it prints."""
    started: list[subprocess.Popen[str]] = []

    def command(*words: str) -> tuple[subprocess.Popen[str], str]:
        line = [sys.executable, "-c", "from batchcompute.cli import main; main()", "serve", "--port", "0", *words]
        line += ["--data-dir", str(cloud.root)]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    yield command
    for process in started:
        process.kill()
        process.communicate()


def _port(line: str) -> int:
    return int(line.rpartition(":")[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_from_start_to_end(cloud: Cloud, serve: Serve, run: Run, number: int) -> None:
    cloud.settings("idle_seconds = 0\n")
    process, line = serve()
    assert line == f"Listening on http://127.0.0.1:{_port(line)}\n"
    cloud.program(WAITER)
    connection = http.client.HTTPConnection("127.0.0.1", _port(line))
    visitor = Cloud(cloud.root)
    visitor.client.connect = lambda: connection
    job_id = visitor.create({"A": {}})
    wait_for(lambda: (cloud.root / "oss/tests/begun").exists(), "the program")
    connection.request("GET", "/-/status")
    refused = connection.getresponse()
    assert (refused.status, json.loads(refused.read())["Code"]) == (400, "MissingAuthorization")
    status = control.status(cloud.root)
    assert status is not None
    assert process.stderr is not None
    said = [
        *iter(
            process.stderr.readline,
            f"One for another user: batchcompute local account add NAME --data-dir {cloud.root}\n",
        )
    ]
    assert f"Its access key: batchcompute local credentials --data-dir {cloud.root}\n" in said
    assert run("local", "status") == (
        0,
        f"Version {__version__} runs in {cloud.root} as pid {process.pid}.\nJobs that are waiting or running: 1.\n"
        f"Slots: 1 of 2 are taken: {job_id} (1).\n"
        f"Containment of programs: {status['containment']}.\n"
        f"It listens on {line.split()[-1]}.\n"
        f"Objects by the protocol of OSS: {status['objects']}.\n",
        "",
    )
    process.send_signal(number)
    begun = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - begun < 10
    assert not (cloud.root / "daemon.sock").exists()
    visitor.client.close()
    (cloud.root / "oss/tests/go").touch()  # the program is still there
    cloud.settings("")
    cloud.up()
    assert cloud.ended(job_id)["State"] == "Terminated"


def test_one_service_for_a_folder(cloud: Cloud, serve: Serve) -> None:
    idle = cloud.up()
    process, _ = serve()  # takes the place of an idle one
    assert cloud.up() == process.pid != idle
    second, line = serve()
    complaint = second.communicate(timeout=30)[1]
    assert (second.returncode, line) == (1, "")
    assert f"another service (pid {process.pid}) owns {cloud.root} and listens on http" in complaint
    assert control.stop(cloud.root)
    assert process.wait(20) == 0
    cloud.up()
    cloud.program(WAITER)
    cloud.create({"A": {}})
    third, _ = serve()
    assert "has 1 active jobs; end it with `batchcompute local stop" in third.communicate(timeout=30)[1]


def test_neither_environment_nor_command_line_tell_secrets(
    cloud: Cloud, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "hush")
    process, line = serve()
    _, secret = control.read_credentials(cloud.root)
    for name in ("environ", "cmdline"):
        content = Path("/proc", str(process.pid), name).read_bytes()
        assert b"hush" not in content
        assert secret.encode() not in content
    cloud.program("import os, sys\nsys.stdout.write(repr(os.environ) + ascii(open('/proc/self/cmdline').read()))")
    cloud.client.connect = lambda: http.client.HTTPConnection("127.0.0.1", _port(line))
    job_id = cloud.create({"A": {}})
    assert cloud.ended(job_id)["State"] == "Terminated"
    said = cloud.log(job_id, "A")
    assert "BATCHCOMPUTE_ATTEMPT" in said
    assert secret not in said
    assert "hush" not in said
    assert secret not in (cloud.root / "daemon.log").read_text()


def test_tls(cloud: Cloud, serve: Serve, tmp_path: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, *files], check=True, capture_output=True)
    words = ("--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem"))
    process, line = serve("--host", "0.0.0.0", *words)
    assert line.startswith("Listening on https://0.0.0.0:")
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    cloud.client.connect = lambda: http.client.HTTPSConnection("127.0.0.1", _port(line), context=context)
    assert cloud.call("GET", "/images")[0] == 200
    cloud.client.close()
    with closing(socket.create_connection(("127.0.0.1", _port(line)))) as plain:
        plain.sendall(b"GET /images HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)
    assert control.status(cloud.root) is not None  # the socket is plain as ever
    process.terminate()
    assert process.wait(20) == 0


def test_where_it_may_listen(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "127.8.8.8"):
        Address(host, 0).listen().close()
    for host in ("0.0.0.0", "::"):
        with pytest.raises(DaemonError, match=r"--certfile and --keyfile, or --insecure-bind"):
            Address(host, 0).listen()
    with closing(Address("0.0.0.0", 0, insecure=True).listen()) as sock:
        with pytest.raises(DaemonError, match=r"cannot listen on 0.0.0.0 port \d+: Address already in use"):
            Address("0.0.0.0", sock.getsockname()[1], insecure=True).listen()
        assert Address("::1", 0).url(sock) == f"http://[::1]:{sock.getsockname()[1]}"
    with pytest.raises(DaemonError, match="is not an address of this machine"):
        Address("host.invalid", 0).listen()
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(DaemonError, match=r"--certfile .*bad.pem cannot be used"):
        Address("127.0.0.1", 0, tmp_path / "bad.pem").tls()
    with pytest.raises(DaemonError, match="needs --certfile"):
        Address("127.0.0.1", 0, keyfile=tmp_path / "bad.pem").tls()


def test_the_key_of_the_service(cloud: Cloud, run: Run) -> None:
    code, printed, _ = run("local", "credentials", "--format", "json")
    assert code == 0
    assert tuple(json.loads(printed).values()) == control.read_credentials(cloud.root)
    assert list(json.loads(printed)) == ["access_key_id", "access_key_secret"]
    assert run("local", "credentials")[1].splitlines()[0] == f"access_key_id = {json.loads(printed)['access_key_id']}"
    assert run("local", "status")[1].startswith("No service runs in")
    assert json.loads(run("local", "status", "--format", "json")[1]) == {"running": False, "data_dir": str(cloud.root)}
    code, _, complaint = run("local", "logs")
    assert (code, "no service has run in" in complaint) == (1, True)
    cloud.up()  # the daemon takes the key that the command made
    assert control.read_credentials(cloud.root) == tuple(json.loads(printed).values())
    assert "listening" in run("local", "logs", "--lines", "5")[1]
    (line,) = json.loads(run("local", "logs", "--tail", "1", "--json")[1])["lines"]
    assert run("local", "logs", "--tail", "1")[1] == f"{line}\n"
    assert run("local", "stop")[1] == "The service has ended.\n"
    assert json.loads(run("local", "stop", "-o", "json")[1]) == {"stopped": False, "data_dir": str(cloud.root)}
    assert run("local", "stop")[1].startswith("No service runs in")


def test_accounts(cloud: Cloud, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchcompute import Client
    from batchcompute.errors import ClientError

    cloud.up()
    cloud.program("print(1)")
    code, printed, _ = run("local", "account", "add", "ann", "--format", "json")
    assert code == 0
    key, secret = json.loads(printed).values()
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    mine = cloud.create({"A": {}})
    ann, own, stranger = Client("local", key, secret), Client("local"), Client("local", "LTAIx", "y")
    assert [job.JobId for job in own.list_jobs()] == [job.JobId for job in stranger.list_jobs()] == [mine]
    assert list(ann.list_jobs()) == []
    with pytest.raises(ClientError, match="ResourceNotFound"):
        ann.get_job(mine)
    assert run("local", "account", "disable", "ann")[1] == "Account ann is disabled.\n"
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId\.Inactive"):
        ann.list_jobs()
    code, listed, _ = run("local", "account", "list")
    assert re.search(rf"^NAME +ACCESS KEY +OWNER  ENABLED\n(.*\n)ann +{key} +1001  no\n$", listed)
    assert run("local", "account", "ls")[1] == listed
    assert secret not in listed
    rows = json.loads(run("local", "account", "list", "--format", "json")[1])
    assert [(row["name"], row["owner"], row["enabled"]) for row in rows] == [
        ("local", 1000, True),
        ("ann", 1001, False),
    ]
    assert json.loads(run("local", "account", "enable", key, "--json")[1]) == {"name": "ann", "action": "enabled"}
    assert list(ann.list_jobs()) == []
    run("local", "account", "rm", "ann")
    code, _, complaint = run("local", "account", "remove", "ann")
    assert (code, "there is no account 'ann'" in complaint) == (1, True)
    status, answer = cloud.call("GET", "/jobs", Authorization=f"acs {key}:x")
    assert (status, answer["Code"]) == (404, "InvalidAccessKeyId.NotFound")


def test_reset_removes_what_the_service_made(cloud: Cloud, run: Run) -> None:
    cloud.up()
    cloud.program("print(1)")
    cloud.ended(cloud.create({"A": {}}))
    (cloud.root / "notes.txt").write_text("mine")
    code, printed, complaint = run("local", "reset", answer="y\n")
    assert (code, complaint) == (2, "Error: there is no terminal to ask on; use --yes\n")
    assert cloud.call("GET", "/jobs")[1] != {}
    code, printed, complaint = run("local", "reset", "--yes")
    assert code == 0, complaint
    assert f"{cloud.root}/state.sqlite3 removed\n" in printed
    kept = {"notes.txt", "oss", "objects.json", "credentials.json", "nonces"}
    assert {path.name for path in cloud.root.iterdir() if path.suffix != ".lock"} == kept
    cloud.up()
    assert cloud.call("GET", "/jobs") == (200, {})
    code, printed, _ = run("local", "reset", "-y", "--all", "--json")
    assert (code, str(cloud.root / "credentials.json") in json.loads(printed)["removed"]) == (0, True)
    assert {path.name for path in cloud.root.iterdir() if path.suffix != ".lock"} == {"notes.txt"}
    assert reset(cloud.root / "none") == []


@pytest.mark.parametrize("alive", [True, False])
def test_reset_ends_programs_only_by_force(cloud: Cloud, run: Run, alive: bool) -> None:
    cloud.settings("grace_seconds = 0.5\n")
    pid = cloud.up()
    hidden = (
        "import subprocess; print(subprocess.Popen(['sleep', '300'], env={}, start_new_session=True).pid, flush=True)\n"
    )
    cloud.program(hidden + "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITER)
    job = cloud.create({"A": {}})
    wait_for(lambda: (cloud.root / "oss/tests/begun").exists(), "the program")
    child = int(cloud.log(job, "A"))
    cloud.client.close()
    if not alive:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: procs.start_time(pid) is None, "its end")
    code, _, complaint = run("local", "reset", "--yes")
    assert (code, "1 jobs are active" in complaint) == (1, True)
    assert Layout(cloud.root).database.exists()
    code, _, complaint = run("local", "reset", "--yes", "--force")
    assert code == 0, complaint
    assert not Layout(cloud.root).database.exists()
    assert cloud.runner_pid() is None
    assert start_time(child) is None
