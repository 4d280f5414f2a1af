"""examples/legacy/: programs as people wrote them for the cloud run in region local, by the commands of their page."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.run_page import Shell, run_shell
from tests.support.pages import ROOT, blocks_of
from tests.support.service import Cloud

PAGE = "examples/legacy/README.md"
WORKER = ROOT / "examples/legacy/worker"
INSTALLING, *COMMANDS = blocks_of(PAGE)
_ABSENT = [name for name in ("curl", "openssl") if shutil.which(name) is None]
needs_tools = pytest.mark.skipif(bool(_ABSENT), reason=f"oss.sh needs {' and '.join(_ABSENT)}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own and the root of the checkout as the current folder; what `curl` and `openssl` are called
    with is in the file `arguments`."""
    (tmp_path / "bin").mkdir()
    for name in ("curl", "openssl"):
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/arguments\nexec {shutil.which(name)} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}", prepend=":")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(ROOT)
    yield tmp_path
    Cloud(tmp_path / "data").down()  # also when jobs run still, after a failure


def run_transcript(block: dict[str, Any], shell: Shell) -> None:
    """The command prints what the page shows; warnings go to standard error."""
    command, _, shown = block["text"].removeprefix("$ ").partition("\n")
    assert shell.run(command, stdout=subprocess.PIPE).stdout == shown


def test_the_page_begins_with_an_environment() -> None:
    """It is not run here: what it installs is installed."""
    assert [line.split()[0] for line in INSTALLING["text"].splitlines()] == ["python3", ".", "pip"]
    (transcript,) = (block for block in COMMANDS if block["language"] == "console")
    assert transcript["text"].count(": 1229 primes\n") == 5


@needs_tools
def test_all_jobs_find_the_primes(place: Path) -> None:
    shell = Shell()
    for block in COMMANDS:
        (run_transcript if block["language"] == "console" else run_shell)(block, shell)
    bucket = place / "data/oss/old-bucket"
    parts = sorted(path.name for path in bucket.glob("find-prime/**/primes.*"))
    assert parts == ["primes.0"] * 5 + ["primes.1"] * 4 + ["primes.2"]  # one, shares, dag, mapped, shell
    with pytest.raises(subprocess.CalledProcessError) as caught:
        shell.run(f"python {ROOT / 'examples/legacy/submit.py'} ones", stderr=subprocess.PIPE)
    assert "there is no job 'ones'; the jobs are one, shares, dag, mapped, shell" in caught.value.stderr
    arguments = (place / "arguments").read_text()
    assert arguments.count("curl ") == 6  # two parts put and got, listed, and the sum
    assert "old-secret" not in arguments
    assert "Authorization" not in arguments


@needs_tools
@pytest.mark.parametrize("key", ["k", "old-secret", bytes(range(33, 97)).decode(), bytes(range(63, 127)).decode()])
def test_the_signature_of_the_shell_client(key: str) -> None:
    command = ["bash", "-c", '. ./oss.sh; hmac_sha1 "$KEY"']
    text = b"GET\n\n\ndate\n/bucket/key"
    surroundings = {"KEY": key, "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=WORKER, env=surroundings, input=text, stdout=-1, check=True)
    assert done.stdout == hmac.digest(key.encode(), text, hashlib.sha1)


def test_the_programs_know_nothing_of_the_sdk() -> None:
    texts = {path.name: path.read_text(encoding="utf-8").lower() for path in WORKER.iterdir() if path.is_file()}
    assert [name for name, text in texts.items() if "batchcompute" in text] == []
    assert sorted(name for name, text in texts.items() if "old-secret" in text) == ["config.py", "config.sh"]
