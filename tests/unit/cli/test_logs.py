"""What instances wrote, of one or of many."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batchcompute import Client, Job, JobDescription, Task
from batchcompute.cli import logs as module
from tests.support.command_line import Open, run_for_bytes

SAY = """
import os, sys
number = os.environ["ALI_DIKU_INSTANCE_ID"]
print("hello from", number)
sys.stdout.flush()
sys.stdout.buffer.write(b"\\xff end")
print("oops", number, file=sys.stderr)
"""


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


def logs(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess(arguments, *run_for_bytes("job", "logs", *arguments))


@pytest.fixture
def job(client: Client, describe: Callable[..., dict[str, Any]]) -> str:
    """A finished job: task Say, then task Echo, of two instances each."""
    job = client.create_job(describe({"Say": ["Echo"]}, Echo="print('echo')", Say=SAY))
    client.wait(job, check=True, timeout=60)
    return job.JobId


def test_all_with_prefixes_in_the_order_of_tasks(job: str) -> None:
    done = logs(job)
    assert done.stdout.splitlines() == [
        b"Say.0  | hello from 0",
        b"Say.0  | \xff end",
        b"Say.1  | hello from 1",
        b"Say.1  | \xff end",
        b"Echo.0 | echo",
        b"Echo.1 | echo",
    ]
    assert (done.returncode, done.stderr) == (0, b"")
    assert logs(job, "Echo").stdout == b"Echo.0 | echo\nEcho.1 | echo\n"
    assert logs(job, "--follow").stdout == done.stdout, "a job that has ended is not waited for"


def test_one_instance_is_printed_as_it_is(job: str) -> None:
    assert logs(job, "Say", "1").stdout == b"hello from 1\n\xff end"
    assert logs(job, "Say", "1", "--stderr").stdout == b"oops 1\n"
    assert logs("last", "Say", "0", "--stderr", "--follow").stdout == b"oops 0\n"


def test_lines_for_programs(job: str) -> None:
    lines = [json.loads(line) for line in logs(job, "Say", "1", "--format", "json").stdout.splitlines()]
    assert lines == [
        {"task": "Say", "instance": 1, "stream": "stdout", "line": "hello from 1"},
        {"task": "Say", "instance": 1, "stream": "stdout", "line": "\ufffd end"},
    ]


def test_what_is_not_there(job: str) -> None:
    for arguments, words in (
        ((job, "Sy"), "has no task 'Sy'; did you mean 'Say'?"),
        ((job, "Say", "2"), "no instance 2: they are 0 to 1"),
        ((job, "Say", "x"), "'x' is not a valid"),
        (("job-" + "0" * 32,), "not found"),
    ):
        done = logs(*arguments)
        assert done.returncode != 0
        said = done.stderr.decode()
        assert words in said
        assert "Traceback" not in said


def test_an_earlier_attempt(client: Client, describe: Callable[..., dict[str, Any]]) -> None:
    fails = "import os, sys; sys.exit('rare error of ' + os.environ['BATCHCOMPUTE_ATTEMPT'].rpartition('.')[2])"
    description = describe({"First": ["Second"]}, First=fails, Second="pass")
    description["TaskDag"]["TaskDescMap"]["First"]["InstanceCount"] = 1
    job = client.create_job(description)
    client.wait(job, timeout=60)
    for _ in range(2):
        client.start_job(job)
        client.wait(job, timeout=60)
    for attempt in (1, 2, 3):
        said = logs(job.JobId, "First", "--stderr", "--attempt", str(attempt)).stdout
        assert said.startswith(f"rare error of {attempt}\n".encode())
        assert client.read_log(job, "First", attempt=attempt) == said
    assert client.read_log(job, "First") == client.read_log(job, "First", attempt=3)
    with pytest.raises(LookupError, match="no log of attempt 4; attempts with a log: 1, 2, 3"):
        client.read_log(job, "First", attempt=4)
    for arguments, words in (
        (("First", "0", "--attempt", "7"), "First.0: no log of attempt 7; attempts with a log: 1, 2, 3"),
        (("--attempt", "1"), "--attempt needs a TASK, since the job has several: First, Second"),
        (("Second", "--attempt", "1"), "--attempt needs an INSTANCE, since task Second has several: 0 to 1"),
        (("Second", "0", "--attempt", "1"), "Second.0: no log of attempt 1; attempts with a log: none"),
        (("First", "0", "--attempt", "0"), "0 is not in the range x>=1"),
    ):
        done = logs(job.JobId, *arguments)
        assert (done.returncode != 0, done.stdout) == (True, b"")
        assert words in done.stderr.decode()
        assert "Traceback" not in done.stderr.decode()


def test_nothing_was_started_yet(client: Client, describe: Callable[..., dict[str, Any]]) -> None:
    first = "import sys; sys.exit(1)"
    job = client.create_job(describe({"First": ["Second"]}, First=first, Second="pass"))
    client.wait(job, timeout=60)
    done = logs(job.JobId, "Second")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"There are no logs" in done.stderr


def test_a_reader_that_goes_away(job: str) -> None:
    command = [sys.executable, "-c", "from batchcompute.cli import main; main()", "job", "logs", job]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_an_instance_that_runs_again_is_read_anew(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The service was killed, and its instance begins once more: the log is shorter than what was read of it."""
    looks = iter([(1, b"first try\nhalf a li"), (2, b"again\n"), (2, b"again\nto the end\n")])
    log = b""
    state = "Running"

    def tasks(job: str) -> list[Task]:
        nonlocal log, state
        began, log = next(looks)
        state = "Finished" if b"end" in log else "Running"
        instances = [{"InstanceId": 0, "State": "Running", "StartTime": began}]
        return [Task({"TaskName": "Say", "State": "Running", "InstanceList": instances})]

    def read(job: str, task: str, instance: int, stream: str, *, attempt: None) -> io.BytesIO:
        return io.BytesIO(log)

    client = SimpleNamespace(
        get_job=lambda job: Job({"State": state}),
        get_job_description=lambda job: JobDescription({"TaskDag": {"TaskDescMap": {"Say": {}}}}),
        list_tasks=tasks,
        open_log=read,
    )
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    looks = iter([*looks, (2, b"again\nto the end\n")])  # a last look when it has ended
    module.Logs(client, "job-1", follow=True).show()  # type: ignore[arg-type]  # a stand-in for the Client
    assert capsysbinary.readouterr().out.splitlines() == [
        b"Say.0 | first try",
        b"Say.0 | again",
        b"Say.0 | to the end",
    ]


def test_memory_stays_flat(client: Client, describe: Callable[..., dict[str, Any]]) -> None:
    """A log of 200 MB, half of it one line, with 160 MB of address space."""
    big = """
import sys
line = b"x" * 99 + b"\\n"
for _ in range(100): sys.stdout.buffer.write(line * 10000)
for _ in range(100): sys.stdout.buffer.write(b"y" * 1000000)
sys.stdout.buffer.write(b"\\nlast\\n")
"""
    description = describe({"Big": []}, Big=big)
    description["TaskDag"]["TaskDescMap"]["Big"]["InstanceCount"] = 1
    job = client.create_job(description).JobId
    client.wait(job, check=True, timeout=120)
    code = "from batchcompute.cli import main; main()"
    limit = 160 << 20

    def run(*arguments: str) -> tuple[int, int, bytes]:
        """Return the exit code, the number of bytes, and the last of them."""
        command = [sys.executable, "-c", code, "job", "logs", job, *arguments]
        number, end = 0, b""
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        ) as process:
            assert process.stdout is not None
            while piece := process.stdout.read(1 << 20):
                number, end = number + len(piece), (end + piece)[-20:]
        return process.returncode, number, end

    assert run("Big", "0") == (0, 200_000_006, b"y" * 14 + b"\nlast\n")
    returncode, number, end = run()
    assert (returncode, end) == (0, b"yyyyyy\nBig.0 | last\n")
    assert number > 200_000_000
    assert run("--tail", "1") == (0, 13, b"Big.0 | last\n")
    client.delete_job(job)


def test_the_last_lines(job: str) -> None:
    assert logs(job, "--tail", "1").stdout.splitlines() == [
        b"Say.0  | \xff end",
        b"Say.1  | \xff end",
        b"Echo.0 | echo",
        b"Echo.1 | echo",
    ]
    assert logs(job, "Say", "0", "--tail", "2").stdout == b"hello from 0\n\xff end"
    assert logs(job, "Say", "0", "--tail", "0").stdout == b""


def test_what_has_no_end_is_shown_while_it_is_written(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A progress bar, and a question: of two instances, with a clock that moves by a second for each look."""
    writes = iter([b"begin\n10%\r", b"20%\r", b"\nwait", b" for", b"", b" it\r\n\nend?", b"", b"\n", b" no"])
    log, state, now = b"", "Running", 0.0
    seen = []

    def look(job: str) -> Job:
        nonlocal log, now, state
        now += 0.4
        seen.append(capsysbinary.readouterr().out)
        more = next(writes, None)
        state = "Running" if more is not None else "Finished"
        log += more or b""
        return Job({"State": state})

    instances = [{"InstanceId": number, "State": "Running", "StartTime": 1} for number in (0, 1)]
    fake = SimpleNamespace(
        get_job=look,
        get_job_description=lambda job: JobDescription({"TaskDag": {"TaskDescMap": {"Say": {}}}}),
        list_tasks=lambda job: [Task({"TaskName": "Say", "State": state, "InstanceList": instances})],
        open_log=lambda job, task, number, stream, *, attempt: io.BytesIO(b"" if number else log),
    )
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(module, "_MOMENT", 0.3)
    module.Logs(fake, "job-1", follow=True).show()  # type: ignore[arg-type]  # a stand-in for the Client
    seen.append(capsysbinary.readouterr().out)
    assert [text.replace(b"Say.0 | ", b"").splitlines() for text in seen[1:]] == [
        [b"begin", b"10%"],
        [b"20%"],
        [],
        [],
        [b"wait for"],
        [b" it", b""],
        [b"end?"],
        [],
        [],
        [b" no"],
    ]


class Running:
    """A client with a running instance of task Say, or two of them, that writes one text at each look."""

    def __init__(self, writes: Sequence[bytes], instances: int) -> None:
        self._writes = iter(writes)
        self._log = b""
        self._state = "Running"
        self._instances = [{"InstanceId": number, "State": "Running", "StartTime": 1} for number in range(instances)]
        self.get_job_description = lambda job: JobDescription(
            {"TaskDag": {"TaskDescMap": {"Say": {"InstanceCount": instances}}}}
        )

    def get_job(self, job: str) -> Job:
        more = next(self._writes, None)
        self._state = "Running" if more is not None else "Finished"
        self._log += more or b""
        return Job({"State": self._state})

    def list_tasks(self, job: str) -> list[Task]:
        return [Task({"TaskName": "Say", "State": self._state, "InstanceList": self._instances})]

    def open_log(self, job: str, task: str, number: int, stream: str, *, attempt: None) -> io.BytesIO:
        return io.BytesIO(b"" if number else self._log)


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"instance": 0}, b"begin\n10%\r20%\rwait"),
        ({}, b"Say.0 | begin\nSay.0 | 10%\nSay.0 | 20%\nSay.0 | wait\n"),
        ({"tail": 1}, b"Say.0 | 10%\nSay.0 | 20%\nSay.0 | wait\n"),
    ],
)
@pytest.mark.parametrize("instances", [1, 2])
def test_a_running_program_without_follow(
    capsysbinary: pytest.CaptureFixture[bytes], more: dict[str, Any], shown: bytes, instances: int
) -> None:
    """Progress bars and lines without an end are shown as far as they are written."""
    client = Running([b"begin\n10%\r20%\rwait"], instances)
    module.Logs(client, "job-1", task="Say", **more).show()  # type: ignore[arg-type]  # a stand-in for the Client
    assert capsysbinary.readouterr().out == shown


@pytest.mark.parametrize("instances", [1, 2])
def test_one_instance_is_followed_byte_for_byte(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], instances: int
) -> None:
    """What was written is shown before the next look, whatever it ends with."""
    writes = [b"begin\n10%\r", b"20%\r", b"", b"100%\nok?", b" yes"]
    seen: list[bytes] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: seen.append(capsysbinary.readouterr().out))
    module.Logs(Running(writes, instances), "job-1", task="Say", instance=0, follow=True).show()  # type: ignore[arg-type]  # a stand-in for the Client
    assert seen == writes


def test_a_progress_bar_is_shown_while_its_program_runs(
    client: Client, describe: Callable[..., dict[str, Any]], terminal: Open
) -> None:
    """The same with a real program, a real terminal and two instances."""
    bar = """
import os, pathlib, time
gate = pathlib.Path(os.environ["BATCHCOMPUTE_OSS_ROOT"], "mine/gate")
print("10%", end="\\r20%\\rcontinue?", flush=True)
while not gate.exists(): time.sleep(0.01)
"""
    description = describe({"Bar": []}, Bar=bar)
    job = client.create_job(description).JobId
    many, one = terminal("job", "logs", job, "--follow"), terminal("job", "logs", job, "Bar", "0", "--follow")
    many.expect(r"Bar\.0 \| 20%\s+")
    many.expect(r"Bar\.\d \| continue\?")
    one.expect(r"10%\r?20%\r?continue\?")
    assert client.get_job(job).State == "Running"
    client.objects.put("oss://mine/gate", b"")
    assert (many.ends(), one.ends()) == (0, 0)


def test_logs_since_a_time(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Instances that ended before it are left out; what still runs, or ended in that second, is printed whole."""
    ends = {0: (99, 99), 1: (100, 100), 2: (90, 120), 3: (0, 0)}
    instances = [
        {
            "InstanceId": number,
            "State": "Finished" if end else "Running",
            "StartTime": 1,
            "EndTime": end,
            "WorkerEndTime": worker,
        }
        for number, (end, worker) in ends.items()
    ]
    fake = SimpleNamespace(
        get_job=lambda job: Job({"State": "Running"}),
        get_job_description=lambda job: JobDescription({"TaskDag": {"TaskDescMap": {"Say": {"InstanceCount": 4}}}}),
        list_tasks=lambda job: [Task({"TaskName": "Say", "State": "Running", "InstanceList": instances})],
        open_log=lambda job, task, number, stream, *, attempt: io.BytesIO(b"one\ntwo\n"),
    )

    def run(**more: Any) -> list[bytes]:
        module.Logs(fake, "job-1", **more).show()  # type: ignore[arg-type]  # a stand-in for the Client
        return capsysbinary.readouterr().out.splitlines()

    assert len(run()) == 8
    assert run(since=100.5) == [b"Say.%d | %s" % (number, line) for number in (1, 2, 3) for line in (b"one", b"two")]
    assert run(since=125.0, tail=1) == [b"Say.3 | two"]


def test_since_on_the_command_line(job: str) -> None:
    assert logs(job, "--since", "1h").stdout == logs(job).stdout
    done = logs(job, "--since", "2999-01-01T00:00")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no instance has run since then" in done.stderr
    done = logs(job, "--since", "yesterday")
    assert done.returncode == 2
    assert b"neither an age, as 10m or 2d, nor a time" in done.stderr
