"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchcompute import write_whole

SLOW = """
import sys, time
from batchcompute import write_whole
with write_whole(sys.argv[1]) as file:
    file.write("half")
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "result"
    with write_whole(path) as text:
        text.write("häl")
        text.flush()
        assert not path.exists()
        text.write("f\n")
    assert path.read_bytes() == "hälf\n".encode()
    with write_whole(str(path), "wb") as data:
        data.write(b"\xff")
        assert path.read_bytes() == "hälf\n".encode()
    assert path.read_bytes() == b"\xff"
    assert os.listdir(path.parent) == ["result"]
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "result"
    path.parent.mkdir()
    path.write_text("old")

    def fail() -> None:
        with write_whole(path) as file:
            file.write("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["result"]


@pytest.mark.parametrize("old", [None, "old"])
def test_a_kill_in_the_middle_leaves_what_was_there(tmp_path: Path, old: str | None) -> None:
    path = tmp_path / "folder" / "result"
    path.parent.mkdir()
    if old is not None:
        path.write_text(old)
    with subprocess.Popen([sys.executable, "-c", SLOW, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert (path.read_text() if path.exists() else None) == old
    assert all(name == "result" or name.startswith(".part-") for name in os.listdir(path.parent))


def test_other_modes(tmp_path: Path) -> None:
    mode: Any = "a"
    with pytest.raises(ValueError, match="mode must be 'w' or 'wb', not 'a'"):
        write_whole(tmp_path / "result", mode)
