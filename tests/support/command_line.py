"""`batchcompute` as people use it: what a command leaves, and a terminal to type into."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

from batchcompute.cli import cli
from batchcompute.cli.failures import guarded

_SECONDS = 60.0
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-B0-2]|\x1b[=>]")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_for_bytes(*arguments: str) -> tuple[int, bytes, bytes]:
    """Run `batchcompute ...` in this process; its exit code, and the bytes that it wrote to stdout and stderr."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(one, encoding="utf-8", write_through=True) for one in (out, err)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        code = guarded(cli, arguments)
    return code, out.getvalue(), err.getvalue()


Run = Callable[..., Done]
"""run("job", "list") runs `batchcompute job list`; a Path may be an argument."""


class Terminal:
    """`batchcompute` at a terminal. `text` is all that it has shown, without colours and movements.

    before: Python to run in the process before the command.
    """

    def __init__(
        self, *arguments: str, columns: int = 100, rows: int = 30, before: str = "", **environment: str
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _TAKE_TERMINAL,
                "-c",
                f"{before}\nfrom batchcompute.cli import main; main()",
                *arguments,
            ],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
        )
        os.close(slave)
        self.raw = b""

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw.decode("utf-8", "replace")).replace("\r", "")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the pattern was shown."""
        deadline = time.monotonic() + _SECONDS
        while True:
            found = re.search(pattern, self.text)
            if found:
                return found
            assert time.monotonic() < deadline, f"{pattern!r} was not shown:\n{self.text[-1500:]}"
            assert self._read(), f"it ended without {pattern!r}:\n{self.text[-1500:]}"

    def ends(self) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + _SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"it does not end:\n{self.text[-1500:]}"
        return self.process.wait(_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(_SECONDS)
        os.close(self._master)

    def _read(self) -> bool:
        """Take in what has come, waiting a little for it; whether there may be more."""
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.raw += data
        return bool(data)


Open = Callable[..., Terminal]
"""open("job", "list", columns=80) runs it at a terminal."""
