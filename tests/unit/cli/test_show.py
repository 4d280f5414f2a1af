"""`job show` and `job list`: why something waits, who takes the slots, attempts and leftovers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from batchcompute import Attempt, Client, InstanceDetails, Leftover, Slots, TaskDetails
from batchcompute.cli import attempts
from tests.support.command_line import Open, Run
from tests.support.waits import wait_for

SLOTS = Slots(4, 4, {"job-1": 2, "job-2": 1, "": 1})


def _command(script: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "ProgramType": "command",
        "ProgramName": "sh",
        "ProgramArguments": f"-c '{script}'",
        "InstanceCount": count,
    } | more


def _create(client: Client, tasks: Mapping[str, Any], after: Mapping[str, list[str]] | None = None, **more: Any) -> str:
    dag = {"TaskDescMap": dict(tasks), "Dependencies": dict(after or {})}
    return client.create_job({"JobName": "test", "Priority": 1, "TaskDag": dag} | more).JobId


@pytest.fixture
def one_slot(data_dir: Any) -> None:
    """A service with one slot that ends leftovers at once."""
    data_dir.mkdir()
    (data_dir / "service.toml").write_text("slots = 1\nretry_seconds = 0.01\nleftover_seconds = 0\n")


@pytest.fixture
def waiting(one_slot: None, client: Client) -> tuple[str, str]:
    """A job that takes the only slot, and one that waits for it."""
    first = _create(client, {"Hold": _command("sleep 600")})
    wait_for(lambda: client.get_job(first).State == "Running", "the program")
    return first, _create(client, {"A": _command("true"), "B": _command("true")}, {"A": ["B"]})


def test_why_a_job_waits(bc: Run, waiting: tuple[str, str], client: Client) -> None:
    first, second = waiting
    why = f"the only slot is taken by {first} (1)"
    listed = bc("job", "list")
    assert listed.out.splitlines()[0].split()[-1] == "NOTE"
    assert listed.out.splitlines()[1].split()[-1] == "waits"
    assert listed.out.endswith(f"\n{second} waits: {why}\n")
    rows = {job["job_id"]: job for job in bc("job", "list", "--format", "json").json}
    assert (rows[second]["reason"], rows[second]["leftovers"], rows[first]["reason"]) == (why, 0, "")
    shown = bc("job", "show", second).out
    assert f"\nWaits: {why}\nSlots: 1 of 1 are taken: {first} (1)\n" in shown
    assert "Waiting:" not in shown, "B waits for A, which the drawing says"
    found = bc("job", "show", second, "--format", "json").json
    assert (found["reason"], found["slots"]) == (why, {"total": 1, "taken": 1, "by_job": {first: 1}})
    assert [task["reason"] for task in found["tasks"]] == [why, "waits for task A"]
    assert f"Slots: 1 of 1 are taken: {first} (1).\n" in bc("local", "status").out
    assert bc("local", "status", "--format", "json").json["slots"] == found["slots"]
    assert "with 2 active jobs, 1 of 1 slots taken" in bc("doctor").out
    client.stop_job(first)
    client.wait(second, timeout=60)
    assert "NOTE" not in bc("job", "list").out
    assert "Slots:" not in bc("job", "show", second).out
    assert "0 of 1 are taken." in bc("local", "status").out


FAILS_ONCE = "case $BATCHCOMPUTE_ATTEMPT in *.1) exit 3;; esac"


def test_attempts_are_shown(bc: Run, one_slot: None, client: Client) -> None:
    tasks = {"Rare": _command(FAILS_ONCE, MaxRetryCount=2), "Bad": _command("kill -9 $$"), "Good": _command("true", 3)}
    job = _create(client, tasks, JobFailOnInstanceFail=False)
    client.wait(job, timeout=60)
    shown = bc("job", "show", job).out
    lines = re.findall(r"^  (.*?), attempt (\d): (.*?) after \d+\.\ds$", shown, re.MULTILINE)
    assert sorted(lines) == [
        ("Bad 0", "1", "signal 9 (SIGKILL)"),
        ("Rare 0", "1", "exit code 3"),
        ("Rare 0", "2", "exit code 0"),
    ]
    found = {task["task"]: task for task in bc("job", "show", job, "--format", "json").json["tasks"]}
    assert found["Good"]["attempts"] == []
    assert [(one["attempt"], one["exit_code"], one["signal"]) for one in found["Rare"]["attempts"]] == [
        (1, 3, None),
        (2, 0, None),
    ]
    assert (found["Rare"]["max_retry_count"], found["Bad"]["attempts"][0]["state"]) == (2, "Failed")
    client.start_job(job)
    client.wait(job, timeout=60)
    assert ", round 2\n" in bc("job", "show", job).out
    whole = bc("job", "show", job, "--task", "Bad", "--instance", "0").out
    assert "\nBad 0: Failed, retries in this round: 0\n\nattempt 1, round 1: Failed\n" in whole
    assert "\nattempt 2, round 2: Failed\n" in whole
    assert f"\n  batchcompute job logs {job} Bad 0 --attempt 2 --stderr\n" in whole
    assert "Rare" not in whole
    good = bc("job", "show", job, "--task", "Good", "--instance", "2", "--format", "json").json
    assert [[one["instance"] for one in task["attempts"]] for task in good["tasks"]] == [[2]]
    for arguments, message in (
        (("--task", "Rares"), f"{job} has no task 'Rares'; did you mean 'Rare'?; tasks:"),
        (("--task", "Bad", "--instance", "1"), "task Bad has no instance 1: they are 0 to 0"),
        (("--instance", "1"), "--instance needs --task"),
    ):
        refused = bc("job", "show", job, *arguments)
        assert refused.code
        assert message in refused.err


def test_the_direction_of_dependencies_is_said(bc: Run, waiting: tuple[str, str]) -> None:
    first, second = waiting
    assert "\n\nA line leads down from a task to the tasks that start after it.\n" in bc("job", "show", second).out
    assert "A line" not in bc("job", "show", first).out
    assert "A line" not in bc("job", "show", second, "--task", "A").out
    assert "title: An arrow leads from a task to a task" in bc("job", "show", second, "--format", "mermaid").out
    assert 'label="An arrow leads from a task to a task' in bc("job", "show", second, "--format", "dot").out
    described = bc("job", "describe", second)
    assert described.json["TaskDag"]["Dependencies"] == {"A": ["B"]}
    assert "Dependencies: a task stands before those that start after it: A, then B.\n" in described.err
    assert "Dependencies" not in bc("job", "describe", first).err
    assert "Dependencies" not in bc("job", "describe", second, "--format", "json").err


def test_leftovers_are_marked(bc: Run, one_slot: None, client: Client) -> None:
    job = _create(client, {"A": _command("sleep 600 &"), "B": _command("true")})
    client.wait(job, timeout=60)
    listed = bc("job", "list").out
    assert listed.splitlines()[1].endswith("  left 1")
    assert "left N: N instances left processes" in listed
    assert bc("job", "list", "--format", "json").json[0]["leftovers"] == 1
    assert re.search(
        r"A 0, attempt 1: exit code 0 after .*s; left \w+ \(pid \d+, SIGTERM\)\n", bc("job", "show", job).out
    )
    found = bc("job", "show", job, "--format", "json").json
    assert found["leftovers"] == 1
    (left,) = found["tasks"][0]["attempts"][0]["leftovers"]
    assert left["signal"] == "SIGTERM"
    whole = bc("job", "show", job, "--task", "A", "--instance", "0").out
    assert f"  left {left['command']}, pid {left['pid']}: SIGTERM\n" in whole


def test_it_fits_a_terminal_of_80_columns(waiting: tuple[str, str], client: Client, terminal: Open) -> None:
    for words in (("job", "list"), ("job", "show", waiting[1])):
        screen = terminal(*words, columns=80)
        screen.ends()
        table = [line for line in screen.text.splitlines() if "Waits" not in line and "waits:" not in line]
        assert max(map(len, table)) <= 80
        assert "waits" in screen.text.lower()


def _task(*instances: list[Attempt], more: int = 0) -> TaskDetails:
    numbered = {number: InstanceDetails("Failed", "", 0, tuple(found)) for number, found in enumerate(instances)}
    return TaskDetails("", 0, 0, numbered, more)


def test_a_screenful_at_most() -> None:
    found = [Attempt(number, 1, "Failed", exit_code=1) for number in range(1, 6)]
    lines = list(attempts.lines("job-1", {"A": _task(*[found] * 6, more=4)}))
    assert lines[:2] == ["A 0: 2 earlier attempts", "A 0, attempt 3: exit code 1"]
    assert lines[-1] == "6 more; one whole: batchcompute job show job-1 --task A --instance 4"
    assert len(lines) == 17


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"exit_code": 3}, "exit code 3"),
        ({"exit_code": 3, "worker_start_time": 1.0, "worker_end_time": 3.25}, "exit code 3 after 2.2s"),
        ({"signal": 15}, "signal 15 (SIGTERM)"),
        ({"signal": 34}, "signal 34 (SIGRTMIN)"),
        ({"signal": 40}, "signal 40"),
        ({"signal": 9, "timed_out": True, "reason": "ran longer"}, "ran longer than its Timeout"),
        ({"reason": "there is no main.py"}, "there is no main.py"),
        ({}, "failed"),
        (
            {"exit_code": 0, "leftovers": (Leftover(7, "sleep", "SIGKILL"), Leftover(8, "tee", "SIGTERM"))},
            "exit code 0; left sleep (pid 7, SIGKILL) and 1 more",
        ),
    ],
)
def test_how_an_attempt_ended(how: dict[str, Any], text: str) -> None:
    assert attempts.describe_end(Attempt(1, 1, "Failed", **how)) == text


def test_slots_in_words() -> None:
    assert attempts.describe_slots(SLOTS) == "4 of 4 are taken: job-1 (2), job-2 (1), 1 more jobs"
    assert attempts.describe_slots(Slots(2, 1, {"": 1})) == "1 of 2 are taken: other accounts (1)"
    assert attempts.describe_slots(Slots(2, 0)) == "0 of 2 are taken"
