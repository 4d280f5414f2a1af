"""Exit codes, and the one sentence that says what went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from batchcompute import errors
from batchcompute.cli import failures
from batchcompute.values.responses import Job
from tests.support.command_line import Run

ENTRY = "from batchcompute.cli import main; main()"
JOB = Job({"JobId": "job-1"})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.JobFailedError("", JOB), 3),
        (errors.JobStoppedError("", JOB), 4),
        (errors.WaitTimeoutError("", JOB), 5),
        (errors.ConnectError("no"), 6),
        (errors.RequestTimeoutError("no"), 6),
        (errors.AmbiguousResultError("create_job", "why"), 6),
        (errors.NotFoundError(404, "c", "m"), 7),
        (errors.ServerError(500, "c", "m"), 7),
        (errors.DecodeError("what"), 7),
        (errors.ValidationError([errors.Problem("Priority", 1, "is wrong")]), 2),
        (errors.ConfigError("no"), 2),
        (errors.CredentialsError("no"), 2),
        (click.UsageError("no"), 2),
        (failures.Refused("no"), 2),
        (click.ClickException("a plugin's"), 1),
        (FileNotFoundError(2, "No such file", "x"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 1),
        (ZeroDivisionError("a bug"), 1),
    ],
)
def test_codes(error: BaseException, code: int) -> None:
    assert failures.code_of(error) == code


def test_an_interrupted_question_is_an_interruption() -> None:
    abort = click.Abort()
    abort.__context__ = KeyboardInterrupt()  # as click.prompt raises it
    assert failures.code_of(abort) == failures.INTERRUPTED


def test_a_sentence_with_its_cure(bc: Run) -> None:
    done = bc("-e", "http://127.0.0.1:9", "image", "list")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: ")
    assert "Traceback" not in done.err
    done = bc("-e", "loacl", "image", "list")
    assert "did you mean 'local'" in done.err


def test_the_plugin_that_raised_an_error_is_no_cure_but_for_a_bug() -> None:
    note = "raised by plugin 'lab' (distribution lab 1.0) in the hook resolve_endpoint"
    found = []
    for error in (errors.CredentialsError("no key"), KeyError("key")):
        error.add_note(note)
        found.append(failures.details(error)["cure"])
    assert found[0].startswith("`batchcompute config init` creates a file for the key; for a `serve`,")
    assert found[1] == note
    assert note not in found[0]


def test_an_unreachable_service(bc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_ID", "some-id")
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_SECRET", "zq9-canary-secret")
    monkeypatch.setenv("BATCHCOMPUTE_RETRY_ATTEMPTS", "1")
    done = bc("-e", "http://127.0.0.1:9", "image", "list")
    assert done.code == failures.CONNECTION
    assert done.err.endswith("; `batchcompute doctor` finds the cause\n")
    done = bc("-e", "http://127.0.0.1:9", "image", "list", "--format", "json")
    printed = json.loads(done.err)
    assert (done.out, printed["kind"], printed["exit_code"]) == ("", "ConnectError", 6)
    done = bc("-v", "-e", "http://127.0.0.1:9", "image", "list")
    assert "Traceback" in done.err
    assert "zq9-canary" not in done.err


def test_what_the_service_refuses_has_its_request_id(bc: Run, data_dir: Path) -> None:
    done = bc("job", "stop", "job-" + "0" * 32)
    assert done.code == failures.SERVICE
    assert "RequestId" in done.err
    assert "`batchcompute job list` shows" in done.err
    done = bc("job", "show", "job-" + "0" * 32, "--format", "json")
    printed = json.loads(done.err)
    assert printed["request_id"]
    assert printed["kind"] == "NotFoundError"


def test_a_bug_is_reported_without_its_traceback(bc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("batchcompute.cli.init.template", broken)
    assert bc("config", "init").err == "Error: unexpected ZeroDivisionError: by nought; --verbose shows where\n"
    assert "Traceback" in bc("-v", "config", "init", "--force").err


def test_ctrl_c(bc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("batchcompute.cli.init.template", interrupted)
    done = bc("config", "init")
    assert (done.code, done.err.strip()) == (130, "Interrupted.")


def test_a_word_that_is_no_command(bc: Run) -> None:
    done = bc("jobb")
    assert done.code == 2
    assert "there is no command 'jobb'; did you mean 'job'?" in done.err
    done = bc("job", "lst")
    assert "did you mean 'list'?" in done.err
    assert "Try 'batchcompute job --help'." in done.err
    done = bc("job")
    assert "Commands:" in done.out + done.err


def process(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("arguments", [("--help",), ("config", "show"), ("oss", "cat", "oss://mine/big")])
def test_a_broken_pipe_is_silent(data_dir: Path, tmp_path: Path, bc: Run, arguments: tuple[str]) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 3_000_000)
    if arguments[0] == "oss":
        assert bc("oss", "cp", big, "oss://mine/big").code == 0
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (failures.PIPE, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_locale(data_dir: Path, two: Path, worker: Path, encoding: str) -> None:
    two.write_text(two.read_text().replace('"two"', '"作业"'), encoding="utf-8")
    one = process(
        "job", "submit", str(two), "--pack", str(worker), "--dry-run", PYTHONIOENCODING=encoding, PYTHONUTF8="0"
    )
    out, err = one.communicate(timeout=60)
    assert one.returncode == 0, err
    assert out.decode(encoding).splitlines()[0].split()[0] == ("○" if encoding == "utf-8" else "o")
    assert ("作业" if encoding == "utf-8" else "\\u4f5c\\u4e1a") in err.decode(encoding)
    assert b"Traceback" not in err
