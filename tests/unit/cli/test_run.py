"""`job run` and `job submit` with commands and scripts: what a user of a shell expects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client

Run = Callable[..., Any]


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user of a shell has it; the current one."""
    folder = tmp_path / "here"
    (folder / "data").mkdir(parents=True)
    (folder / "data/big").write_text("a\nb\nc\n")
    (folder / "run.sh").write_text('#!/bin/bash\nwords=("$@")\nprintf "%s|" "${#words[@]}" "$@"\n')
    (folder / "plain.sh").write_text('echo "plain $1"\n')
    (folder / "tool").write_text('#!/bin/sh\necho "tool $1"\n')
    (folder / "tool").chmod(0o755)
    monkeypatch.chdir(folder)
    return folder


WORDS = ["two words", "", "quo'te\"s", "line\nbreak", "$HOME `id` \\ *", "数据 é"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--", "echo", "-n", "$HOME"], "$HOME"),
        (["--", "wc", "-l", "data/big"], "3 data/big\n"),
        (["run.sh", *WORDS], f"{len(WORDS)}|" + "".join(f"{word}|" for word in WORDS)),
        (["./run.sh"], "0|"),
        (["plain.sh", "x"], "plain x\n"),
        (["./tool", "x y"], "tool x y\n"),
        (["--", "bash", "-c", 'echo "$0 $1"', "a", "b c"], "a b c\n"),
        (["--", "bash", "run.sh", "x"], "1|x|"),
        (["--", "python3", "-c", "import sys; print(sys.argv[1:])", *WORDS], f"{WORDS}\n"),
        (["--pack", ".", "--", "bash", "run.sh", "x"], "1|x|"),
        (["--pack", ".", "run.sh", "x"], "1|x|"),
        (["--pack", ".", "./tool", "x"], "tool x\n"),
        (["--pack", ".", "--", "cat", "data/big"], "a\nb\nc\n"),
    ],
)
def test_run_what_a_shell_runs(bc: Run, client: Client, folder: Path, arguments: list[str], expected: str) -> None:
    done = bc("job", "run", "--wait", *arguments)
    assert done.code == 0, done.err
    job = done.out.strip()
    (task,) = client.get_job_description(job).TaskDag.TaskDescMap
    assert client.read_log(job, task, 0, "stdout") == expected.encode()


def test_run_commands_without_a_package(bc: Run, client: Client, folder: Path) -> None:
    done = bc("job", "run", "--wait", "--", "ls", "-A", "data", "/nowhere")
    assert "The folder data is not uploaded; --pack DIR uploads a folder." in done.err
    assert client.get_job_description(done.out.strip()).TaskDag.get_task("ls").PackageUri == ""
    done = bc("job", "run", "--wait", "no-such-program")
    assert done.code == 3
    assert "there is no program 'no-such-program': it is neither a file of the package nor on PATH" in done.err
    assert "there is no file './nowhere' here" in bc("job", "run", "./nowhere").err
    (folder / "tool").chmod(0o644)
    assert "'./tool' is not executable: set its x bit with chmod +x" in bc("job", "run", "./tool").err
    (folder.parent / "run.sh").touch()
    assert "'../run.sh' and 'run.sh' would be one file" in bc("job", "run", "../run.sh", "run.sh").err


def test_the_cloud_runs_no_commands(bc: Run, folder: Path) -> None:
    for words in (["run.sh"], ["--", "gzip", "-9", "big"], ["--pack", ".", "--", "gzip", "-9", "big"]):
        done = bc("--endpoint", "cn-qingdao", "job", "run", "--dry-run", *words)
        assert done.code != 0
        assert "ProgramType: is not supported" in done.err
        assert "allowed: python, php" in done.err


def test_submit_commands_with_a_package(bc: Run, client: Client, folder: Path) -> None:
    tasks = {
        "Machine": {"ProgramType": "command", "ProgramName": "cat", "ProgramArguments": "data/big"},
        "Own": {"ProgramType": "command", "ProgramName": "./tool", "ProgramArguments": "x"},
        "Script": {"ProgramType": "shell", "ProgramName": "run.sh"},
    }
    job = {"JobName": "j", "Priority": 1, "TaskDag": {"TaskDescMap": tasks}}
    (folder / "job.json").write_text(json.dumps(job))
    done = bc("job", "submit", "job.json", "--pack", ".", "--wait")
    assert done.code == 0, done.err
    outputs = [client.read_log(done.out.strip(), task, 0, "stdout") for task in tasks]
    assert outputs == [b"a\nb\nc\n", b"tool x\n", b"0|"]
    tasks["Own"]["ProgramName"] = "./tol"
    (folder / "job.json").write_text(json.dumps(job))
    assert "'./tol' is not in the folder that --pack names" in bc("job", "submit", "job.json", "--pack", ".").err


@pytest.mark.parametrize("flag", ["--wait", "-w", "--dry-run"])
def test_a_flag_after_the_command_is_noticed(bc: Run, client: Client, worker: Path, flag: str) -> None:
    program = str(worker / "main.py")
    done = bc("job", "run", program, "a b", flag)
    assert done.code == 2
    assert (
        f"\nFor `job run`: batchcompute job run {flag} {program} 'a b'\nFor the program: batchcompute job run -- {program} "
        in done.err
    )
    assert list(client.list_jobs()) == []
    assert bc("job", "run", "--dry-run", "--", program, flag).code == 0
    done = bc("job", "run", "--dry-run", program, "a", "--", "x", flag, "--name")
    assert (done.code, "Note:" in done.err) == (0, False), "these words are the program's"


def test_another_option_after_the_command_is_noted(bc: Run, data_dir: Path, worker: Path) -> None:
    done = bc("job", "run", "--dry-run", str(worker / "main.py"), "--name=x", "--size", "10")
    assert done.code == 0
    assert done.err.startswith("Note: --name after the command goes to the program; options of `job run` stand before")
    assert done.err.count("Note:") == 1
    assert "Note:" not in bc("job", "run", "--dry-run", "--", str(worker / "main.py"), "--name=x").err
