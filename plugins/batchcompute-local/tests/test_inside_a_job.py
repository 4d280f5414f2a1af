"""Programs of jobs reach the service that runs them: the SDK and the command line inside a job, with real processes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.http.accounts import Book
from batchcompute_local.objects.buckets import give_bucket
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import Layout

from batchcompute import Client
from tests.support.service import Cloud
from tests.support.waits import wait_for

START = """
import json, os, subprocess, sys, time
from pathlib import Path
here = Path(os.environ["BATCHCOMPUTE_OSS_ROOT"], "tests")
file = Path(os.environ["BATCHCOMPUTE_LOCAL_ATTEMPT"])
def begin(**values):
    (here / "facts.part").write_text(json.dumps({"pid": os.getpid(), "file": str(file), **values}))
    (here / "facts.part").rename(here / "facts")
def hold(name="go"):
    while not (here / name).exists():
        time.sleep(0.005)
"""
INNER = """
def submit(client):
    print_ = {"ProgramType": "command", "ProgramName": "printf", "ProgramArguments": "inner"}
    return client.create_job({"JobName": "inner", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": print_}}})
"""


def facts(cloud: Cloud) -> dict[str, Any]:
    """What the program wrote with `begin`."""
    path = cloud.root / "oss/tests/facts"
    wait_for(path.exists, "the program")
    return dict(json.loads(path.read_text()))


def go(cloud: Cloud, name: str = "go") -> None:
    (cloud.root / "oss/tests" / name).touch()


def output(cloud: Cloud, job: str, state: str = "Terminated") -> str:
    """The output of a job of one instance, once it has ended."""
    ended = cloud.ended(job)
    assert ended["State"] == state, cloud.log(job, "A", stream="stderr")
    return cloud.log(job, "A")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: procs.start_time(pid) is None, "its end")


def test_the_sdk_in_a_job_is_the_submitter(cloud: Cloud) -> None:
    cloud.up()
    cloud.program(f"""{START}{INNER}
os.environ |= {{"HOME": "/nowhere", "BATCHCOMPUTE_DATA_DIR": "/nowhere/data", "XDG_DATA_HOME": "/nowhere"}}
from batchcompute import Client
for client in (Client("local"), Client("local", "a key of", "another region"), Client()):
    job = submit(client)
    assert client.wait(job, check=True, timeout=30).State == "Finished"
    assert client.read_log(job, "A", 0, "stdout") == b"inner"
    client.objects.put("oss://tests/made", b"by a program")
print([job.JobName for job in client.list_jobs()])
""")
    assert output(cloud, cloud.create({"A": {}})) == "['test', 'inner', 'inner', 'inner']\n"
    assert (cloud.root / "oss/tests/made").read_bytes() == b"by a program"
    assert sorted(job["OwnerId"] for job in cloud.call("GET", "/jobs")[1].values()) == [1000] * 4


def test_the_command_line_in_a_job(cloud: Cloud) -> None:
    cloud.up()
    (Path(os.environ["HOME"]) / ".config/batchcompute").mkdir(parents=True)
    (Path(os.environ["HOME"]) / ".config/batchcompute/config.toml").write_text('endpoint = "cn-qingdao"\n')
    cloud.program(f"""{START}
def run(*words):
    subprocess.run([sys.executable, "-c", "from batchcompute.cli import main; main()", *words], check=True)
run("--format", "json", "job", "list")
run("oss", "cp", "main.py", "oss://tests/copy.py")
run("local", "status", "--format", "json")
""")
    lines = output(cloud, cloud.create({"A": {}}))
    assert '"test"' in lines
    assert f'"running": true,\n  "data_dir": "{cloud.root}",\n' in lines
    assert (cloud.root / "oss/tests/copy.py").exists()


def test_a_program_acts_as_the_account_that_submitted_its_job(cloud: Cloud) -> None:
    cloud.up()
    ann = Book(Layout.at(cloud.root)).add("ann")
    cloud.program(f"""{START}{INNER}
from batchcompute import Client
client = Client("local")
submit(client)
print([job.JobName for job in client.list_jobs()])
""")
    cloud.create({"A": {"ProgramType": "command", "ProgramName": "true"}}, JobName="of local")
    give_bucket(Store(cloud.root / "oss"), "tests", ann.owner)
    visitor = Cloud(cloud.root)
    visitor.client.credentials = lambda: (ann.access_key_id, ann.access_key_secret)
    job = visitor.create({"A": {}}, JobName="of ann")
    assert output(visitor, job) == "['of ann', 'inner']\n"
    assert {one["Name"]: one["OwnerId"] for one in visitor.call("GET", "/jobs")[1].values()} == {
        "of ann": ann.owner,
        "inner": ann.owner,
    }
    assert [one["Name"] for one in cloud.call("GET", "/jobs")[1].values()] == ["of local"]
    visitor.client.close()


def test_a_job_that_came_over_a_port(cloud: Cloud) -> None:
    """Its program uses the socket, as the account that submitted it; of a disabled account it is refused."""
    line = [sys.executable, "-c", "from batchcompute.cli import main; main()", "serve", "--port=0"]
    with subprocess.Popen([*line, "--data-dir", str(cloud.root)], stdout=-1, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        book = Book(Layout.at(cloud.root))
        ann = book.add("ann")
        cloud.program(f"""{START}{INNER}
from batchcompute import Client
from batchcompute.errors import ClientError
client = Client("local")
submit(client)
begin()
hold()
try:
    client.list_jobs()
except ClientError as error:
    print(error.code)
""")
        give_bucket(Store(cloud.root / "oss"), "tests", ann.owner)
        visitor = Cloud(cloud.root)
        visitor.client.connect = lambda: http.client.HTTPConnection("127.0.0.1", port)
        visitor.client.credentials = lambda: (ann.access_key_id, ann.access_key_secret)
        job = visitor.create({"A": {}})
        facts(cloud)
        wait_for(lambda: len(visitor.call("GET", "/jobs")[1]) == 2, "the inner job")
        book.enable("ann", False)
        go(cloud)
        log = cloud.root / "work" / job / f"stdout.{job}.A.0"
        wait_for(lambda: log.read_text() == "InvalidAccessKeyId.Inactive\n", "the refusal")
        book.enable("ann", True)
        assert output(visitor, job)
        visitor.client.close()
        process.terminate()


def test_the_key_of_an_attempt_is_refused_after_its_end(cloud: Cloud) -> None:
    pid = cloud.up()
    cloud.program(f"{START}\nbegin(key=file.read_text())\nhold()\n")
    job = cloud.create({"A": {}})
    found = facts(cloud)
    kept, file = json.loads(found["key"]), Path(found["file"])
    assert (file.stat().st_mode & 0o7777, file.parent.stat().st_mode & 0o7777) == (0o600, 0o700)
    assert cloud.root / "work" not in file.parents
    visitor = Cloud(cloud.root)
    visitor.client.credentials = lambda: (kept["access_key_id"], kept["access_key_secret"])
    assert list(visitor.call("GET", "/jobs")[1]) == [job]
    kill(pid)  # after a restart too, for an adopted attempt
    cloud.up()
    visitor.client.close()
    assert list(visitor.call("GET", "/jobs")[1]) == [job]
    visitor.client.credentials = lambda: (kept["access_key_id"].replace(".1000.", ".1001."), kept["access_key_secret"])
    assert visitor.call("GET", "/jobs")[1]["Code"] == "InvalidAccessKeyId.NotFound"
    visitor.client.credentials = lambda: (kept["access_key_id"], "0" * 64)
    assert visitor.call("GET", "/jobs")[1]["Code"] == "SignatureDoesNotMatch"
    go(cloud)
    output(cloud, job)
    assert not file.exists()
    visitor.client.credentials = lambda: (kept["access_key_id"], kept["access_key_secret"])
    status, answer = visitor.call("GET", "/jobs")
    assert (status, answer["Code"]) == (400, "InvalidAccessKeyId.Inactive")
    assert f"attempt {job}.0.0.1" in answer["Message"]
    assert "has ended" in answer["Message"]
    visitor.client.close()


def test_a_stopped_program_may_still_call_until_it_has_ended(cloud: Cloud) -> None:
    cloud.up()
    cloud.program(f"""{START}
import signal
from batchcompute import Client
def end(*_):
    print(Client("local").list_jobs()[0].State, flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
begin()
signal.pause()
""")
    job = cloud.create({"A": {}})
    file = Path(facts(cloud)["file"])
    assert cloud.call("PUT", f"/jobs/{job}?Action=Stop")[0] == 200
    wait_for(lambda: not file.exists(), "the end of the attempt")
    assert cloud.log(job, "A") == "Stopped\n"


def test_nothing_secret_is_in_an_environment_or_a_command_line(cloud: Cloud) -> None:
    cloud.up()
    ann = Book(Layout.at(cloud.root)).add("ann")
    cloud.program(f"{START}\nchild = subprocess.Popen(['sleep', '60'])\nbegin(child=child.pid)\nhold()\nchild.kill()\n")
    job = cloud.create({"A": {}})
    found = facts(cloud)
    token = json.loads(Path(found["file"]).read_text())["access_key_secret"]
    secrets = [
        token,
        (cloud.root / "attempts.key").read_bytes(),
        control.read_credentials(cloud.root)[1],
        ann.access_key_secret,
    ]
    runner = wait_for(cloud.runner_pid)
    status = control.status(cloud.root)
    assert status is not None
    for pid in (found["pid"], found["child"], runner, status["pid"]):
        for name in ("environ", "cmdline"):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            for secret in secrets:
                assert (secret if isinstance(secret, bytes) else secret.encode()) not in content
    assert token not in (cloud.root / "runner.journal").read_text() + (cloud.root / "daemon.log").read_text()
    go(cloud)
    output(cloud, job)


def test_the_files_of_a_crash_are_tidied(cloud: Cloud) -> None:
    pid = cloud.up()
    cloud.program(f"{START}\nbegin()\nhold()\n")
    job = cloud.create({"A": {}})
    file = Path(facts(cloud)["file"])
    old = file.with_name("job-of-an-earlier-crash.0.0.1")
    old.write_text("{}")
    runner = wait_for(cloud.runner_pid)
    os.kill(runner, signal.SIGSTOP)  # so that it does not start the daemon again
    kill(pid)
    os.kill(runner, signal.SIGCONT)
    cloud.up()
    assert (old.exists(), file.exists()) == (False, True)
    go(cloud)
    output(cloud, job)
    assert os.listdir(file.parent) == []


CALLER = f"""{START}{INNER}
from batchcompute import Client
client = Client("local")
client.list_jobs()
begin()
hold()
began = time.monotonic()
try:
    submit(client) if len(sys.argv) == 1 else client.list_jobs(timeout=float(sys.argv[1]))
    print("called")
except Exception as error:
    print(type(error).__name__, error)
    print(time.monotonic() - began < 10)
"""


def test_a_call_waits_while_the_service_is_started_again(cloud: Cloud) -> None:
    pid = cloud.up()
    cloud.program(CALLER)
    job = cloud.create({"A": {}})
    facts(cloud)
    cloud.client.close()
    go(cloud)
    kill(pid)
    # no client outside starts anything
    log = cloud.root / "work" / job / f"stdout.{job}.A.0"
    wait_for(lambda: log.read_text() == "called\n", "the call")
    other = wait_for(lambda: control.status(cloud.root))
    assert other["pid"] != pid
    assert "another one is started" in (cloud.root / "daemon.log").read_text()
    output(cloud, job)
    assert sorted(one["Name"] for one in cloud.call("GET", "/jobs")[1].values()) == ["inner", "test"]


def test_after_a_stop_the_call_fails_in_time_and_nothing_is_started(cloud: Cloud) -> None:
    cloud.up()
    cloud.program(CALLER)
    job = cloud.create({"A": {"ProgramArguments": "1.5"}})
    facts(cloud)
    cloud.client.close()
    assert control.stop(cloud.root)
    go(cloud)
    log = cloud.root / "work" / job / f"stdout.{job}.A.0"
    wait_for(lambda: "True" in log.read_text(), "the error")
    assert log.read_text().startswith(f"ConnectError {cloud.root}/socket/daemon.sock could not be reached")
    assert "the service that runs this program" in log.read_text()
    assert "a program does not start it" in log.read_text()
    wait_for(lambda: "exited" in (cloud.root / "runner.journal").read_text(), "the exit record")
    assert control.status(cloud.root) is None
    assert "is started" not in (cloud.root / "daemon.log").read_text()
    cloud.up()
    output(cloud, job)


def test_a_program_does_not_start_its_service(cloud: Cloud) -> None:
    cloud.up()
    cloud.program(f"""{START}
from batchcompute_local.client import control
from batchcompute_local.objects.buckets import give_bucket
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import default_data_dir
os.environ["BATCHCOMPUTE_DATA_DIR"] = "/nowhere"
begin()
hold()
try:
    control.ensure_running(default_data_dir())
except RuntimeError as error:
    print(error)
served = [sys.executable, "-c", "from batchcompute.cli import main; main()", "serve", "--port=0"]
print(subprocess.run(served, capture_output=True, text=True).returncode)
""")
    job = cloud.create({"A": {}})
    facts(cloud)
    assert control.stop(cloud.root)
    go(cloud)
    wait_for(lambda: "exited" in (cloud.root / "runner.journal").read_text(), "the exit record")
    assert control.status(cloud.root) is None
    cloud.up()
    said = output(cloud, job)
    assert said.startswith(
        f"the service in {cloud.root} runs this program, and only clients outside of its jobs start it"
    )
    assert said.endswith("\n1\n")


def test_without_the_file_the_error_says_why(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_LOCAL_ATTEMPT", str(cloud.root / "attempts/job-x.0.0.1"))
    with pytest.raises(
        RuntimeError, match=r"file .* cannot be read \(No such file or directory\): the attempt has ended"
    ):
        Client("local").list_jobs()
    assert not cloud.root.exists()


def test_a_service_that_a_program_starts_is_a_leftover(cloud: Cloud) -> None:
    cloud.settings("leftover_seconds = 0.2\ngrace_seconds = 1\n")
    cloud.up()
    cloud.program(f"""{START}
other = here.parent / "other"
other.mkdir()
del os.environ["BATCHCOMPUTE_LOCAL_ATTEMPT"], os.environ["BATCHCOMPUTE_ATTEMPT"]
os.environ["BATCHCOMPUTE_DATA_DIR"] = str(other)
from batchcompute import Client
from batchcompute_local.client import control
client = Client("local")
sleeper = {{"ProgramType": "command", "ProgramName": "sleep", "ProgramArguments": "60"}}
client.create_job({{"JobName": "inner", "Priority": 1, "TaskDag": {{"TaskDescMap": {{"A": sleeper}}}}}})
while client.list_jobs()[0].State != "Running":
    time.sleep(0.01)
daemon = control.status(other)["pid"]
variables = Path("/proc", str(daemon), "environ").read_text()
print(daemon, "BATCHCOMPUTE" in variables)
""")
    job = cloud.create({"A": {}})
    daemon, variables = output(cloud, job).split()
    assert variables == "False"
    other = Cloud(cloud.root / "oss/other")
    assert procs.start_time(int(daemon)) is None
    assert other.runner_pid() is None
    assert "python" in cloud.log(job, "A", stream="stderr")
    assert "were ended" in cloud.log(job, "A", stream="stderr")
    assert not [pid for pid, _ in procs.attempts("job-") if str(other.root) in os.readlink(f"/proc/{pid}/cwd")]


BOX = """
import ctypes, os, sys
volumes, rest = [], sys.argv[2:]
while rest[0] != "--":
    volumes.append(rest.pop(0).split(":")[0])
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, flags):
    if libc.mount(source, target, b"tmpfs" if source == b"box" else None, flags, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)
data = sys.argv[1]
if libc.unshare(0x20000):
    raise OSError(ctypes.get_errno(), "unshare")
mount(b"none", b"/", 16384 | (1 << 18))
kept = [(path, os.open(path, os.O_PATH)) for path in volumes]
mount(b"box", data.encode(), 0)  # nothing of the data folder is here, but for the volumes
for path, handle in kept:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkdir(path) if os.path.isdir(f"/proc/self/fd/{handle}") else open(path, "w").close()
    mount(f"/proc/self/fd/{handle}".encode(), path.encode(), 4096 | 16384)
os.chdir(volumes[0])
os.execv(rest[1], rest[1:])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
def test_a_program_in_a_container_reaches_the_service(cloud: Cloud, tmp_path: Path) -> None:
    """A container by hand: it sees the rest of this machine, and of the data folder only what the image's command names."""
    box = tmp_path / "box.py"
    box.write_text(BOX)
    command = [sys.executable, str(box), str(cloud.root), "{cwd}", "{oss}", "{service}", "--", "{argv}"]
    without = [word for word in command if word != "{service}"]
    cloud.settings(
        f"[images.img-box]\ncommand = {command}\npython = '{sys.executable}'\n"
        f"[images.img-closed]\ncommand = {without}\npython = '{sys.executable}'\n"
    )
    pid = cloud.up()
    cloud.program(f"""{START}
print(sorted(os.listdir(here.parents[1])))
from batchcompute import Client
client = Client("local")
print([job.JobName for job in client.list_jobs()])
client.objects.put("oss://tests/made", b"inside")
begin()
hold()
client.list_jobs(timeout=30)
""")
    job = cloud.create({"A": {"ImageId": "img-box"}})
    facts(cloud)
    cloud.client.close()
    kill(pid)  # the next daemon makes another socket
    go(cloud)
    wait_for(lambda: control.status(cloud.root), "the next daemon")
    visible = ["attempts", "oss", "socket", "work"]
    assert output(cloud, job) == f"{visible}\n['test']\n"
    closed = cloud.create({"A": {"ImageId": "img-closed"}})
    assert output(cloud, closed, "Failed")
    assert "its container has no access to the service" in cloud.log(closed, "A", stream="stderr")


def find_podman() -> list[str]:
    """The beginning of a `podman run` that works on this machine; empty if none does. Its container has this machine's files."""
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000", "--network=host"]
    for words in (["podman", "run"], ["podman", "--runtime=runc", "run", *limits]):
        if shutil.which(words[0]) and not subprocess.call([*words, "--rm", "--rootfs", "/:O", "/bin/true"], stderr=-3):
            return words
    return []


def test_podman(cloud: Cloud) -> None:
    engine = find_podman()
    if not engine:
        pytest.skip("no podman that can run a container on this machine")
    sources = Path(__file__).parents[3]
    command = [
        *engine, "--rm", "--name={attempt}", "--volume={cwd}:{cwd}", "--workdir={cwd}", "--volume={oss}:{oss}",
        "--volume={service}", f"--volume={sources}:{sources}:ro", "--env={variable}", "--rootfs", "/:O", "{argv}",
    ]  # fmt: skip
    cloud.settings(f"[images.img-box]\ncommand = {command}\npython = '{sys.executable}'\n")
    cloud.up()
    cloud.program("from batchcompute import Client\nprint([job.JobName for job in Client('local').list_jobs()])")
    assert output(cloud, cloud.create({"A": {"ImageId": "img-box"}})) == "['test']\n"


def test_a_job_that_waits_for_a_job_of_its_own_says_so(cloud: Cloud) -> None:
    cloud.settings("slots = 1\n")
    cloud.up()
    cloud.program(f"""{START}{INNER}
from batchcompute import Client
client = Client("local")
job = submit(client)
begin(job=str(job.JobId))
client.wait(job)
""")
    parent = cloud.create({"A": {}})
    child = facts(cloud)["job"]
    wait_for(lambda: cloud.call("GET", f"/-/jobs/{child}")[1]["Reason"], "a reason")
    reasons = [cloud.call("GET", f"/-/jobs/{job}")[1]["Reason"] for job in (parent, child)]
    assert f"{parent} submitted this job: if it waits for it, neither goes on without another slot" in reasons[1]
    assert child in reasons[0]
    assert cloud.call("PUT", f"/jobs/{parent}?Action=Stop")[0] == 200
    assert cloud.ended(child)["State"] == "Terminated"
