"""What the Tab key offers, in each shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client

_SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from batchcompute.cli import main; main()", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


def complete(*words: str) -> list[str]:
    """The completions that bash gets for the last word."""
    line = " ".join(["batchcompute", *words])
    done = run(COMP_WORDS=line, COMP_CWORD=str(len(words)), _BATCHCOMPUTE_COMPLETE="bash_complete")
    assert (done.returncode, done.stderr) == (0, "")
    return [word.partition(",")[2] for word in done.stdout.splitlines() if word]


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A PATH on which `batchcompute` is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "batchcompute"
    program.write_text(f"#!{sys.executable}\nfrom batchcompute.cli import main\nmain()\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("shell", _SHELLS)
def test_scripts(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert f"_BATCHCOMPUTE_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_another_shell() -> None:
    done = run("completion", "csh")
    assert done.returncode == 2
    assert "bash" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_and_options() -> None:
    assert complete("jo") == ["job"]
    assert {"list", "logs", "wait"} <= set(complete("job", ""))
    assert "--follow" in complete("job", "logs", "--f")
    assert complete("--format", "js") == ["json"]


def test_states() -> None:
    assert complete("job", "list", "--state", "f") == ["Finished", "Failed"]
    assert complete("job", "list", "--state", "Failed,st") == ["Failed,Stopped"]
    assert complete("job", "prune", "--state", "") == ["Finished", "Failed", "Stopped"]


def test_job_ids_and_tasks(client: Client, describe: Callable[..., dict[str, Any]]) -> None:
    jobs = [client.create_job(describe(Say="pass", Shout="pass", Find="pass")).JobId for _ in range(2)]
    for job in jobs:
        client.wait(job, timeout=60)
    assert complete("job", "logs", "job-") == jobs[::-1], "the newest comes first"
    assert complete("job", "stop", jobs[0]) == [jobs[0]]
    assert complete("job", "stop", "tes") == [], "two jobs have that name"
    client.delete_job(jobs[0])
    assert complete("job", "stop", "tes") == ["test"]
    assert sorted(complete("job", "logs", jobs[1], "S")) == ["Say", "Shout"]


def test_nothing_is_said_when_nobody_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_ENDPOINT", "http://127.0.0.1:9")
    assert complete("job", "logs", "job-") == []
    assert complete("job", "logs", "job-1", "S") == []
    monkeypatch.setenv("BATCHCOMPUTE_RETRY_ATTEMPTS", "many")
    assert complete("job", "show", "job-") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_really_completes(client: Client, describe: Callable[..., dict[str, Any]], program: str) -> None:
    job = client.create_job(describe(Say="pass")).JobId
    client.wait(job, timeout=60)
    script = """
    source <(batchcompute completion bash)
    COMP_WORDS=(batchcompute job wait "") COMP_CWORD=3
    _batchcompute_completion batchcompute
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": program},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == [job], done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not here")
def test_fish_really_completes(client: Client, describe: Callable[..., dict[str, Any]], program: str) -> None:
    job = client.create_job(describe(Say="pass")).JobId
    client.wait(job, timeout=60)
    script = 'batchcompute completion fish | source; complete -C "batchcompute job wait "'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env={**os.environ, "PATH": program},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [job], done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not here")
def test_zsh_takes_the_script(program: str) -> None:
    script = 'autoload -U compinit; compinit -u; eval "$(batchcompute completion zsh)"; print ${_comps[batchcompute]}'
    done = subprocess.run(
        ["zsh", "-f", "-c", script],
        env={**os.environ, "PATH": program},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "_batchcompute_completion\n", done.stderr
