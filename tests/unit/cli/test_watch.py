"""Following a job at a real terminal, and without one."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from rich.console import Console

from batchcompute import Client, Job, JobDescription, Task
from batchcompute.cli.progress import Row
from batchcompute.cli.watch import _drawn, _Followed, watch
from tests.support.command_line import Open
from tests.support.logs import LargeLog

CTRL_C = "\x03"
END_OF_INPUT = "\x04"
PATIENT = "from batchcompute.cli import watch; watch._STOP_OFFER_SECONDS = 50"
"""A busy machine has time for the second Ctrl-C."""


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


def test_submit_detach_come_back_follow(client: Client, hold: Path, terminal: Open) -> None:
    first = terminal("job", "submit", str(hold), "--wait")
    job_id = first.expect(r"job-[0-9A-F]{32}")[0]
    first.expect(r"Hold +▒▒ +Running +0 of 2 finished, 2 running")
    first.type(CTRL_C)
    first.expect(f"Detached: {job_id} goes on.\nCome back with: batchcompute job wait {job_id}")
    first.expect(f"Stop it with: batchcompute job stop {job_id}\nCtrl-C again within 0.5 seconds offers that too.")
    assert first.ends() == 130
    assert "Traceback" not in first.text
    assert client.get_job(job_id).State == "Running"

    again = terminal("job", "wait", job_id)
    again.expect(r"Hold +▒▒ +Running")
    logs = terminal("job", "logs", job_id, "--follow")
    logs.expect(r"Hold\.0 \| instance 0 waits")
    logs.expect(r"Hold\.1 \| instance 1 waits")
    client.objects.put("oss://mine/gate", b"open")
    assert again.ends() == 0
    assert "2 of 2 finished" in again.text
    assert logs.ends() == 0
    assert logs.text.count("no newline at the end\n") == 2


def test_after_ctrl_c_the_prompt_waits_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **how: Any) -> None:
        raise KeyboardInterrupt

    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    screen = io.StringIO()
    for stream in (screen, sys.stdin):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(click.exceptions.Exit) as ended:
        watch(SimpleNamespace(wait=interrupt), "job-1", out=screen)  # type: ignore[arg-type]  # only wait is called
    assert (ended.value.exit_code, slept) == (130, [0.5])
    assert "Ctrl-C again within 0.5 seconds" in screen.getvalue()


def test_the_second_ctrl_c_stops_the_job(client: Client, hold: Path, terminal: Open) -> None:
    job = client.create_job(hold.read_text())
    shown = terminal("job", "wait", job.JobId, before=PATIENT)
    shown.expect("2 running")
    shown.type(CTRL_C)
    shown.expect("Ctrl-C again within 50 seconds")
    shown.type(CTRL_C)
    shown.expect(r"Stop job-\w+\? \[y/N\]")
    shown.type("y\n")
    shown.expect("Go on with: batchcompute job start")
    assert shown.ends() == 4
    assert client.get_job(job).State == "Stopped"


def test_second_thoughts_leave_the_job_alone(client: Client, hold: Path, terminal: Open) -> None:
    job = client.create_job(hold.read_text())
    for answer in ("n\n", "\n", END_OF_INPUT):
        shown = terminal("job", "wait", job.JobId, before=PATIENT)
        shown.expect("2 running")
        shown.type(CTRL_C)
        shown.expect("Ctrl-C again within 50 seconds")
        shown.type(CTRL_C)
        shown.expect(r"\[y/N\]")
        shown.type(answer)
        assert shown.ends() == 130
        assert "Traceback" not in shown.text
    assert client.get_job(job).State == "Running"
    client.stop_job(job)


def test_a_failing_instance_is_explained(
    client: Client, describe: Callable[..., dict[str, Any]], terminal: Open
) -> None:
    broken = "import sys; sys.exit('\\x1b[2Jno input \\N{SNOWMAN}')"
    job = client.create_job(describe({"First": ["Second"]}, Second="pass", First=broken))
    shown = terminal("job", "wait", job.JobId)
    assert shown.ends() == 3
    assert "First, instance " in shown.text
    assert "\ufffd[2Jno input \N{SNOWMAN}" in shown.text, "what a program wrote cannot clear the screen"
    last = shown.text.rpartition("First  ")[2]
    assert "Second  ··" in last, "tasks stand in the order in which they run"


def test_of_a_large_log_only_the_end_is_read() -> None:
    instances = [{"InstanceId": 3, "State": "Failed", "EndTime": 1}]
    fake = SimpleNamespace(
        get_job_description=lambda job: JobDescription({"TaskDag": {"TaskDescMap": {"Find": {}}}}),
        list_tasks=lambda job: [Task({"TaskName": "Find", "State": "Failed", "InstanceList": instances})],
        open_log=lambda job, task, instance: LargeLog(b"\nthe end"),
    )
    followed = _Followed(fake, "job-1")  # type: ignore[arg-type]  # a stand-in for the Client
    followed.update(Job({"State": "Failed"}))
    assert followed.tail is not None
    assert (followed.tail.task, followed.tail.instance, followed.tail.lines[-1]) == ("Find", 3, "the end")


def test_the_view_leaves_the_last_line_of_the_screen_to_the_cursor() -> None:
    followed = _Followed(SimpleNamespace(), "job-1")  # type: ignore[arg-type]  # a stand-in for the Client
    followed.job = Job({"JobName": "many", "State": "Running"})
    followed.rows = [Row(f"T{n}", "Waiting", {"Waiting": 1}) for n in range(100)]
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    assert len(console.render_lines(_drawn(followed, console))) == 23


def test_narrow_ascii_and_without_colours(client: Client, hold: Path, terminal: Open) -> None:
    job = client.create_job(hold.read_text())
    plain = terminal(
        "job", "wait", job.JobId, columns=38, NO_COLOR="1", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    plain.expect(r"Hold +>> +Running +0/2")
    client.objects.put("oss://mine/gate", b"open")
    assert plain.ends() == 0
    assert plain.raw.isascii()
    assert b"\x1b[3" not in plain.raw, "no colours"
    view = re.sub(rb"\x1b\[[0-9;]*m", b"", plain.raw.partition(b"\x1b[?25h")[0])  # until the cursor is shown again
    assert max(map(len, re.split(rb"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]+", view))) <= 38


def test_without_a_terminal_lines_are_printed(client: Client, hold: Path) -> None:
    job = client.create_job(hold.read_text())
    command = [sys.executable, "-c", "from batchcompute.cli import main; main()", "job", "wait", job.JobId]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = ""
        while "2 running" not in seen:
            seen = process.stderr.readline()
            assert seen, "it ended"
        client.objects.put("oss://mine/gate", b"open")
        rest = process.stderr.read()
        assert process.wait(60) == 0
    assert "Hold  Finished  2 of 2 finished\n" in rest
    assert "\x1b" not in rest


def test_a_dumb_terminal_gets_lines(client: Client, hold: Path, terminal: Open) -> None:
    client.objects.put("oss://mine/gate", b"open")
    job = client.create_job(hold.read_text())
    shown = terminal("job", "wait", job.JobId, TERM="dumb")
    assert shown.ends() == 0
    assert b"\x1b" not in shown.raw
